"""Check who calls while no key exists: a program on this machine, or a page that this service served.

A browser on this machine runs pages of strangers, and a proxy on it forwards their requests. Neither may act as a
local caller. docs/security.md has the threat model.
"""

import re
from collections.abc import Set
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from starlette.datastructures import Headers
from starlette.types import Scope

from service.errors import ForeignOriginError, NoKeyError, UntrustedHostError

_PROXY_HEADERS = frozenset({"forwarded", "via", "x-real-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip"})
_PROXY_PREFIX = "x-forwarded-"
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^\s:/?#@\[\]]+?)\.?(?::[0-9]{1,5})?")
_LOCALHOST = "localhost"
_MAX_SHOWN_CHARACTERS = 100


@dataclass(frozen=True, slots=True)
class CallerCheck:
    """The operator's rules for callers."""

    allow_open_network: bool
    allowed_hosts: Set[str]
    """HOST or HOST:PORT, in lower case, beside the addresses of this machine."""
    listening_host: str
    page_origins: Set[str] = frozenset()
    """Of a shop's pages, which may make public calls."""

    def check_without_keys(self, scope: Scope, headers: Headers, *, is_public: bool = False) -> None:
        """Refuse strangers' requests, while no key exists. `is_public`: the call is one that a shop's page makes.

        Raises:
            NoKeyError: from another machine, or through a proxy.
            UntrustedHostError: Host names another service, as after DNS rebinding.
            ForeignOriginError: from a page of another origin.
        """
        if not self.allow_open_network and not is_local(scope, headers):
            raise NoKeyError(
                "this service has no API keys yet and answers only clients on its own machine; run "
                "`clairo-serve keys create` there and send the key as Authorization: Bearer"
            )
        self._check_host(headers, any_address=self.allow_open_network)
        if not (is_public and headers.get("origin") in self.page_origins):
            self._check_origin(headers)

    def check_with_keys(self, headers: Headers) -> None:
        """Refuse requests to other hosts, if the operator lists allowed ones: a key cannot be sent by rebinding.

        Raises:
            UntrustedHostError: Host names another service.
        """
        if self.allowed_hosts:
            self._check_host(headers, any_address=True)

    def _check_host(self, headers: Headers, *, any_address: bool) -> None:
        host = headers.get("host", "").lower()
        found = _HOST.fullmatch(host)
        name = found[1] if found else ""
        if self._is_listed(host, name) or name in (_LOCALHOST, self.listening_host.lower()):
            return
        # Rebinding needs a name: Host holds an address only if the browser was given that address.
        address = _address(name.strip("[]"))
        if address is None or not (any_address or address.is_loopback):
            shown = host[:_MAX_SHOWN_CHARACTERS]
            raise UntrustedHostError(
                f"got Host {shown!r}, expected this machine's address or localhost; call that, or add the name to "
                "allowed_hosts (CLAIRO_ALLOWED_HOSTS)"
            )

    def _check_origin(self, headers: Headers) -> None:
        origin = headers.get("origin")
        if origin is None:
            return
        host = origin.lower().rpartition("://")[2]
        found = _HOST.fullmatch(host)
        # The scheme may differ: a proxy can end TLS.
        if host != headers.get("host", "").lower() and not self._is_listed(host, found[1] if found else ""):
            shown = origin[:_MAX_SHOWN_CHARACTERS]
            raise ForeignOriginError(
                f"got Origin {shown!r}, expected a page of this service; add its host to allowed_hosts "
                "(CLAIRO_ALLOWED_HOSTS), or create a key and call from your server"
            )

    def _is_listed(self, host: str, name: str) -> bool:
        return host in self.allowed_hosts or name in self.allowed_hosts


def is_local(scope: Scope, headers: Headers) -> bool:
    """Whether the client is on this machine, without a proxy in between that names itself."""
    if any(name in _PROXY_HEADERS or name.startswith(_PROXY_PREFIX) for name in headers):
        return False
    client = scope.get("client")
    if client is None:
        # A Unix socket.
        return True
    address = _address(client[0])
    return address is not None and address.is_loopback


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    # An IPv4 peer of an IPv6 socket.
    return getattr(address, "ipv4_mapped", None) or address
