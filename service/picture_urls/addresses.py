"""Connect only to public addresses: the address that was checked is the one connected to.

A name is resolved once, here, and the connection goes to the address, never to the name, so DNS rebinding leads
nowhere. TLS still checks the certificate against the name. Start at `PublicNetwork`.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable
from typing import Self

import httpcore

from service.errors import PictureUrlError

Resolve = Callable[[str, int], Awaitable[list[tuple[str, int]]]]
"""Host and port -> addresses and ports, best first; raises OSError."""
MayConnectTo = Callable[[str], bool]
"""An address, as text -> whether it may be connected to."""


class PublicNetwork(httpcore.AsyncNetworkBackend):
    """TCP connections to allowed addresses, for httpcore. `async with` closes them all."""

    def __init__(self, resolve: Resolve, may_connect_to: MayConnectTo) -> None:
        self._resolve = resolve
        self._may_connect_to = may_connect_to
        self._sockets = httpcore.AnyIOBackend()
        self._opened: list[httpcore.AsyncNetworkStream] = []

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address that answers.

        Raises:
            PictureUrlError: the host has no address, or one that is not allowed.
            httpcore.ConnectError, httpcore.ConnectTimeout: no address answers.
        """
        try:
            addresses = await self._resolve(host.strip("[]"), port)
        except (OSError, UnicodeError) as error:
            raise PictureUrlError(f"the host {host} cannot be resolved; check the url") from error
        # A single private address among public ones is suspicious enough.
        if not addresses or not all(self._may_connect_to(address) for address, _ in addresses):
            raise self._refused(host)
        failure: httpcore.ConnectError | httpcore.ConnectTimeout | None = None
        for address, port_there in addresses:
            try:
                stream = await self._sockets.connect_tcp(address, port_there, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
                continue
            self._opened.append(stream)
            peer = stream.get_extra_info("server_addr")
            if peer is None or not self._may_connect_to(str(peer[0])):
                raise self._refused(host)
            return stream
        raise failure or httpcore.ConnectError("no address answers")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        # httpcore leaves a connection open that breaks off in its TLS handshake.
        for stream in self._opened:
            await stream.aclose()

    async def sleep(self, seconds: float) -> None:
        """Required by httpcore."""
        await asyncio.sleep(seconds)

    def _refused(self, host: str) -> PictureUrlError:
        # Without the address: clients must not learn internal names.
        return PictureUrlError(f"the host {host} has an address that is not public; send the picture in base64")


async def resolve_with_system(host: str, port: int) -> list[tuple[str, int]]:
    """Resolve by the machine's own resolver.

    Raises:
        OSError: the host is unknown.
    """
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys((str(where[4][0]), int(where[4][1])) for where in found))
