"""One Redis, and whether it answers: every call to it goes through here and none of them can fail.

What Redis gives is a convenience, shared answers and early news, so a Redis that is slow, full, restarted or gone
costs a short timeout once and is then left alone for a while. Knows connections and backoff; knows nothing of what is
asked. Start at `RedisLink.attempt`.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar
from urllib.parse import urlsplit

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

logger = logging.getLogger("clairo.redis")

Answer = TypeVar("Answer")

MAX_CONNECTIONS = 32
FIRST_BACKOFF_SECONDS = 0.5
MAX_BACKOFF_SECONDS = 10.0


class RedisLink:
    """Asks one Redis; belongs to one event loop.

    After a failure nobody asks for a while: half a second at first, twice as long after each further failure, ten
    seconds at most. Then one caller tries while the others still go without.
    """

    def __init__(self, url: str, *, timeout_seconds: float = 0.25, now: Callable[[], float] = time.monotonic) -> None:
        """Nothing is opened yet.

        Raises:
            ValueError: `url` is no redis://, rediss:// or unix:// address.
        """
        self._timeout_seconds = timeout_seconds
        self._now = now
        self._url = url
        self._redis = self.new_client(max_connections=MAX_CONNECTIONS)
        self._name = _without_password(url)
        self._num_failures = 0
        self._may_try_at = 0.0

    @property
    def is_up(self) -> bool:
        """Whether the last call was answered; true before the first."""
        return self._num_failures == 0

    def new_client(self, *, max_connections: int) -> Redis:
        """A client with connections of its own and our short timeouts."""
        pool = BlockingConnectionPool.from_url(
            self._url,
            max_connections=max_connections,
            timeout=self._timeout_seconds,
            socket_timeout=self._timeout_seconds,
            socket_connect_timeout=self._timeout_seconds,
            # A connection kept from before Redis was restarted fails once, though Redis is there.
            retry=Retry(NoBackoff(), 1),
        )
        return Redis.from_pool(pool)

    async def attempt(self, call: Callable[[Redis], Awaitable[Answer]]) -> Answer | None:
        """What Redis answers; None if it does not, or did not a moment ago."""
        if self._num_failures and self._now() < self._may_try_at:
            return None
        self._may_try_at = self._now() + self._backoff_seconds()
        try:
            async with asyncio.timeout(2 * self._timeout_seconds):
                answer = await call(self._redis)
        except (RedisError, OSError, TimeoutError) as error:
            self.note_failure(error)
            return None
        if self._num_failures:
            logger.info("Redis at %s answers again", self._name)
            self._num_failures = 0
        return answer

    def note_failure(self, error: Exception) -> None:
        """Leave Redis alone for a while; said once, until it answers again."""
        if not self._num_failures:
            logger.warning(
                "Redis at %s does not answer (%s): answers are kept in this process until it does",
                self._name,
                type(error).__name__,
            )
        self._num_failures += 1
        self._may_try_at = self._now() + self._backoff_seconds()

    async def check(self) -> bool:
        """Whether Redis answers now; asked no more often than `attempt` would."""
        await self.attempt(lambda redis: redis.ping())
        return self.is_up

    async def close(self) -> None:
        """Let go of every connection."""
        await self._redis.aclose()
        await self._redis.connection_pool.disconnect()

    def _backoff_seconds(self) -> float:
        # The exponent is bounded as well: after a night without Redis it would not fit a float.
        return min(MAX_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2.0 ** min(max(self._num_failures - 1, 0), 10))


def _without_password(url: str) -> str:
    """The address as a log may show it.

    >>> _without_password("redis://app:secret@cache:6379/0")
    'redis://cache:6379/0'
    """
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()
