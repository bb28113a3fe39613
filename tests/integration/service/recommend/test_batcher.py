"""The batcher: batches, limits, failures and clients that leave."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Sequence

import numpy as np
import pytest

from service.errors import NotReadyError, OverloadedError
from service.recommend.batcher import Batcher


class Doubler:
    """Doubles numbers, records its batches, refuses 13, and can be held up."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.threads: set[str] = set()
        self.may_run = threading.Event()
        self.may_run.set()

    def __call__(self, numbers: Sequence[int]) -> list[int]:
        self.may_run.wait(timeout=10)
        self.batches.append(list(numbers))
        self.threads.add(threading.current_thread().name)
        if any(np.any(number == 13) for number in numbers):
            raise ValueError("13 is unlucky")
        return [2 * number for number in numbers]


@pytest.fixture
async def doubler() -> Doubler:
    return Doubler()


@pytest.fixture
async def batcher(doubler: Doubler) -> AsyncIterator[Batcher[int, int]]:
    batcher: Batcher[int, int] = Batcher(doubler, max_batch_size=4, max_wait_seconds=0.02, max_queue_depth=6)
    await batcher.start()
    yield batcher
    doubler.may_run.set()
    await batcher.stop()


async def test_requests_that_arrive_together_run_together(batcher: Batcher[int, int], doubler: Doubler) -> None:
    assert await asyncio.gather(*(batcher.submit(number) for number in (1, 2, 3))) == [2, 4, 6]
    assert doubler.batches == [[1, 2, 3]]


async def test_a_batch_never_grows_past_its_limit(batcher: Batcher[int, int], doubler: Doubler) -> None:
    await asyncio.gather(*(batcher.submit(number) for number in range(6)))
    assert [len(batch) for batch in doubler.batches] == [4, 2]


async def test_one_other_thread_runs_every_batch(batcher: Batcher[int, int], doubler: Doubler) -> None:
    await batcher.submit(1)
    await batcher.submit(2)
    assert len(doubler.threads) == 1
    assert threading.current_thread().name not in doubler.threads


async def test_a_failing_request_fails_alone(batcher: Batcher[int, int]) -> None:
    outcomes = await asyncio.gather(*(batcher.submit(number) for number in (1, 13, 3)), return_exceptions=True)
    assert outcomes[0] == 2
    assert isinstance(outcomes[1], ValueError)
    assert outcomes[2] == 6


async def test_one_request_too_many_is_refused(batcher: Batcher[int, int], doubler: Doubler) -> None:
    doubler.may_run.clear()
    running = asyncio.create_task(batcher.submit(0))
    await asyncio.sleep(0.1)
    waiting = [asyncio.create_task(batcher.submit(number)) for number in range(1, 7)]
    await asyncio.sleep(0.01)
    with pytest.raises(OverloadedError):
        await batcher.submit(7)
    doubler.may_run.set()
    assert await running == 0
    assert await asyncio.gather(*waiting) == [2, 4, 6, 8, 10, 12]


async def test_the_request_of_a_client_that_left_is_not_computed(batcher: Batcher[int, int], doubler: Doubler) -> None:
    doubler.may_run.clear()
    running = asyncio.create_task(batcher.submit(0))
    await asyncio.sleep(0.1)
    leaving = asyncio.create_task(batcher.submit(1))
    staying = asyncio.create_task(batcher.submit(2))
    await asyncio.sleep(0.01)
    leaving.cancel()
    doubler.may_run.set()
    assert await running == 0
    assert await staying == 4
    assert doubler.batches == [[0], [2]]


async def test_a_client_that_left_is_found_behind_a_request_that_cannot_be_compared(
    batcher: Batcher[np.ndarray, np.ndarray], doubler: Doubler
) -> None:
    """As filters of equal histories: arrays of items."""
    doubler.may_run.clear()
    running = asyncio.create_task(batcher.submit(np.zeros(2)))
    await asyncio.sleep(0.1)
    staying = asyncio.create_task(batcher.submit(np.ones(2)))
    leaving = asyncio.create_task(batcher.submit(np.full(2, 2.0)))
    await asyncio.sleep(0.01)
    leaving.cancel()
    doubler.may_run.set()
    await asyncio.gather(running, staying)
    assert [len(batch) for batch in doubler.batches] == [1, 1]


async def test_a_client_that_leaves_during_its_batch_does_not_affect_the_others(
    batcher: Batcher[int, int], doubler: Doubler
) -> None:
    doubler.may_run.clear()
    leaving = asyncio.create_task(batcher.submit(1))
    staying = asyncio.create_task(batcher.submit(2))
    await asyncio.sleep(0.1)
    leaving.cancel()
    doubler.may_run.set()
    assert await staying == 4
    assert await batcher.submit(5) == 10


async def test_stopping_answers_waiting_requests_and_refuses_new_ones(doubler: Doubler) -> None:
    batcher: Batcher[int, int] = Batcher(doubler, max_batch_size=2, max_wait_seconds=0.01, max_queue_depth=10)
    await batcher.start()
    waiting = [asyncio.create_task(batcher.submit(number)) for number in range(5)]
    await asyncio.sleep(0)
    await batcher.stop()
    assert await asyncio.gather(*waiting) == [0, 2, 4, 6, 8]
    with pytest.raises(NotReadyError):
        await batcher.submit(1)


async def test_a_batch_with_missing_answers_is_an_error_not_a_hang() -> None:
    batcher: Batcher[int, int] = Batcher(lambda _numbers: [], max_batch_size=2, max_wait_seconds=0, max_queue_depth=10)
    await batcher.start()
    with pytest.raises(ValueError, match="0 answers for 1"):
        await batcher.submit(1)
    await batcher.stop()


async def test_waiting_requests_of_similar_length_run_together_and_the_oldest_runs_first(doubler: Doubler) -> None:
    doubler.may_run.clear()
    batcher: Batcher[int, int] = Batcher(
        doubler, max_batch_size=3, max_wait_seconds=0, max_queue_depth=20, length_of=lambda number: number // 100
    )
    await batcher.start()
    running = asyncio.create_task(batcher.submit(0))
    await asyncio.sleep(0.05)
    numbers = [501, 101, 502, 102, 503, 103, 901]
    waiting = [asyncio.create_task(batcher.submit(number)) for number in numbers]
    await asyncio.sleep(0.01)
    doubler.may_run.set()
    assert await asyncio.gather(running, *waiting) == [0, *(2 * number for number in numbers)]
    assert [set(batch) for batch in doubler.batches] == [{0}, {501, 502, 503}, {101, 102, 103}, {901}]
    await batcher.stop()


class Sleeper:
    """Takes the same time per request, like a busy model."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.num_answered = 0

    def __call__(self, numbers: Sequence[int]) -> list[int]:
        time.sleep(self.seconds * len(numbers))
        self.num_answered += len(numbers)
        return list(numbers)


async def test_a_request_that_would_miss_the_deadline_is_refused_at_once() -> None:
    deadline_seconds = 2.0
    # Even if the machine stalls for the time of one request, half as many are accepted.
    sleeper = Sleeper(deadline_seconds / 20)
    batcher: Batcher[int, int] = Batcher(
        sleeper, max_batch_size=2, max_wait_seconds=0, max_queue_depth=1000, deadline_seconds=deadline_seconds
    )
    await batcher.start()
    await batcher.submit(0)
    started_at = asyncio.get_running_loop().time()
    submitted = [asyncio.create_task(batcher.submit(number)) for number in range(100)]
    outcomes = await asyncio.gather(*submitted, return_exceptions=True)
    seconds = asyncio.get_running_loop().time() - started_at
    refused = [outcome for outcome in outcomes if isinstance(outcome, OverloadedError)]
    assert 1 + len(outcomes) - len(refused) == sleeper.num_answered
    assert 5 <= len(outcomes) - len(refused) <= 15
    assert seconds < 2 * deadline_seconds
    await batcher.stop()


async def test_after_one_slow_batch_requests_are_accepted_again() -> None:
    sleeper = Sleeper(0.3)
    batcher: Batcher[int, int] = Batcher(
        sleeper, max_batch_size=2, max_wait_seconds=0, max_queue_depth=10, deadline_seconds=0.1
    )
    await batcher.start()
    await batcher.submit(0)
    sleeper.seconds = 0.0
    assert await batcher.submit(1) == 1
    assert await batcher.submit(2) == 2
    await batcher.stop()


async def test_a_lone_client_does_not_wait_for_others_again() -> None:
    batcher: Batcher[int, int] = Batcher(Doubler(), max_batch_size=4, max_wait_seconds=0.5, max_queue_depth=6)
    await batcher.start()
    await batcher.submit(1)
    started_at = asyncio.get_running_loop().time()
    await batcher.submit(2)
    assert asyncio.get_running_loop().time() - started_at < 0.25
    await batcher.stop()
