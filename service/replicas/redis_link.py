"""Call Redis so that no call can fail.

Redis is optional: it shares answers and announces writes early. One that is slow, full, restarted or gone costs a
short timeout once and is then left alone for a while. Start at `RedisLink.attempt`.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

# The library is imported where there is a Redis: it takes a tenth of the start.
if TYPE_CHECKING:
    from redis.asyncio import Redis

logger = logging.getLogger("clairo.redis")

Answer = TypeVar("Answer")

MAX_CONNECTIONS = 32
FIRST_BACKOFF_SECONDS = 0.5
MAX_BACKOFF_SECONDS = 10.0


class RedisLink:
    """A connection to one Redis; belongs to one event loop.

    After a failure calls are skipped: for half a second at first, twice as long after each further failure, at most
    ten seconds. Then one caller tries while the others still skip.
    """

    def __init__(self, url: str, *, timeout_seconds: float = 0.25, now: Callable[[], float] = time.monotonic) -> None:
        """Connect lazily.

        Raises:
            ValueError: `url` is not a redis://, rediss:// or unix:// address.
        """
        from redis.exceptions import RedisError  # noqa: PLC0415

        self.failures: tuple[type[Exception], ...] = (RedisError, OSError, TimeoutError)
        """What a Redis that does not answer raises."""
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

    def new_client(self, *, max_connections: int) -> "Redis":
        """A client with its own connections and our short timeouts."""
        from redis.asyncio import BlockingConnectionPool, Redis  # noqa: PLC0415
        from redis.asyncio.retry import Retry  # noqa: PLC0415
        from redis.backoff import NoBackoff  # noqa: PLC0415

        pool = BlockingConnectionPool.from_url(
            self._url,
            max_connections=max_connections,
            timeout=self._timeout_seconds,
            socket_timeout=self._timeout_seconds,
            socket_connect_timeout=self._timeout_seconds,
            # A connection from before a restart of Redis fails once.
            retry=Retry(NoBackoff(), 1),
        )
        return Redis.from_pool(pool)

    async def attempt(self, call: "Callable[[Redis], Awaitable[Answer]]") -> Answer | None:
        """The answer of Redis; None if it fails now, or failed a moment ago."""
        if self._num_failures and self._now() < self._may_try_at:
            return None
        self._may_try_at = self._now() + self._backoff_seconds()
        try:
            async with asyncio.timeout(2 * self._timeout_seconds):
                answer = await call(self._redis)
        except self.failures as error:
            self.note_failure(error)
            return None
        if self._num_failures:
            logger.info("Redis at %s answers again", self._name)
            self._num_failures = 0
        return answer

    def note_failure(self, error: Exception) -> None:
        """Skip calls for a while; logged once until Redis answers again."""
        if not self._num_failures:
            logger.warning(
                "Redis at %s does not answer (%s): answers are kept in this process until it does",
                self._name,
                type(error).__name__,
            )
        self._num_failures += 1
        self._may_try_at = self._now() + self._backoff_seconds()

    async def check(self) -> bool:
        """Whether Redis answers now; calls it no more often than `attempt` would."""
        await self.attempt(lambda redis: redis.ping())
        return self.is_up

    async def close(self) -> None:
        """Close every connection."""
        await self._redis.aclose()
        await self._redis.connection_pool.disconnect()

    def _backoff_seconds(self) -> float:
        # The exponent is bounded too: after a night without Redis it would overflow a float.
        return min(MAX_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2.0 ** min(max(self._num_failures - 1, 0), 10))


def _without_password(url: str) -> str:
    """The address for logs.

    >>> _without_password("redis://app:secret@cache:6379/0")
    'redis://cache:6379/0'
    """
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()
