"""A client that leaves cancels the work on its answer."""

import asyncio
from collections.abc import Callable

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from service.http.disconnect import unless_disconnected


def request_that_receives(messages: "asyncio.Queue[Message]") -> Request:
    return Request({"type": "http", "method": "POST", "path": "/", "headers": []}, messages.get)


@pytest.fixture
async def messages() -> "asyncio.Queue[Message]":
    return asyncio.Queue()


class Work:
    """Ends once released, and records whether it was cancelled."""

    def __init__(self) -> None:
        self.may_end = asyncio.Event()
        self.was_cancelled = False

    async def run(self, outcome: Callable[[], int]) -> int:
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise
        return outcome()


async def test_a_client_that_stays_gets_the_answer(messages: "asyncio.Queue[Message]") -> None:
    work = Work()
    work.may_end.set()
    assert await unless_disconnected(request_that_receives(messages), work.run(lambda: 7)) == 7


async def test_a_client_that_leaves_cancels_the_work(messages: "asyncio.Queue[Message]") -> None:
    work = Work()
    answering = asyncio.create_task(unless_disconnected(request_that_receives(messages), work.run(lambda: 7)))
    await asyncio.sleep(0.01)
    messages.put_nowait({"type": "http.disconnect"})
    with pytest.raises(ClientDisconnect):
        await answering
    assert work.was_cancelled


async def test_an_error_of_the_work_is_raised(messages: "asyncio.Queue[Message]") -> None:
    work = Work()
    work.may_end.set()

    def fail() -> int:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await unless_disconnected(request_that_receives(messages), work.run(fail))


async def test_cancelling_the_answer_cancels_the_work(messages: "asyncio.Queue[Message]") -> None:
    work = Work()
    answering = asyncio.create_task(unless_disconnected(request_that_receives(messages), work.run(lambda: 7)))
    await asyncio.sleep(0.01)
    answering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await answering
    assert work.was_cancelled
