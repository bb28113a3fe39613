"""Count a key's calls for all processes at once where they share a Redis; each process for itself where they do not.

Without Redis, or while it is away, N processes let a key call up to N times its rate: none knows of the others' calls.
Knows buckets, here and in Redis; knows nothing of what keys may do. Start at `KeyRates.take`.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from redis.asyncio import Redis

from service.keys.rate import TokenBucket

Answer = TypeVar("Answer")

# `TokenBucket.take`, by the clock of Redis, which all processes share; a clock that was set back fills nothing.
TAKE_ONE = """
local most = tonumber(ARGV[1])
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local kept = redis.call('HMGET', KEYS[1], 'calls', 'filled_at')
local calls = tonumber(kept[1]) or most
local since = math.max(0, now - (tonumber(kept[2]) or now))
calls = math.min(most, calls + since * most / 60)
local wait = 0
if calls >= 1 then calls = calls - 1 else wait = (1 - calls) * 60 / most end
redis.call('HSET', KEYS[1], 'calls', string.format('%.6f', calls), 'filled_at', string.format('%.6f', now))
redis.call('EXPIRE', KEYS[1], 120)
return string.format('%.6f', wait)
"""


class Link(Protocol):
    """A Redis that may be away."""

    async def attempt(self, call: Callable[[Redis], Awaitable[Answer]]) -> Answer | None:
        """What it answers; None if it does not."""


class KeyRates:
    """How many calls each key has left."""

    def __init__(self, clock: Callable[[], float], redis: Link | None = None, prefix: str = "") -> None:
        """`prefix` begins the names of the buckets in Redis."""
        self._clock = clock
        self._redis = redis
        self._prefix = prefix
        self._buckets: dict[str, TokenBucket] = {}

    async def take(self, key_id: str, calls_per_minute: int) -> float:
        """Take one call: 0.0, or how many seconds to wait for one if there is none left."""
        if self._redis is not None:
            name = f"{self._prefix}{key_id}"
            wait = await self._redis.attempt(lambda redis: redis.eval(TAKE_ONE, 1, name, str(calls_per_minute)))
            if wait is not None:
                return float(wait)
        bucket = self._buckets.get(key_id)
        if bucket is None or bucket.calls_per_minute != calls_per_minute:
            bucket = self._buckets[key_id] = TokenBucket(calls_per_minute, self._clock)
        return bucket.take()
