"""Keep computed answers, and compute equal concurrent requests only once.

Answers never go stale: keys hold bundle and catalogue version, so a newer catalogue looks up other keys. Independent
of the kind of answer. `redis_cache.RedisCache` is shared by processes.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

Answer = TypeVar("Answer")


class Cache(Protocol[Answer]):
    """Key -> answer, bounded; an answer may be forgotten at any time."""

    async def get(self, key: str) -> Answer | None:
        """The answer kept under this key, or None."""

    async def put(self, key: str, answer: Answer) -> None:
        """Keep an answer."""


class InProcessCache(Generic[Answer]):
    """A `Cache` in this process's memory; the least recently used answer is forgotten first.

    Bounded by the number of answers, by their bytes, keys included, and by their age.
    """

    def __init__(
        self,
        max_entries: int,
        *,
        size_of: Callable[[Answer], int],
        max_bytes: int = 64 * 1024 * 1024,
        ttl_seconds: float = 3600.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`size_of` measures an answer in bytes, once, when it is kept."""
        self._max_entries = max_entries
        self._size_of = size_of
        self._max_bytes = max_bytes
        self._ttl_seconds = ttl_seconds
        self._now = now
        self._kept: OrderedDict[str | bytes, _Kept[Answer]] = OrderedDict()
        self._num_bytes = 0

    async def get(self, key: str | bytes) -> Answer | None:
        """See `Cache.get`."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        if kept.expires_at <= self._now():
            self._forget(key)
            return None
        self._kept.move_to_end(key)
        return kept.answer

    async def put(self, key: str | bytes, answer: Answer) -> None:
        """See `Cache.put`."""
        self._forget(key)
        self._kept[key] = kept = _Kept(answer, len(key) + self._size_of(answer), self._now() + self._ttl_seconds)
        self._num_bytes += kept.num_bytes
        while self._kept and (len(self._kept) > self._max_entries or self._num_bytes > self._max_bytes):
            self._forget(next(iter(self._kept)))

    def _forget(self, key: str | bytes) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._num_bytes -= kept.num_bytes


class _Kept(NamedTuple, Generic[Answer]):
    answer: Answer
    num_bytes: int
    expires_at: float


class SingleFlight(Generic[Answer]):
    """Share one computation among concurrent callers of the same key."""

    def __init__(self) -> None:
        self._flights: dict[str, _Flight[Answer]] = {}

    async def run(self, key: str, compute: Callable[[], Coroutine[Any, Any, Answer]]) -> Answer:
        """Return or raise the outcome of `compute`, the same for every caller.

        A cancelled caller leaves the computation running for the others; the last one to leave ends it.
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
class _Flight(Generic[Answer]):
    task: asyncio.Task[Answer]
    num_waiting: int = 0
