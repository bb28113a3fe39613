"""Count calls across all processes that share a Redis, or per process without one.

Without Redis, or while it is down, N processes together allow up to N times the rate. Start at `KeyRates.take`.
"""

from collections import OrderedDict
from collections.abc import Callable

from service.keys.rate import TokenBucket
from service.replicas.redis_link import RedisLink

MAX_BUCKETS = 100_000
"""Of one process. A public key has one for each address; the least recently used are dropped."""

# `TokenBucket.take` by the clock of Redis, which all processes share. A clock that is set back refills nothing.
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


class KeyRates:
    """The calls that each key, or each address that uses a public key, has left."""

    def __init__(self, clock: Callable[[], float], redis: RedisLink | None = None, prefix: str = "") -> None:
        """`prefix` is the prefix of the buckets' names in Redis."""
        self._clock = clock
        self._redis = redis
        self._prefix = prefix
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    async def take(self, bucket_name: str, calls_per_minute: int) -> float:
        """Take one call: 0.0, or the seconds until the next is available."""
        if self._redis is not None:
            name = f"{self._prefix}{bucket_name}"
            wait = await self._redis.attempt(lambda redis: redis.eval(TAKE_ONE, 1, name, str(calls_per_minute)))
            if wait is not None:
                return float(wait)
        bucket = self._buckets.get(bucket_name)
        if bucket is None or bucket.calls_per_minute != calls_per_minute:
            bucket = self._buckets[bucket_name] = TokenBucket(calls_per_minute, self._clock)
            if len(self._buckets) > MAX_BUCKETS:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(bucket_name)
        return bucket.take()
