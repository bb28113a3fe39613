"""Cancel the work on an answer when its client disconnects.

The server sends one disconnect message per client. Frameworks receive it while they stream an answer, not while it is
computed.
"""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

Answer = TypeVar("Answer")


async def unless_disconnected(request: Request, work: Coroutine[Any, Any, Answer]) -> Answer:
    """Return or raise the outcome of `work`; call it after the body was read.

    Raises:
        ClientDisconnect: the client left first, and `work` was cancelled.
    """
    working = asyncio.create_task(work)
    listening = asyncio.create_task(_disconnected(request))
    try:
        await asyncio.wait({working, listening}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientDisconnect
    finally:
        for task in (working, listening):
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await task


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
