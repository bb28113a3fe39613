"""Gather concurrent requests into batches for one worker thread.

Only this thread runs the model, so the event loop never waits for it. Independent of histories and recommenders. Start
at `Batcher.submit`.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

from service.errors import NotReadyError, OverloadedError
from service.telemetry.metrics import Metrics

Request = TypeVar("Request")
Answer = TypeVar("Answer")


WEIGHT_OF_NEWEST = 0.3
"""Weight of the newest batch in the running mean of seconds per request."""
SAFE_SHARE = 0.5
"""Share of the deadline that the queue may take: a machine may slow down suddenly."""


class Batcher(Generic[Request, Answer]):
    """Runs `run_batch` on up to `max_batch_size` requests at once, in a thread of its own.

    While two batches' worth of requests wait, the oldest are sorted by length into two batches, so at most one batch
    overtakes a request. Once the model is free, a request waits at most `max_wait_seconds` for others, and not at all
    if none came the last time. A failing request fails alone, and one whose client has left is not computed. A request
    that would miss `deadline_seconds`, judging by the last batches, is refused at once. Belongs to one event loop,
    from `start` to `stop`.
    """

    def __init__(
        self,
        run_batch: Callable[[Sequence[Request]], Sequence[Answer]],
        *,
        max_batch_size: int,
        max_wait_seconds: float,
        max_queue_depth: int,
        deadline_seconds: float = math.inf,
        length_of: Callable[[Request], int] = lambda _request: 0,
        metrics: Metrics | None = None,
    ) -> None:
        self._run_batch = run_batch
        self._max_batch_size = max_batch_size
        self._max_wait_seconds = max_wait_seconds
        self._max_queue_depth = max_queue_depth
        self._deadline_seconds = deadline_seconds
        self._length_of = length_of
        self._metrics = metrics
        self._seconds_per_request = 0.0
        self._expected_free_at = 0.0
        self._had_company = True
        self._is_sorted = False
        self._queue: deque[_Waiting[Request, Answer]] = deque()
        self._has_changed = asyncio.Event()
        self._is_stopping = False
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="clairo-model")
        self._worker: asyncio.Task[None] | None = None

    @property
    def full_batch(self) -> int:
        """Number of requests in a full batch."""
        return min(self._max_batch_size, self._max_queue_depth)

    async def start(self) -> None:
        """Accept requests."""
        self._worker = asyncio.create_task(self._work(), name="batcher")

    async def stop(self) -> None:
        """Accept no more requests, answer the waiting ones, and end the thread."""
        self._is_stopping = True
        self._has_changed.set()
        if self._worker is not None:
            await self._worker
        self._thread.shutdown(wait=True)

    async def submit(self, request: Request) -> Answer:
        """Answer one request. Cancelling the caller takes it out of the queue.

        Raises:
            OverloadedError: `max_queue_depth` requests wait, or too many for the deadline.
            NotReadyError: `stop` was called, or `start` was not.
            Exception: raised by `run_batch` for this request alone.
        """
        if self._is_stopping or self._worker is None:
            raise NotReadyError("the service is starting or shutting down; retry in a second")
        if len(self._queue) >= self._max_queue_depth:
            raise OverloadedError(f"{len(self._queue)} requests wait for the model, the maximum; retry in a second")
        wait_seconds = self._expected_wait_seconds()
        # One is always accepted and measured: an estimate far too high must not refuse all requests forever.
        if self._queue and wait_seconds > SAFE_SHARE * self._deadline_seconds:
            raise OverloadedError(
                f"the queue takes about {wait_seconds:.1f} seconds, too long for the deadline of "
                f"{self._deadline_seconds:g} seconds; retry in a second"
            )
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        entry = _Waiting(request, future, loop.time())
        self._queue.append(entry)
        self._show_queue_depth()
        self._has_changed.set()
        try:
            return await future
        except asyncio.CancelledError:
            with suppress(ValueError):
                self._queue.remove(entry)
            self._show_queue_depth()
            raise

    def _show_queue_depth(self) -> None:
        if self._metrics is not None:
            self._metrics.show_queue_depth(len(self._queue))

    def _expected_wait_seconds(self) -> float:
        """Seconds until a request made now is answered, by the running mean."""
        until_free = max(0.0, self._expected_free_at - asyncio.get_running_loop().time())
        num_overtaking = self._max_batch_size if len(self._queue) >= self._max_batch_size else 0
        return until_free + (len(self._queue) + 1 + num_overtaking) * self._seconds_per_request

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            batch = await self._next_batch()
            if not batch:
                return
            self._show_queue_depth()
            requests = [waiting.request for waiting in batch]
            started_at = loop.time()
            self._expected_free_at = started_at + len(batch) * self._seconds_per_request
            outcomes = await loop.run_in_executor(self._thread, self._run_isolating_failures, requests)
            generate_seconds = loop.time() - started_at
            if self._metrics is not None:
                self._metrics.count_batch([started_at - waiting.since for waiting in batch], generate_seconds)
            newest = generate_seconds / len(batch)
            weight = WEIGHT_OF_NEWEST if self._seconds_per_request else 1.0
            self._seconds_per_request += weight * (newest - self._seconds_per_request)
            self._had_company = len(batch) > 1
            for waiting, outcome in zip(batch, outcomes, strict=True):
                if waiting.future.done():
                    continue
                if isinstance(outcome, Exception):
                    waiting.future.set_exception(outcome)
                else:
                    waiting.future.set_result(outcome)

    async def _next_batch(self) -> list["_Waiting[Request, Answer]"]:
        """Requests to run next; empty once the batcher is stopped and the queue is empty."""
        while True:
            await self._wait_until(lambda: bool(self._queue))
            if self._had_company:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._max_wait_seconds):
                        await self._wait_until(lambda: len(self._queue) >= self._max_batch_size)
            # The queue is empty here if every waiting client has left.
            if self._queue or self._is_stopping:
                return self._taken()

    def _taken(self) -> list["_Waiting[Request, Answer]"]:
        """Take the next batch out of the queue."""
        size = self._max_batch_size
        if len(self._queue) >= 2 * size and not self._is_sorted:
            oldest = self._queue[0]
            window = [self._queue.popleft() for _ in range(2 * size)]
            window.sort(key=lambda entry: self._length_of(entry.request))
            # The batch with the oldest request runs first, the other one next, before any newer request.
            halves = [window[:size], window[size:]]
            halves.sort(key=lambda half: all(entry is not oldest for entry in half))
            self._queue.extendleft(reversed(halves[0] + halves[1]))
            self._is_sorted = True
        else:
            self._is_sorted = False
        return [self._queue.popleft() for _ in range(min(size, len(self._queue)))]

    async def _wait_until(self, is_enough: Callable[[], bool]) -> None:
        while not is_enough() and not self._is_stopping:
            self._has_changed.clear()
            await self._has_changed.wait()

    def _run_isolating_failures(self, requests: Sequence[Request]) -> Sequence[Answer | Exception]:
        try:
            answers = self._run_batch(requests)
            if len(answers) != len(requests):
                raise ValueError(f"{len(answers)} answers for {len(requests)} requests")  # noqa: TRY301
        except Exception as error:
            if len(requests) == 1:
                return [error]
            # One of them failed: run alone, it fails alone.
            return [outcome for request in requests for outcome in self._run_isolating_failures([request])]
        return answers


# Found in the queue by identity: requests with arrays cannot be compared.
@dataclass(frozen=True, slots=True, eq=False)
class _Waiting(Generic[Request, Answer]):
    request: Request
    future: "asyncio.Future[Answer]"
    since: float
    """By the event loop's clock."""
