"""Gather requests that arrive together into batches for one worker thread.

Knows queues, futures and one thread; knows nothing of histories, recommenders or HTTP. The thread is the only one
that runs the model, so the event loop never waits for it. Start at `Batcher.submit`.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Generic, TypeVar

from service.errors import NotReadyError, OverloadedError

Request = TypeVar("Request")
Answer = TypeVar("Answer")


class Batcher(Generic[Request, Answer]):
    """Runs `run_batch` on up to `max_batch_size` requests at once, in a thread of its own.

    A request waits at most `max_wait_seconds` for company once the model is free. A request that fails fails alone,
    and one whose client has gone is not computed. Belongs to one event loop, from `start` to `stop`.
    """

    def __init__(
        self,
        run_batch: Callable[[Sequence[Request]], Sequence[Answer]],
        *,
        max_batch_size: int,
        max_wait_seconds: float,
        max_queue_depth: int,
    ) -> None:
        self._run_batch = run_batch
        self._max_batch_size = max_batch_size
        self._max_wait_seconds = max_wait_seconds
        self._max_queue_depth = max_queue_depth
        self._queue: deque[tuple[Request, asyncio.Future[Answer]]] = deque()
        self._has_changed = asyncio.Event()
        self._is_stopping = False
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="clairo-model")
        self._worker: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to take requests."""
        self._worker = asyncio.create_task(self._work(), name="batcher")

    async def stop(self) -> None:
        """Take no more requests, answer those that wait, and let the thread go."""
        self._is_stopping = True
        self._has_changed.set()
        if self._worker is not None:
            await self._worker
        self._thread.shutdown(wait=True)

    async def submit(self, request: Request) -> Answer:
        """The answer to one request. Cancelling the caller takes the request out of the queue.

        Raises:
            OverloadedError: `max_queue_depth` requests wait already.
            NotReadyError: `stop` was called, or `start` was not.
            Exception: whatever `run_batch` raised for this request alone.
        """
        if self._is_stopping or self._worker is None:
            raise NotReadyError("the service is starting or shutting down; try again in a moment")
        if len(self._queue) >= self._max_queue_depth:
            raise OverloadedError(
                f"{len(self._queue)} requests wait for the model, as many as are allowed; try again in a second"
            )
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        entry = (request, future)
        self._queue.append(entry)
        self._has_changed.set()
        try:
            return await future
        except asyncio.CancelledError:
            with suppress(ValueError):
                self._queue.remove(entry)
            raise

    async def _work(self) -> None:
        while True:
            batch = await self._next_batch()
            if not batch:
                return
            loop = asyncio.get_running_loop()
            requests = [request for request, _ in batch]
            outcomes = await loop.run_in_executor(self._thread, self._run_each_on_its_own_risk, requests)
            for (_, future), outcome in zip(batch, outcomes, strict=True):
                if future.done():
                    continue
                if isinstance(outcome, Exception):
                    future.set_exception(outcome)
                else:
                    future.set_result(outcome)

    async def _next_batch(self) -> list[tuple[Request, "asyncio.Future[Answer]"]]:
        """The requests to run next; empty once the batcher is stopped and nothing waits."""
        while True:
            await self._wait_until(lambda: bool(self._queue))
            with suppress(TimeoutError):
                async with asyncio.timeout(self._max_wait_seconds):
                    await self._wait_until(lambda: len(self._queue) >= self._max_batch_size)
            size = min(self._max_batch_size, len(self._queue))
            # The queue is empty here if every client that waited has gone meanwhile.
            if size or self._is_stopping:
                return [self._queue.popleft() for _ in range(size)]

    async def _wait_until(self, is_enough: Callable[[], bool]) -> None:
        while not is_enough() and not self._is_stopping:
            self._has_changed.clear()
            await self._has_changed.wait()

    def _run_each_on_its_own_risk(self, requests: Sequence[Request]) -> Sequence[Answer | Exception]:
        try:
            answers = self._run_batch(requests)
            if len(answers) != len(requests):
                raise ValueError(f"{len(answers)} answers for {len(requests)} requests")  # noqa: TRY301
        except Exception as error:
            if len(requests) == 1:
                return [error]
            # One of them is to blame: alone, it harms nobody else.
            return [outcome for request in requests for outcome in self._run_each_on_its_own_risk([request])]
        return answers
