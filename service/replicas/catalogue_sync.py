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

Step = Callable[[], Awaitable[None]]


class CatalogueSync:
    """Takes steps every `interval_seconds`, and as soon as another process publishes a write.

    The steps of a group are taken in order. Groups do not wait for each other: loading a bundle takes minutes, and
    items are followed meanwhile. A failing step is logged once and retried; it ends neither the task nor the steps
    after it. Belongs to one event loop.
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
        self._must_poll: list[asyncio.Event] = []
        """One per group."""
        self._has_written = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def publish_write(self) -> None:
        """Publish that something was written; returns at once."""
        self._has_written.set()

    async def start(self, *groups: Sequence[Step]) -> None:
        """Begin to take the steps, each of which reads the store, and to listen where there is Redis."""
        self._must_poll = [asyncio.Event() for _ in groups]
        for steps, must_poll in zip(groups, self._must_poll, strict=True):
            self._tasks.append(asyncio.create_task(self._poll(steps, must_poll), name="catalogue-sync"))
        if self._redis is not None:
            self._tasks.append(asyncio.create_task(self._listen(self._redis), name="catalogue-sync-listen"))
            self._tasks.append(asyncio.create_task(self._publish(self._redis), name="catalogue-sync-publish"))

    async def stop(self) -> None:
        """Stop at once; a running step is cancelled."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _poll(self, steps: Sequence[Step], must_poll: asyncio.Event) -> None:
        has_failed = False
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._interval_seconds):
                    await must_poll.wait()
            must_poll.clear()
            failures = [error for step in steps if (error := await _failure_of(step)) is not None]
            # Mostly the database is down, which calls that need it report in detail.
            if failures and not has_failed:
                logger.warning("cannot follow the other processes now, retrying: %s", failures[0])
            has_failed = bool(failures)

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
        """Wake the polling tasks at every message of another process, until Redis fails.

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
                    for must_poll in self._must_poll:
                        must_poll.set()


async def _failure_of(step: Step) -> Exception | None:
    try:
        await step()
    except Exception as error:
        return error
    return None
