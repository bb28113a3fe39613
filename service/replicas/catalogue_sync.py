"""Keep this process in step with the others on the same store: their items, and the bundle they activated.

Asks the store every second. Where there is Redis, whoever wrote something says so on a channel and the others ask at
once; a word that is lost costs no more than that second. Knows the store's changes by their effect alone.
Start at `CatalogueSync.start`.
"""

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from redis.asyncio import Redis
from redis.exceptions import RedisError

from service.replicas.redis_link import RedisLink

logger = logging.getLogger("clairo.sync")

LISTEN_SECONDS = 5.0
"""How long to wait for a word before looking whether Redis still answers."""


class CatalogueSync:
    """Takes steps, in order, every `interval_seconds`, and as soon as another process says that it wrote.

    A step that fails is said once and tried again; it never ends the task. Belongs to one event loop.
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
        self._is_asked = asyncio.Event()
        self._has_written = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._has_failed = False

    def tell_others(self) -> None:
        """Something was written just now; returns at once."""
        self._has_written.set()

    async def start(self, steps: Sequence[Callable[[], Awaitable[None]]]) -> None:
        """Begin to take `steps`, each of which asks the store, and to listen where there is Redis."""
        self._tasks.append(asyncio.create_task(self._ask_again_and_again(steps), name="catalogue-sync"))
        if self._redis is not None:
            self._tasks.append(asyncio.create_task(self._listen(self._redis), name="catalogue-sync-listen"))
            self._tasks.append(asyncio.create_task(self._tell(self._redis), name="catalogue-sync-tell"))

    async def stop(self) -> None:
        """End it; a step that runs is cut off."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _ask_again_and_again(self, steps: Sequence[Callable[[], Awaitable[None]]]) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._interval_seconds):
                    await self._is_asked.wait()
            self._is_asked.clear()
            try:
                for step in steps:
                    await step()
            except Exception as error:
                # The database being away is the usual reason, and said in its own words by whoever needs it.
                if not self._has_failed:
                    logger.warning("cannot follow the other processes now, trying again: %s", error)
                self._has_failed = True
            else:
                self._has_failed = False

    async def _tell(self, redis: RedisLink) -> None:
        while True:
            await self._has_written.wait()
            self._has_written.clear()
            await redis.attempt(lambda client: client.publish(self._channel, self._own_name))

    async def _listen(self, redis: RedisLink) -> None:
        while True:
            client = redis.new_client(max_connections=2)
            try:
                await self._hear(client)
            except (RedisError, OSError, TimeoutError) as error:
                redis.note_failure(error)
                await asyncio.sleep(self._interval_seconds)
            finally:
                await client.aclose()

    async def _hear(self, client: Redis) -> None:
        """Wake the asking task at every word of others, until Redis fails.

        Raises:
            RedisError, OSError: Redis does not answer.
        """
        async with client.pubsub() as channel:
            await channel.subscribe(self._channel)
            while True:
                word = await channel.get_message(ignore_subscribe_messages=True, timeout=LISTEN_SECONDS)
                if word is None:
                    await channel.ping()
                elif word["type"] == "message" and word["data"] != self._own_name:
                    self._is_asked.set()
