"""Gather requests that arrive together into batches for one worker thread.

Knows queues, futures and one thread; knows nothing of histories, recommenders or HTTP. The thread is the only one
that runs the model, so the event loop never waits for it. Start at `Batcher.submit`.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Generic, NamedTuple, Protocol, TypeVar

from service.errors import NotReadyError, OverloadedError

Request = TypeVar("Request")
Answer = TypeVar("Answer")


WEIGHT_OF_NEWEST = 0.3
"""Of the newest batch, in the running mean of the time that a request takes."""
SAFE_SHARE = 0.5
"""Of the deadline that the queue may take: a machine with other work to do is slower all of a sudden."""


class BatchObserver(Protocol):
    """Is told what a batcher does; `metrics.Metrics` is one."""

    def show_queue_depth(self, depth: int) -> None:
        """As many requests wait."""

    def count_batch(self, waited_seconds: Sequence[float], generate_seconds: float) -> None:
        """A batch was run, its requests having waited so long."""


class Batcher(Generic[Request, Answer]):
    """Runs `run_batch` on up to `max_batch_size` requests at once, in a thread of its own.

    While twice as many wait as one batch takes, the oldest are sorted by length into two batches; so a request is
    overtaken by one batch at most. Once the model is free a request waits at most `max_wait_seconds` for company, and
    not at all if there was none the last time. A request that fails fails alone, and one whose client has gone is not
    computed. One that would not be answered within `deadline_seconds`, to judge by the last batches, is refused at
    once. Belongs to one event loop, from `start` to `stop`.
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
        observer: BatchObserver | None = None,
    ) -> None:
        self._run_batch = run_batch
        self._max_batch_size = max_batch_size
        self._max_wait_seconds = max_wait_seconds
        self._max_queue_depth = max_queue_depth
        self._deadline_seconds = deadline_seconds
        self._length_of = length_of
        self._observer = observer
        self._seconds_per_request = 0.0
        self._expected_free_at = 0.0
        self._had_company = True
        self._is_sorted = False
        self._queue: deque[_Waiting[Request, Answer]] = deque()
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
            OverloadedError: `max_queue_depth` requests wait already, or so many that the deadline would pass.
            NotReadyError: `stop` was called, or `start` was not.
            Exception: whatever `run_batch` raised for this request alone.
        """
        if self._is_stopping or self._worker is None:
            raise NotReadyError("the service is starting or shutting down; try again in a moment")
        if len(self._queue) >= self._max_queue_depth:
            raise OverloadedError(
                f"{len(self._queue)} requests wait for the model, as many as are allowed; try again in a second"
            )
        wait_seconds = self._expected_wait_seconds()
        # One is always let in, and measured: an estimate that is far too high must not close the door for good.
        if self._queue and wait_seconds > SAFE_SHARE * self._deadline_seconds:
            raise OverloadedError(
                f"the {len(self._queue)} requests that wait take about {wait_seconds:.1f} seconds, too long for the "
                f"deadline of {self._deadline_seconds:g}; try again in a second"
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
        if self._observer is not None:
            self._observer.show_queue_depth(len(self._queue))

    def _expected_wait_seconds(self) -> float:
        """Until a request that comes now is answered, by the mean of the last ones."""
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
            outcomes = await loop.run_in_executor(self._thread, self._run_each_on_its_own_risk, requests)
            generate_seconds = loop.time() - started_at
            if self._observer is not None:
                self._observer.count_batch([started_at - waiting.since for waiting in batch], generate_seconds)
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
        """The requests to run next; empty once the batcher is stopped and nothing waits."""
        while True:
            await self._wait_until(lambda: bool(self._queue))
            if self._had_company:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._max_wait_seconds):
                        await self._wait_until(lambda: len(self._queue) >= self._max_batch_size)
            # The queue is empty here if every client that waited has gone meanwhile.
            if self._queue or self._is_stopping:
                return self._taken()

    def _taken(self) -> list["_Waiting[Request, Answer]"]:
        """The next batch, out of the queue."""
        size = self._max_batch_size
        if len(self._queue) >= 2 * size and not self._is_sorted:
            oldest = self._queue[0]
            window = [self._queue.popleft() for _ in range(2 * size)]
            window.sort(key=lambda entry: self._length_of(entry.request))
            # The batch with the oldest request goes first, the other one next, whatever comes meanwhile.
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


class _Waiting(NamedTuple, Generic[Request, Answer]):
    request: Request
    future: "asyncio.Future[Answer]"
    since: float
    """By the event loop's clock."""
