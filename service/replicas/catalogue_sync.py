"""Keep this process in step with the others on the same store: their items, and the bundle they activated.

Polls the store every second. With Redis, a process publishes each write on a channel and the others poll at once; a
lost message costs at most that second. Start at `CatalogueSync.start`.
"""

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from service.replicas.redis_link import RedisLink

if TYPE_CHECKING:
    from redis.asyncio import Redis

logger = logging.getLogger("clairo.sync")

LISTEN_SECONDS = 5.0
"""How long to wait for a message before checking that Redis still answers."""


class CatalogueSync:
    """Takes steps, in order, every `interval_seconds`, and as soon as another process publishes a write.

    A failing step is logged once and retried; it ends neither the task nor the steps after it.
    Belongs to one event loop.
    """

    def __init__(
        self,
        *,
        redis: RedisLink | None,
        channel: str,
        interval_seconds: float = 1.0,
    ) -> None:
        self._redis = redis
        self._channel = channel
        self._interval_seconds = interval_seconds
        self._own_name = uuid.uuid4().hex.encode()
        self._must_poll = asyncio.Event()
        self._has_written = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._has_failed = False

    def publish_write(self) -> None:
        """Publish that something was written; returns at once."""
        self._has_written.set()

    async def start(self, steps: Sequence[Callable[[], Awaitable[None]]]) -> None:
        """Begin to take `steps`, each of which reads the store, and to listen where there is Redis."""
        self._tasks.append(asyncio.create_task(self._poll(steps), name="catalogue-sync"))
        if self._redis is not None:
            self._tasks.append(asyncio.create_task(self._listen(self._redis), name="catalogue-sync-listen"))
            self._tasks.append(asyncio.create_task(self._publish(self._redis), name="catalogue-sync-publish"))

    async def stop(self) -> None:
        """Stop at once; a running step is cancelled."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _poll(self, steps: Sequence[Callable[[], Awaitable[None]]]) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._interval_seconds):
                    await self._must_poll.wait()
            self._must_poll.clear()
            failures = [error for step in steps if (error := await _failure_of(step)) is not None]
            # Mostly the database is down, which calls that need it report in detail.
            if failures and not self._has_failed:
                logger.warning("cannot follow the other processes now, retrying: %s", failures[0])
            self._has_failed = bool(failures)

    async def _publish(self, redis: RedisLink) -> None:
        while True:
            await self._has_written.wait()
            self._has_written.clear()
            await redis.attempt(lambda client: client.publish(self._channel, self._own_name))

    async def _listen(self, redis: RedisLink) -> None:
        while True:
            client = redis.new_client(max_connections=2)
            try:
                await self._receive(client)
            except redis.failures as error:
                redis.note_failure(error)
                await asyncio.sleep(self._interval_seconds)
            finally:
                await client.aclose()

    async def _receive(self, client: "Redis") -> None:
        """Wake the polling task at every message of another process, until Redis fails.

        Raises:
            RedisError, OSError: Redis does not answer.
        """
        async with client.pubsub() as channel:
            await channel.subscribe(self._channel)
            while True:
                message = await channel.get_message(ignore_subscribe_messages=True, timeout=LISTEN_SECONDS)
                if message is None:
                    await channel.ping()
                elif message["type"] == "message" and message["data"] != self._own_name:
                    self._must_poll.set()


async def _failure_of(step: Callable[[], Awaitable[None]]) -> Exception | None:
    try:
        await step()
    except Exception as error:
        return error
    return None
