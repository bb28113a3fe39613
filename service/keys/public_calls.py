"""Calls that a public key may make: those of a shop's pages. Its origins and its rate per address are checked here.

A browser states the page's origin with every POST and every fetch of another origin; only images go without. Other
programs can state any origin, so a public key opens nothing that a visitor may not read.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address
from urllib.parse import parse_qsl

from starlette.datastructures import Headers
from starlette.types import Scope

from service.errors import ForeignOriginError
from service.store.keys import KeyRecord

PUBLIC_POSTS = frozenset({"/recommend", "/complements", "/feedback"})
PUBLIC_LISTS = frozenset({"/popular", "/trending", "/latest"})
ITEMS_PREFIX = "/items/"
"""An item, its picture, similar items, and items bought together."""
KEY_PARAMETER = "key"
DEFAULT_CALLS_PER_MINUTE = 1200
"""Of a public key, from one address. Pictures count, until the browser has them."""
MAX_KEY_CHARACTERS = 200
IPV6_CLIENT_BITS = 64
"""A client of IPv6 owns a whole network of this prefix."""
_MAX_SHOWN_CHARACTERS = 100
_WITH_PORT = re.compile(r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<ipv4>[0-9.]+))(?::[0-9]{1,5})?")

Networks = Sequence[IPv4Network | IPv6Network]


@dataclass(frozen=True, slots=True)
class PublicCall:
    """A call that a public key may make, and the page behind it."""

    origin: str | None
    needs_origin: bool
    address: str
    """Of the client."""
    key_in_url: str
    """Empty if there is none. Images and beacons carry no header."""

    def check_origin(self, record: KeyRecord) -> None:
        """Refuse pages of other origins than the key's.

        Raises:
            ForeignOriginError: another origin, or none where browsers state it.
        """
        if self.origin in record.origins or (self.origin is None and not self.needs_origin):
            return
        shown = "no Origin" if self.origin is None else f"Origin {self.origin[:_MAX_SHOWN_CHARACTERS]!r}"
        raise ForeignOriginError(
            f"got {shown}, expected {' or '.join(sorted(record.origins))}; create a key for this origin with "
            "`clairo-serve keys create --scope public --origin`, and call from a server with scope read or write"
        )


def is_public(method: str, path: str) -> bool:
    """Whether a public key may make this call.

    >>> is_public("GET", "/items/mug/picture"), is_public("DELETE", "/items/mug")
    (True, False)
    """
    if method in ("GET", "HEAD"):
        return path in PUBLIC_LISTS or path.startswith(ITEMS_PREFIX)
    return method == "POST" and path in PUBLIC_POSTS


def public_call(scope: Scope, headers: Headers, trusted_proxies: Networks) -> PublicCall | None:
    """The call, if a public key may make it."""
    if not is_public(scope["method"], scope["path"]):
        return None
    query = parse_qsl(scope["query_string"].decode("latin-1"))
    return PublicCall(
        origin=headers.get("origin"),
        needs_origin=scope["method"] == "POST",
        address=client_address(scope, headers, trusted_proxies),
        key_in_url=next((value for name, value in query if name == KEY_PARAMETER), "")[:MAX_KEY_CHARACTERS],
    )


def client_address(scope: Scope, headers: Headers, trusted_proxies: Networks) -> str:
    """The peer's address; behind trusted proxies, the last one in X-Forwarded-For that is not theirs.

    An IPv6 address is given as its network of 64 bits. Used for rates alone: who is local, `CallerCheck` decides.
    """
    peer = scope.get("client")
    address = peer[0] if peer else ""
    for forwarded in reversed(",".join(headers.getlist("x-forwarded-for")).split(",")):
        if not _is_in(address, trusted_proxies) or not (forwarded := forwarded.strip()):
            break
        # Some proxies add the port, which differs with each connection of one client.
        with_port = _WITH_PORT.fullmatch(forwarded)
        address = (with_port["ipv6"] or with_port["ipv4"]) if with_port else forwarded
    try:
        parsed = ip_address(address)
    except ValueError:
        return address[:_MAX_SHOWN_CHARACTERS]
    mapped = getattr(parsed, "ipv4_mapped", None)
    if parsed.version == 4 or mapped:
        return str(mapped or parsed)
    return str(IPv6Network((int(parsed), IPV6_CLIENT_BITS), strict=False))


def _is_in(address: str, networks: Networks) -> bool:
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    parsed = getattr(parsed, "ipv4_mapped", None) or parsed
    return any(parsed in network for network in networks)
