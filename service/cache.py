"""Keep computed answers, and compute equal ones that are asked for at the same time only once.

Keys and values are text and bytes. Nothing is ever deleted because it went stale: a key holds bundle and catalogue
version, so a newer catalogue asks for other keys. Knows nothing of what the answers say.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol


class Cache(Protocol):
    """Key -> answer, bounded; an answer may be forgotten at any time."""

    async def get(self, key: str) -> bytes | None:
        """The answer kept under this key, or None."""

    async def put(self, key: str, answer: bytes) -> None:
        """Keep an answer."""


class InProcessCache:
    """A `Cache` in this process's memory that forgets the answer that was not asked for longest."""

    def __init__(self, max_entries: int) -> None:
        self._max_entries = max_entries
        self._answers: OrderedDict[str, bytes] = OrderedDict()

    async def get(self, key: str) -> bytes | None:
        """See `Cache.get`."""
        answer = self._answers.get(key)
        if answer is not None:
            self._answers.move_to_end(key)
        return answer

    async def put(self, key: str, answer: bytes) -> None:
        """See `Cache.put`."""
        self._answers[key] = answer
        self._answers.move_to_end(key)
        while len(self._answers) > self._max_entries:
            self._answers.popitem(last=False)


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
