"""The batcher: company, limits, failures and clients that leave."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Sequence

import pytest

from service.errors import NotReadyError, OverloadedError
from service.recommend.batcher import Batcher


class Doubler:
    """Doubles numbers, remembers its batches, refuses 13, and waits where it is told to."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.threads: set[str] = set()
        self.may_run = threading.Event()
        self.may_run.set()

    def __call__(self, numbers: Sequence[int]) -> list[int]:
        self.may_run.wait(timeout=10)
        self.batches.append(list(numbers))
        self.threads.add(threading.current_thread().name)
        if 13 in numbers:
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


async def test_one_thread_that_is_not_ours_runs_every_batch(batcher: Batcher[int, int], doubler: Doubler) -> None:
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


async def test_a_client_that_left_is_not_computed_for(batcher: Batcher[int, int], doubler: Doubler) -> None:
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


async def test_a_client_that_leaves_while_its_batch_runs_harms_nobody(
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


async def test_stopping_answers_those_who_wait_and_refuses_the_next(doubler: Doubler) -> None:
    batcher: Batcher[int, int] = Batcher(doubler, max_batch_size=2, max_wait_seconds=0.01, max_queue_depth=10)
    await batcher.start()
    waiting = [asyncio.create_task(batcher.submit(number)) for number in range(5)]
    await asyncio.sleep(0)
    await batcher.stop()
    assert await asyncio.gather(*waiting) == [0, 2, 4, 6, 8]
    with pytest.raises(NotReadyError):
        await batcher.submit(1)


async def test_a_batch_that_answers_too_little_is_an_error_not_a_hang() -> None:
    batcher: Batcher[int, int] = Batcher(lambda _numbers: [], max_batch_size=2, max_wait_seconds=0, max_queue_depth=10)
    await batcher.start()
    with pytest.raises(ValueError, match="0 answers for 1"):
        await batcher.submit(1)
    await batcher.stop()


async def test_while_many_wait_those_of_like_length_run_together_the_oldest_in_the_first(doubler: Doubler) -> None:
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
    """Takes the same time for every request, as a busy model does."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.num_answered = 0

    def __call__(self, numbers: Sequence[int]) -> list[int]:
        time.sleep(self.seconds * len(numbers))
        self.num_answered += len(numbers)
        return list(numbers)


async def test_what_would_not_be_answered_in_time_is_refused_at_once() -> None:
    deadline_seconds = 2.0
    # A machine that stands still for as long as one request takes still lets in half as many.
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


async def test_after_one_slow_batch_requests_are_let_in_again() -> None:
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


async def test_a_lone_client_does_not_wait_for_company_again() -> None:
    batcher: Batcher[int, int] = Batcher(Doubler(), max_batch_size=4, max_wait_seconds=0.5, max_queue_depth=6)
    await batcher.start()
    await batcher.submit(1)
    started_at = asyncio.get_running_loop().time()
    await batcher.submit(2)
    assert asyncio.get_running_loop().time() - started_at < 0.25
    await batcher.stop()
