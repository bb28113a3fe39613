"""Keep answers in Redis, for all processes, and in this process's memory, for when Redis is away.

Redis bounds its own total size: `maxmemory` with `allkeys-lru`, as in docker-compose.yml.
"""

from collections.abc import Callable
from typing import Generic

from service.recommend.cache import Answer, Cache
from service.replicas.redis_link import RedisLink

MAX_ANSWER_BYTES = 256 * 1024
"""A larger answer stays in this process."""


class RedisCache(Generic[Answer]):
    """A `Cache` in one Redis, encoded only here; nothing is kept while Redis is away."""

    def __init__(
        self,
        link: RedisLink,
        prefix: str,
        *,
        ttl_seconds: float,
        encode: Callable[[Answer], bytes],
        decode: Callable[[bytes], Answer],
    ) -> None:
        """`prefix` marks our keys; `decode` inverts `encode`."""
        self._link = link
        self._prefix = prefix
        self._ttl_milliseconds = max(1, round(ttl_seconds * 1000))
        self._encode = encode
        self._decode = decode

    async def get(self, key: str) -> Answer | None:
        """See `Cache.get`."""
        encoded = await self._link.attempt(lambda redis: redis.get(self._prefix + key))
        return self._decode(encoded) if isinstance(encoded, bytes) else None

    async def put(self, key: str, answer: Answer) -> None:
        """See `Cache.put`."""
        encoded = self._encode(answer)
        if len(encoded) <= MAX_ANSWER_BYTES:
            await self._link.attempt(lambda redis: redis.set(self._prefix + key, encoded, px=self._ttl_milliseconds))


class LayeredCache(Generic[Answer]):
    """A `Cache` that looks in a near cache first and copies there answers found in a far one."""

    def __init__(self, near: Cache[Answer], far: Cache[Answer]) -> None:
        self._near = near
        self._far = far

    async def get(self, key: str) -> Answer | None:
        """See `Cache.get`."""
        answer = await self._near.get(key)
        if answer is None:
            answer = await self._far.get(key)
            if answer is not None:
                await self._near.put(key, answer)
        return answer

    async def put(self, key: str, answer: Answer) -> None:
        """See `Cache.put`."""
        await self._near.put(key, answer)
        await self._far.put(key, answer)
