"""Fetch pictures over HTTP from listed hosts, several at once. Start at `fetch_all`.

A table of products may come from others, so its urls must not reach into the private network: hosts are listed,
addresses are public (checked on the connection itself), redirects stay on listed hosts, bytes and seconds are bounded.
"""

import asyncio
import re
import socket
from collections.abc import Callable, Collection, Generator, Iterable
from dataclasses import dataclass
from importlib.metadata import version
from itertools import islice
from typing import TypeAlias
from urllib.parse import quote, urljoin, urlsplit

import httpcore

from clairo_core.encoders.pictures import MAX_PICTURE_BYTES
from clairo_core.values.public_addresses import is_public

MAX_AT_ONCE = 8
MAX_SECONDS = 30.0
"""Of one picture, redirects included."""
_MAX_REDIRECTS = 3
_MAX_SILENT_SECONDS = 10.0
_PORTS = {"https": 443, "http": 80}
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# Characters that url parsers treat differently.
_NOT_IN_A_URL = re.compile(r"[\x00-\x1f\x7f-\x9f\\]")

MayConnectTo: TypeAlias = Callable[[str], bool]
"""An address, as text -> whether it may be connected to."""


class FetchError(Exception):
    """A picture that was not fetched; the text is short, for a table."""


@dataclass(frozen=True, slots=True)
class Address:
    """The parts of a url."""

    scheme: str
    host: str
    """In lower case, IPv6 in brackets."""
    port: int
    target: str
    """Path and query, percent-encoded."""

    @property
    def origin(self) -> str:
        """Host as `--host` takes it: `HOST` for https, `http://HOST`, with a port if it is not the scheme's own."""
        name = self.host if self.port == _PORTS[self.scheme] else f"{self.host}:{self.port}"
        return name if self.scheme == "https" else f"http://{name}"


def parse_url(url: str) -> Address:
    """Split a url; spaces and letters beyond ASCII in its path are encoded.

    >>> parse_url("http://Shop.test:8080/a b.jpg?v=1").origin, parse_url("https://shop.test/ä").target
    ('http://shop.test:8080', '/%C3%A4')

    Raises:
        FetchError: it is not a url of http or https.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = parts.port
        host = f"[{host}]" if ":" in host else host.encode("idna").decode("ascii")
    except ValueError as error:
        raise FetchError("not a url") from error
    if _NOT_IN_A_URL.search(url) or parts.scheme not in _PORTS or not host or "@" in parts.netloc:
        raise FetchError("not a url")
    path, query = (quote(part, safe="/?%:@!$&'()*+,;=~-._") for part in (parts.path or "/", parts.query))
    return Address(
        parts.scheme, host, _PORTS[parts.scheme] if port is None else port, f"{path}?{query}" if query else path
    )


def fetch_all(
    urls: Iterable[str],
    hosts: Collection[str],
    *,
    may_connect_to: MayConnectTo = is_public,
    max_seconds: float = MAX_SECONDS,
) -> Generator[tuple[str, bytes | FetchError], None, None]:
    """Yield each url with its content or the reason why there is none, in the order in which they arrive.

    Args:
        urls: to fetch, `MAX_AT_ONCE` at a time.
        hosts: allowed `Address.origin`s; `http://HOST` allows https, too.
        may_connect_to: judges addresses. Tests allow loopback.
        max_seconds: longest time for one picture.
    """
    waiting = iter(urls)
    running: dict[asyncio.Task[bytes], str] = {}
    with asyncio.Runner() as runner:
        network = _CheckedNetwork(may_connect_to)
        pool = httpcore.AsyncConnectionPool(max_connections=MAX_AT_ONCE, network_backend=network)
        try:
            while True:
                for url in islice(waiting, MAX_AT_ONCE - len(running)):
                    running[runner.get_loop().create_task(_fetch(pool, url, hosts, max_seconds))] = url
                if not running:
                    return
                for task in runner.run(_first_done(running)):
                    url, failure = running.pop(task), task.exception()
                    if failure is None:
                        yield url, task.result()
                    elif isinstance(failure, FetchError):
                        yield url, failure
                    else:
                        raise failure
        finally:
            runner.run(_close(pool, running))


async def _first_done(running: Iterable[asyncio.Task[bytes]]) -> set[asyncio.Task[bytes]]:
    done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
    return done


async def _close(pool: httpcore.AsyncConnectionPool, running: Iterable[asyncio.Task[bytes]]) -> None:
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    await pool.aclose()


async def _fetch(pool: httpcore.AsyncConnectionPool, url: str, hosts: Collection[str], max_seconds: float) -> bytes:
    try:
        async with asyncio.timeout(max_seconds):
            for _ in range(_MAX_REDIRECTS + 1):
                answer = await _answer(pool, _listed(url, hosts))
                if isinstance(answer, bytes):
                    return answer
                url = urljoin(url, answer)
    except (TimeoutError, httpcore.TimeoutException) as error:
        raise FetchError(f"not complete within {max_seconds:g} seconds") from error
    except (httpcore.NetworkError, httpcore.ProtocolError) as error:
        raise FetchError(f"the connection failed: {' '.join(str(error).split()) or type(error).__name__}") from error
    raise FetchError(f"more than {_MAX_REDIRECTS} redirects")


def _listed(url: str, hosts: Collection[str]) -> Address:
    address = parse_url(url)
    if address.origin in hosts or (address.scheme == "https" and f"http://{address.origin}" in hosts):
        return address
    raise FetchError(f"redirects to a host that is not listed: {address.origin}")


async def _answer(pool: httpcore.AsyncConnectionPool, address: Address) -> bytes | str:
    """The picture, or the url of a redirect."""
    headers = {
        "Host": address.host if address.port == _PORTS[address.scheme] else f"{address.host}:{address.port}",
        "Accept": "image/webp, image/png, image/jpeg",
        "Accept-Encoding": "identity",
        "User-Agent": f"clairo/{version('clairo')}",
    }
    place = httpcore.URL(scheme=address.scheme, host=address.host, port=address.port, target=address.target)
    limits = dict.fromkeys(("connect", "read", "write"), _MAX_SILENT_SECONDS)
    async with pool.stream("GET", place, headers=list(headers.items()), extensions={"timeout": limits}) as answer:
        if answer.status in _REDIRECTS:
            fields = {name.lower(): value for name, value in answer.headers}
            return fields.get(b"location", b"").decode("utf-8", "replace")
        if answer.status != 200:
            raise FetchError(f"status {answer.status}")
        content = bytearray()
        async for chunk in answer.aiter_stream():
            content += chunk
            if len(content) > MAX_PICTURE_BYTES:
                raise FetchError(f"more than {MAX_PICTURE_BYTES:,} bytes")
        return bytes(content)


class _CheckedNetwork(httpcore.AsyncNetworkBackend):
    """TCP connections to allowed addresses. A name is resolved once, here, and the address is connected to."""

    def __init__(self, may_connect_to: MayConnectTo) -> None:
        self._may_connect_to = may_connect_to
        self._sockets = httpcore.AnyIOBackend()

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
            FetchError: the host has no address, or one that is not allowed.
            httpcore.ConnectError, httpcore.ConnectTimeout: no address answers.
        """
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise FetchError("the host cannot be resolved") from error
        addresses = list(dict.fromkeys(str(where[4][0]) for where in found))
        # A single private address among public ones is suspicious enough.
        if not addresses or not all(map(self._may_connect_to, addresses)):
            raise FetchError("the host has an address that is not public")
        failure: httpcore.ConnectError | httpcore.ConnectTimeout | None = None
        for address in addresses:
            try:
                return await self._sockets.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure or httpcore.ConnectError("no address answers")

    async def sleep(self, seconds: float) -> None:
        """Required by httpcore."""
        await asyncio.sleep(seconds)
