"""Parse the origins of pages that may call the service: scheme, host and port, as browsers send them."""

import re

_ORIGIN = re.compile(r"(https?)://([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?/?")
_DEFAULT_PORTS = {"http": "80", "https": "443"}


def parsed_origin(text: str) -> str:
    """Write an origin as a browser's `Origin` header has it.

    >>> parsed_origin("HTTPS://Shop.example:443/"), parsed_origin("http://localhost:3000")
    ('https://shop.example', 'http://localhost:3000')

    Raises:
        ValueError: the text is not an origin.
    """
    found = _ORIGIN.fullmatch(text.strip().lower())
    if found is None:
        raise ValueError(f"got {text!r}, expected an origin without a path, such as https://shop.example")
    scheme, host, port = found.groups()
    return f"{scheme}://{host}" if port in (None, _DEFAULT_PORTS[scheme]) else f"{scheme}://{host}:{port}"
