"""Load a service over HTTP: closed loop (each client waits for its answer), or at a constant rate.

The client speaks only the HTTP/1.1 that our service needs, on kept connections: a costlier client would measure itself.
"""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar
from urllib.parse import urlsplit

import numpy as np

NO_ANSWER = 0
IDLE_SECONDS = 2.0
"""Idle connections older than this are not reused: servers close them, ours after 5 seconds."""


@dataclass(frozen=True, slots=True)
class Answered:
    """Outcome of one request."""

    status: int
    """HTTP status; NO_ANSWER if the connection broke."""
    seconds: float
    """Since it was sent; at a constant rate, since it was due."""

    @property
    def is_good(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300


AnsweredKind = TypeVar("AnsweredKind", bound=Answered)


@dataclass(frozen=True)
class Load(Generic[AnsweredKind]):
    """All requests of one run."""

    answers: Sequence[AnsweredKind]
    seconds: float

    def with_status(self, status: int) -> int:
        """Number of answers with this status."""
        return sum(answer.status == status for answer in self.answers)

    @property
    def per_second(self) -> float:
        """Good answers per second."""
        return sum(answer.is_good for answer in self.answers) / self.seconds

    def percentile_ms(self, percent: float) -> float:
        """Percentile of the good answers' times; infinite if there is none."""
        seconds = [answer.seconds for answer in self.answers if answer.is_good]
        return 1000 * float(np.percentile(seconds, percent)) if seconds else float("inf")


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """Status, media type and body of an answer."""

    status: int
    media_type: str
    body: bytes


class Connection:
    """One kept connection to a service."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._last_used_at = time.perf_counter()

    @property
    def is_fresh(self) -> bool:
        """Whether the server still keeps it open."""
        return time.perf_counter() - self._last_used_at < IDLE_SECONDS and not self._reader.at_eof()

    @classmethod
    async def open(cls, url: str) -> Self:
        """Connect to http://HOST:PORT."""
        address = urlsplit(url)
        return cls(*await asyncio.open_connection(address.hostname, address.port))

    async def ask(
        self, method: str, path: str, body: bytes = b"", content_type: str = "application/json"
    ) -> HttpAnswer:
        """Send a request, and read its answer.

        Raises:
            OSError, IncompleteReadError: the connection broke.
        """
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\n"
        self._writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        lines = (await self._reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
        headers = {name: value.strip() for name, _, value in (line.partition(b":") for line in lines[1:])}
        # A 204 has neither body nor length.
        content = await self._reader.readexactly(int(headers.get(b"content-length", b"0")))
        self._last_used_at = time.perf_counter()
        return HttpAnswer(int(lines[0].split()[1]), headers.get(b"content-type", b"").decode(), content)

    async def close(self) -> None:
        """Close it; a broken connection is fine."""
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()


class ConnectionPool:
    """Connections to one service: reuse the most recent idle one, else open another."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._idle: list[Connection] = []

    async def ask(
        self, method: str, path: str, body: bytes = b"", content_type: str = "application/json"
    ) -> HttpAnswer:
        """Send a request, and read its answer.

        Raises:
            OSError, IncompleteReadError: no connection could be opened, or it broke and is dropped.
        """
        # The newest is last: if it is stale, so are the others, except those whose server was killed.
        while self._idle and not self._idle[-1].is_fresh:
            await self._idle.pop().close()
        connection = self._idle.pop() if self._idle else await Connection.open(self._url)
        try:
            answer = await connection.ask(method, path, body, content_type)
        except BaseException:
            await connection.close()
            raise
        self._idle.append(connection)
        return answer

    async def close(self) -> None:
        """Close all idle connections."""
        while self._idle:
            await self._idle.pop().close()


async def as_fast_as_answered(ask: Callable[[], Awaitable[None]], num_clients: int, seconds: float) -> float:
    """Run a closed loop of `num_clients` clients. Returns the seconds until all have their last answer."""
    started_at = time.perf_counter()

    async def client() -> None:
        while time.perf_counter() - started_at < seconds:
            await ask()

    await asyncio.gather(*(client() for _ in range(num_clients)))
    return time.perf_counter() - started_at


async def at_constant_rate(
    ask: Callable[[float], Coroutine[Any, Any, None]], per_second: float, seconds: float
) -> float:
    """Send a request every 1 / `per_second` seconds for `seconds`, answered or not.

    Args:
        ask: gets the due time of its request, by `time.perf_counter`.
        per_second: rate.
        seconds: duration.

    Returns:
        The seconds until the last answer.
    """
    asking: set[asyncio.Task[None]] = set()
    started_at = time.perf_counter()

    for number in itertools.count():
        due_at = started_at + number / per_second
        if due_at - started_at >= seconds:
            break
        await asyncio.sleep(max(0.0, due_at - time.perf_counter()))
        task = asyncio.create_task(ask(due_at))
        asking.add(task)
        task.add_done_callback(asking.discard)
    await asyncio.gather(*asking)
    return time.perf_counter() - started_at


async def closed_loop(url: str, bodies: Iterator[bytes], num_clients: int, seconds: float) -> Load:
    """Request recommendations in a closed loop of `num_clients` clients."""
    answers: list[Answered] = []
    pool = ConnectionPool(url)

    async def ask() -> None:
        asked_at = time.perf_counter()
        answer = await pool.ask("POST", "/recommend", next(bodies))
        answers.append(Answered(answer.status, time.perf_counter() - asked_at))

    took = await as_fast_as_answered(ask, num_clients, seconds)
    await pool.close()
    return Load(answers, took)


async def constant_rate(url: str, bodies: Iterator[bytes], per_second: float, seconds: float) -> Load:
    """Request recommendations at a constant rate; times count from the due time."""
    answers: list[Answered] = []
    pool = ConnectionPool(url)

    async def ask(due_at: float) -> None:
        status = NO_ANSWER
        with suppress(OSError, asyncio.IncompleteReadError):
            status = (await pool.ask("POST", "/recommend", next(bodies))).status
        answers.append(Answered(status, time.perf_counter() - due_at))

    took = await at_constant_rate(ask, per_second, seconds)
    await pool.close()
    return Load(answers, took)
