"""Keep answers in Redis, for all processes, and beside it in this process's memory, for when Redis is away.

Knows keys, lifetimes and two caches; knows nothing of what the answers say. The total size is Redis's own to bound:
its `maxmemory` with `allkeys-lru`, as docker-compose.yml has it.
"""

from service.recommend.cache import Cache
from service.replicas.redis_link import RedisLink

MAX_ANSWER_BYTES = 256 * 1024
"""A larger answer is kept in this process alone."""


class RedisCache:
    """A `Cache` in one Redis. `prefix` says whose keys these are; nothing is kept while Redis is away."""

    def __init__(self, link: RedisLink, prefix: str, *, ttl_seconds: float) -> None:
        self._link = link
        self._prefix = prefix
        self._ttl_milliseconds = max(1, round(ttl_seconds * 1000))

    async def get(self, key: str) -> bytes | None:
        """See `Cache.get`."""
        answer = await self._link.attempt(lambda redis: redis.get(self._prefix + key))
        return answer if isinstance(answer, bytes) else None

    async def put(self, key: str, answer: bytes) -> None:
        """See `Cache.put`."""
        if len(answer) <= MAX_ANSWER_BYTES:
            await self._link.attempt(lambda redis: redis.set(self._prefix + key, answer, px=self._ttl_milliseconds))


class LayeredCache:
    """A `Cache` that asks a near one first and keeps there what a far one knows."""

    def __init__(self, near: Cache, far: Cache) -> None:
        self._near = near
        self._far = far

    async def get(self, key: str) -> bytes | None:
        """See `Cache.get`."""
        answer = await self._near.get(key)
        if answer is None:
            answer = await self._far.get(key)
            if answer is not None:
                await self._near.put(key, answer)
        return answer

    async def put(self, key: str, answer: bytes) -> None:
        """See `Cache.put`."""
        await self._near.put(key, answer)
        await self._far.put(key, answer)
