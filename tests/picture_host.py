"""A fake web server of pictures, and a fake resolver."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.picture_urls.fetch import PictureUrls
from service.picture_urls.hosts import parsed_hosts


class FakeHost:
    """A web server on loopback that answers with given bytes and records requests."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self.answer = b""
        self.waits_for = b"\r\n\r\n"
        self.seconds_between_bytes = 0.0
        self.port = 0

    def will_answer(self, status: str, body: bytes, *headers: str) -> None:
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
        self.answer = "\r\n".join(lines).encode() + body

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.requests.append(await reader.readuntil(self.waits_for))
            if self.seconds_between_bytes:
                for place in range(len(self.answer)):
                    writer.write(self.answer[place : place + 1])
                    await writer.drain()
                    await asyncio.sleep(self.seconds_between_bytes)
            writer.write(self.answer)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def running_host() -> AsyncIterator[FakeHost]:
    """A listening host, closed at the end of the test."""
    host = FakeHost()
    server = await asyncio.start_server(host.serve, "127.0.0.1", 0)
    host.port = server.sockets[0].getsockname()[1]
    try:
        yield host
    finally:
        server.close()


class FakeResolver:
    """Returns the given lists of addresses in turn, then the last one again."""

    def __init__(self, port: int, *answers: list[str]) -> None:
        self._port = port
        self._answers = list(answers)
        self.num_asked = 0

    async def __call__(self, host: str, port: int) -> list[tuple[str, int]]:
        self.num_asked += 1
        addresses = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return [(address, self._port) for address in addresses]


def pictures_from(host: FakeHost) -> PictureUrls:
    """Fetch pictures of old.test from the fake host, on loopback, which only a test can allow."""
    return PictureUrls(
        parsed_hosts("http://old.test"),
        resolve=FakeResolver(host.port, ["127.0.0.1"]),
        may_connect_to=lambda address: address == "127.0.0.1",
    )
