"""The in-process cache beyond its contract: bounds, and one computation for equal concurrent requests."""

import asyncio
import dataclasses

import pytest

from clairo_core.recommendation import RecommendationList
from service.recommend.cache import InProcessCache, SingleFlight
from service.recommend.recommended import decoded, encoded, size_in_memory
from tests.answers import EXPLAINED


async def test_the_least_recently_used_answer_is_forgotten_first() -> None:
    cache = InProcessCache(max_entries=2, size_of=len)
    await cache.put("a", b"1")
    await cache.put("b", b"2")
    await cache.get("a")
    await cache.put("c", b"3")
    assert await cache.get("b") is None
    assert await cache.get("a") == b"1"


async def test_a_cache_of_no_entries_keeps_none() -> None:
    cache = InProcessCache(max_entries=0, size_of=len)
    await cache.put("a", b"1")
    assert await cache.get("a") is None


def test_the_size_of_an_answer_grows_with_its_items_and_explanations() -> None:
    bare = dataclasses.replace(EXPLAINED, explanations=())
    empty = dataclasses.replace(bare, answer=RecommendationList(()))
    assert 0 < size_in_memory(empty) < size_in_memory(bare) < size_in_memory(EXPLAINED)


def test_decoding_an_encoded_answer_returns_it() -> None:
    assert decoded(encoded(EXPLAINED)) == EXPLAINED


class SlowComputation:
    """Counts its starts; ends once `may_end` is set."""

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
    flights, computation = SingleFlight[bytes](), SlowComputation()
    callers = [asyncio.create_task(flights.run("key", computation)) for _ in range(5)]
    await asyncio.sleep(0)
    computation.may_end.set()
    assert await asyncio.gather(*callers) == [b"answer"] * 5
    assert computation.num_started == 1


async def test_a_later_equal_request_is_computed_again() -> None:
    flights, computation = SingleFlight[bytes](), SlowComputation()
    computation.may_end.set()
    await flights.run("key", computation)
    await flights.run("key", computation)
    assert computation.num_started == 2


async def test_a_caller_that_leaves_keeps_the_computation_running_for_the_others() -> None:
    flights, computation = SingleFlight[bytes](), SlowComputation()
    leaving = asyncio.create_task(flights.run("key", computation))
    staying = asyncio.create_task(flights.run("key", computation))
    await asyncio.sleep(0.01)
    leaving.cancel()
    await asyncio.sleep(0.01)
    computation.may_end.set()
    assert await staying == b"answer"
    assert computation.num_cancelled == 0


async def test_the_last_caller_to_leave_ends_the_computation_and_a_new_one_can_begin() -> None:
    flights, computation = SingleFlight[bytes](), SlowComputation()
    leaving = asyncio.create_task(flights.run("key", computation))
    await asyncio.sleep(0.01)
    leaving.cancel()
    await asyncio.sleep(0.01)
    assert computation.num_cancelled == 1
    computation.may_end.set()
    assert await flights.run("key", computation) == b"answer"


async def test_every_caller_gets_the_error_of_a_failed_computation() -> None:
    async def fail() -> bytes:
        await asyncio.sleep(0)
        raise LookupError("no")

    flights = SingleFlight[bytes]()
    outcomes = await asyncio.gather(flights.run("key", fail), flights.run("key", fail), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [LookupError, LookupError]
    with pytest.raises(LookupError):
        await flights.run("key", fail)
