"""Turn the operator's list of hosts, and a url that a client sent, into the one thing that may be asked for.

A url is taken apart here, once; what is asked for is put together from these parts, so that no second reader can see
another host in it. Knows urls; knows nothing of addresses or connections.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import quote, urlsplit

from service.errors import PictureUrlError

MAX_URL_CHARACTERS = 2048
PORTS = {"https": 443, "http": 80}
HOST = re.compile(r"(?!-)[a-z0-9.-]{1,253}(?<![.-])|\[[0-9a-f:.]{2,45}\]")
# Nothing that one reader of urls takes out or turns round and another does not.
NOT_IN_A_URL = re.compile(r"[\x00-\x20\x7f-\x9f\\]")

AllowedHosts = Mapping[str, frozenset[str]]
"""Host -> the schemes that it may be asked by."""


@dataclass(frozen=True, slots=True)
class PictureUrl:
    """Where a picture is said to lie, on a host that may be asked."""

    scheme: str
    host: str
    target: str
    """Path and query, percent-encoded."""

    @property
    def port(self) -> int:
        """The scheme's own: no other is asked."""
        return PORTS[self.scheme]


def parsed_hosts(text: str) -> AllowedHosts:
    """The operator's list: hosts separated by commas, asked by https alone; `http://HOST` is asked by both.

    >>> sorted(parsed_hosts("cdn.example.com, http://old.example.com")["old.example.com"])
    ['http', 'https']

    Raises:
        ValueError: an entry is no host.
    """
    hosts: dict[str, frozenset[str]] = {}
    for entry in filter(None, (part.strip().lower() for part in text.split(","))):
        scheme, separator, host = entry.rpartition("://")
        if (separator and scheme not in PORTS) or not HOST.fullmatch(host):
            raise ValueError(
                f"expected HOST or http://HOST, separated by commas and without ports or paths, got {entry!r}"
            )
        schemes = {"https", "http"} if scheme == "http" else {"https"}
        hosts[host] = hosts.get(host, frozenset()) | schemes
    return hosts


def parsed_picture_url(text: str, allowed: AllowedHosts) -> PictureUrl:
    """A url of a host that may be asked.

    Raises:
        PictureUrlError: none may be asked, or not this one, or this is no url of the plain kind that is taken.
    """
    if not allowed:
        raise PictureUrlError(
            "this service fetches no pictures: send the file in base64 as picture; its operator can list hosts in "
            "CLAIRO_PICTURE_URL_HOSTS"
        )
    if len(text) > MAX_URL_CHARACTERS:
        raise PictureUrlError(f"the url has {len(text)} characters, expected at most {MAX_URL_CHARACTERS}")
    if NOT_IN_A_URL.search(text):
        raise PictureUrlError("a url has no spaces, backslashes or control characters; percent-encode them")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise PictureUrlError(f"this is no url ({error}); send https://HOST/PATH") from error
    scheme = parts.scheme
    if scheme not in PORTS:
        raise PictureUrlError(f"expected https://HOST/PATH, got {scheme[:20] or 'no scheme'}")
    if "@" in parts.netloc:
        raise PictureUrlError("a url with a user or a password is not asked; leave them out")
    if port not in (None, PORTS[scheme]):
        raise PictureUrlError(f"only the port {PORTS[scheme]} is asked by {scheme}, got {port}; leave it out")
    host = _host_of(parts.hostname or "")
    if host not in allowed:
        raise PictureUrlError(f"the host {host[:253]!r} is not among those that this service fetches pictures from")
    if scheme not in allowed[host]:
        raise PictureUrlError(f"{host} is asked by https only")
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    query = quote(parts.query, safe="/?%:@!$&'()*+,;=~-._")
    return PictureUrl(scheme, host, f"{path}?{query}" if query else path)


def _host_of(name: str) -> str:
    """The host as the operator's list writes it: lower case, an IPv6 address in brackets."""
    if ":" not in name:
        return name.lower()
    try:
        return f"[{ip_address(name)}]"
    except ValueError as error:
        raise PictureUrlError("the url's host is no IPv6 address; send https://HOST/PATH") from error
