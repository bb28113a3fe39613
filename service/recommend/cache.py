"""Keep computed answers, and compute equal ones that are asked for at the same time only once.

Keys and values are text and bytes. Nothing is ever deleted because it went stale: a key holds bundle and catalogue
version, so a newer catalogue asks for other keys. Knows nothing of what the answers say. `redis_cache.RedisCache`
is the one that several processes share.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol


class Cache(Protocol):
    """Key -> answer, bounded; an answer may be forgotten at any time."""

    async def get(self, key: str) -> bytes | None:
        """The answer kept under this key, or None."""

    async def put(self, key: str, answer: bytes) -> None:
        """Keep an answer."""


class InProcessCache:
    """A `Cache` in this process's memory that forgets the answer that was not asked for longest.

    Bounded by the number of answers, by their bytes, keys included, and by their age.
    """

    def __init__(
        self,
        max_entries: int,
        *,
        max_bytes: int = 64 * 1024 * 1024,
        ttl_seconds: float = 3600.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._ttl_seconds = ttl_seconds
        self._now = now
        self._answers: OrderedDict[str, _KeptAnswer] = OrderedDict()
        self._num_bytes = 0

    async def get(self, key: str) -> bytes | None:
        """See `Cache.get`."""
        kept = self._answers.get(key)
        if kept is None:
            return None
        if kept.expires_at <= self._now():
            self._forget(key)
            return None
        self._answers.move_to_end(key)
        return kept.answer

    async def put(self, key: str, answer: bytes) -> None:
        """See `Cache.put`."""
        self._forget(key)
        self._answers[key] = _KeptAnswer(answer, self._now() + self._ttl_seconds)
        self._num_bytes += len(key) + len(answer)
        while self._answers and (len(self._answers) > self._max_entries or self._num_bytes > self._max_bytes):
            self._forget(next(iter(self._answers)))

    def _forget(self, key: str) -> None:
        kept = self._answers.pop(key, None)
        if kept is not None:
            self._num_bytes -= len(key) + len(kept.answer)


class _KeptAnswer(NamedTuple):
    answer: bytes
    expires_at: float


class SingleFlight:
    """Lets callers that want the same key at the same time share one computation."""

    def __init__(self) -> None:
        self._flights: dict[str, _Flight] = {}

    async def run(self, key: str, compute: Callable[[], Coroutine[Any, Any, bytes]]) -> bytes:
        """What `compute` returns or raises, for every caller alike.

        A caller that is cancelled leaves the others' computation running; the last one to leave ends it.
        """
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight(asyncio.create_task(compute()))
        flight.num_waiting += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.num_waiting -= 1
            if flight.num_waiting == 0:
                flight.task.cancel()
            if (flight.task.done() or flight.num_waiting == 0) and self._flights.get(key) is flight:
                del self._flights[key]


@dataclass(slots=True)
class _Flight:
    task: asyncio.Task[bytes]
    num_waiting: int = 0
