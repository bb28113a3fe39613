"""What the in-process cache promises beyond the contract: bounds, and one computation for equal requests."""

import asyncio

import pytest

from service.recommend.cache import InProcessCache, SingleFlight


async def test_the_answer_not_asked_for_longest_is_forgotten_first() -> None:
    cache = InProcessCache(max_entries=2)
    await cache.put("a", b"1")
    await cache.put("b", b"2")
    await cache.get("a")
    await cache.put("c", b"3")
    assert await cache.get("b") is None
    assert await cache.get("a") == b"1"


async def test_a_cache_of_no_entries_keeps_none() -> None:
    cache = InProcessCache(max_entries=0)
    await cache.put("a", b"1")
    assert await cache.get("a") is None


class SlowComputation:
    """Counts how often it is started; ends when told."""

    def __init__(self) -> None:
        self.num_started = 0
        self.num_cancelled = 0
        self.may_end = asyncio.Event()

    async def __call__(self) -> bytes:
        self.num_started += 1
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.num_cancelled += 1
            raise
        return b"answer"


async def test_equal_requests_at_once_are_computed_once() -> None:
    flights, computation = SingleFlight(), SlowComputation()
    callers = [asyncio.create_task(flights.run("key", computation)) for _ in range(5)]
    await asyncio.sleep(0)
    computation.may_end.set()
    assert await asyncio.gather(*callers) == [b"answer"] * 5
    assert computation.num_started == 1


async def test_a_later_equal_request_is_computed_anew() -> None:
    flights, computation = SingleFlight(), SlowComputation()
    computation.may_end.set()
    await flights.run("key", computation)
    await flights.run("key", computation)
    assert computation.num_started == 2


async def test_a_caller_that_leaves_does_not_take_the_answer_from_the_others() -> None:
    flights, computation = SingleFlight(), SlowComputation()
    leaving = asyncio.create_task(flights.run("key", computation))
    staying = asyncio.create_task(flights.run("key", computation))
    await asyncio.sleep(0.01)
    leaving.cancel()
    await asyncio.sleep(0.01)
    computation.may_end.set()
    assert await staying == b"answer"
    assert computation.num_cancelled == 0


async def test_the_last_caller_to_leave_ends_the_computation_and_a_new_one_can_begin() -> None:
    flights, computation = SingleFlight(), SlowComputation()
    leaving = asyncio.create_task(flights.run("key", computation))
    await asyncio.sleep(0.01)
    leaving.cancel()
    await asyncio.sleep(0.01)
    assert computation.num_cancelled == 1
    computation.may_end.set()
    assert await flights.run("key", computation) == b"answer"


async def test_every_caller_sees_the_error_of_a_failed_computation() -> None:
    async def fail() -> bytes:
        await asyncio.sleep(0)
        raise LookupError("no")

    flights = SingleFlight()
    outcomes = await asyncio.gather(flights.run("key", fail), flights.run("key", fail), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [LookupError, LookupError]
    with pytest.raises(LookupError):
        await flights.run("key", fail)
