"""Ask a service as many clients do: each again once it is answered, or at a constant rate whatever the answers take.

Knows HTTP/1.1 on kept connections, as little of it as our service needs: a client that costs more than the service
would measure itself. Knows nothing of what is asked.
"""

import asyncio
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

import numpy as np

NO_ANSWER = 0
IDLE_SECONDS = 2.0
"""A connection that nobody used for longer is not used again: servers close them, ours after 5 seconds."""


@dataclass(frozen=True, slots=True)
class Answered:
    """One request's end."""

    status: int
    """The HTTP status; NO_ANSWER if the connection broke."""
    seconds: float
    """Since it was sent, or since it was to be sent."""


@dataclass(frozen=True)
class Load:
    """All requests of one run."""

    answers: Sequence[Answered]
    seconds: float

    def with_status(self, status: int) -> int:
        """How many were answered so."""
        return sum(answer.status == status for answer in self.answers)

    @property
    def per_second(self) -> float:
        """Good answers a second."""
        return self.with_status(200) / self.seconds

    def percentile_ms(self, percent: float) -> float:
        """Of the good answers' times."""
        seconds = [answer.seconds for answer in self.answers if answer.status == 200]
        return 1000 * float(np.percentile(seconds, percent)) if seconds else float("inf")


class Connection:
    """One kept connection to a service."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._last_used_at = time.perf_counter()

    @property
    def is_fresh(self) -> bool:
        """Whether the server will still have it open."""
        return time.perf_counter() - self._last_used_at < IDLE_SECONDS

    @classmethod
    async def open(cls, url: str) -> Self:
        """Connect to http://HOST:PORT."""
        address = urlsplit(url)
        return cls(*await asyncio.open_connection(address.hostname, address.port))

    async def post(self, path: str, body: bytes) -> int:
        """The answer's status; the answer itself is read and forgotten."""
        head = f"POST {path} HTTP/1.1\r\nHost: service\r\nContent-Type: application/json\r\n"
        self._writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        lines = (await self._reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
        length = next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:"))
        await self._reader.readexactly(length)
        self._last_used_at = time.perf_counter()
        return int(lines[0].split()[1])

    async def close(self) -> None:
        """Say goodbye."""
        self._writer.close()
        await self._writer.wait_closed()


async def closed_loop(url: str, bodies: Iterator[bytes], num_clients: int, seconds: float) -> Load:
    """`num_clients` clients, each asking again as soon as it is answered."""
    answers: list[Answered] = []
    started_at = time.perf_counter()

    async def client() -> None:
        connection = await Connection.open(url)
        while time.perf_counter() - started_at < seconds:
            asked_at = time.perf_counter()
            status = await connection.post("/recommend", next(bodies))
            answers.append(Answered(status, time.perf_counter() - asked_at))
        await connection.close()

    await asyncio.gather(*(client() for _ in range(num_clients)))
    return Load(answers, time.perf_counter() - started_at)


async def constant_rate(url: str, bodies: Iterator[bytes], per_second: float, seconds: float) -> Load:
    """A request every 1 / `per_second` seconds, whatever becomes of those before; times count from when it was due."""
    answers: list[Answered] = []
    idle: list[Connection] = []
    asking: set[asyncio.Task[None]] = set()
    started_at = time.perf_counter()

    async def ask(due_at: float, body: bytes) -> None:
        status = NO_ANSWER
        try:
            # The newest is last: if that is stale, all are.
            is_one_fresh = bool(idle) and idle[-1].is_fresh
            connection = idle.pop() if is_one_fresh else await Connection.open(url)
            status = await connection.post("/recommend", body)
            idle.append(connection)
        except (OSError, asyncio.IncompleteReadError):
            # What was said is counted; a broken connection is not used again.
            pass
        answers.append(Answered(status, time.perf_counter() - due_at))

    for number in itertools.count():
        due_at = started_at + number / per_second
        if due_at - started_at >= seconds:
            break
        await asyncio.sleep(max(0.0, due_at - time.perf_counter()))
        task = asyncio.create_task(ask(due_at, next(bodies)))
        asking.add(task)
        task.add_done_callback(asking.discard)
    await asyncio.gather(*asking)
    for connection in idle:
        await connection.close()
    return Load(answers, time.perf_counter() - started_at)
