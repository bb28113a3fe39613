"""Parse the operator's list of hosts, and a client's url against it.

A url is parsed once, here, and the request is built from the parts, so no second parser can see another host in it.
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
# Characters that url parsers treat differently.
NOT_IN_A_URL = re.compile(r"[\x00-\x20\x7f-\x9f\\]")

AllowedHosts = Mapping[str, frozenset[str]]
"""Host -> allowed schemes."""


@dataclass(frozen=True, slots=True)
class PictureUrl:
    """A picture's url, on an allowed host."""

    scheme: str
    host: str
    target: str
    """Path and query, percent-encoded."""

    @property
    def port(self) -> int:
        """The scheme's own port; no other is allowed."""
        return PORTS[self.scheme]


def parsed_hosts(text: str) -> AllowedHosts:
    """Parse the operator's list: hosts separated by commas, `HOST` for https only, `http://HOST` for both.

    >>> sorted(parsed_hosts("cdn.example.com, http://old.example.com")["old.example.com"])
    ['http', 'https']

    Raises:
        ValueError: an entry is not a host.
    """
    hosts: dict[str, frozenset[str]] = {}
    for entry in filter(None, (part.strip().lower() for part in text.split(","))):
        scheme, separator, host = entry.rpartition("://")
        if (separator and scheme not in PORTS) or not HOST.fullmatch(host):
            raise ValueError(
                f"expected HOST or http://HOST, separated by commas, without ports or paths, got {entry!r}"
            )
        schemes = {"https", "http"} if scheme == "http" else {"https"}
        hosts[host] = hosts.get(host, frozenset()) | schemes
    return hosts


def parsed_picture_url(text: str, allowed: AllowedHosts) -> PictureUrl:
    """Parse a client's url.

    Raises:
        PictureUrlError: the list is empty, the host or scheme is not allowed, or the url is malformed.
    """
    if not allowed:
        raise PictureUrlError(
            "this service fetches no pictures; send the file in base64 as picture, or ask its operator to list the "
            "host in CLAIRO_PICTURE_URL_HOSTS"
        )
    if len(text) > MAX_URL_CHARACTERS:
        raise PictureUrlError(f"the url has {len(text)} characters, expected at most {MAX_URL_CHARACTERS}")
    if NOT_IN_A_URL.search(text):
        raise PictureUrlError("the url has spaces, backslashes or control characters; percent-encode them")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise PictureUrlError(f"not a url ({error}); send https://HOST/PATH") from error
    scheme = parts.scheme
    if scheme not in PORTS:
        raise PictureUrlError(f"expected https://HOST/PATH, got {scheme[:20] or 'no scheme'}")
    if "@" in parts.netloc:
        raise PictureUrlError("the url has a user or a password; leave them out")
    if port not in (None, PORTS[scheme]):
        raise PictureUrlError(f"got port {port}, expected {PORTS[scheme]} for {scheme}; leave it out")
    host = _host_of(parts.hostname or "")
    if host not in allowed:
        raise PictureUrlError(f"the host {host[:253]!r} is not on this service's list; send the picture in base64")
    if scheme not in allowed[host]:
        raise PictureUrlError(f"{host} is allowed by https only; send an https url")
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    query = quote(parts.query, safe="/?%:@!$&'()*+,;=~-._")
    return PictureUrl(scheme, host, f"{path}?{query}" if query else path)


def _host_of(name: str) -> str:
    """Normalize a host: lower case, an IPv6 address in brackets."""
    if ":" not in name:
        return name.lower()
    try:
        return f"[{ip_address(name)}]"
    except ValueError as error:
        raise PictureUrlError("the url's host is not an IPv6 address; send https://HOST/PATH") from error
