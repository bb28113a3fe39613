"""Count how often a cache has the answer."""

from service.recommend.cache import Cache
from service.telemetry.metrics import Metrics


class CountedCache:
    """A `Cache` that counts how often it had the answer."""

    def __init__(self, cache: Cache, metrics: Metrics) -> None:
        self._cache = cache
        self._metrics = metrics

    async def get(self, key: str) -> bytes | None:
        """See `Cache.get`."""
        answer = await self._cache.get(key)
        self._metrics.count_cache_request(answer is not None)
        return answer

    async def put(self, key: str, answer: bytes) -> None:
        """See `Cache.put`."""
        await self._cache.put(key, answer)
