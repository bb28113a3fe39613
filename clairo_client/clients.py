"""`CLAIRO` and `AsyncCLAIRO`: send calls, retry as `Retry-After` asks, raise problems as exceptions.

Every operation is a method named by its operationId, with the arguments of the function of that name in
`clairo_client.calls`.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from functools import wraps
from types import TracebackType
from typing import Any, Generic, ParamSpec, Self, TypeVar, overload

import httpx2

from clairo_client import calls
from clairo_client.calls import Call
from clairo_client.problems import problem_of, unreadable

Answer = TypeVar("Answer")
Arguments = ParamSpec("Arguments")

TRY_AGAIN = frozenset({429, 503})
NOT_CARRIED_OUT = frozenset({429})
FIRST_WAIT_SECONDS = 0.25
MAX_WAIT_SECONDS = 30.0


class _Attempts:
    """The attempts left for a call, and the waits between them."""

    def __init__(self, max_attempts: int, *, is_repeatable: bool) -> None:
        self._left = max_attempts
        self._statuses = TRY_AGAIN if is_repeatable else NOT_CARRIED_OUT
        self._wait_seconds = FIRST_WAIT_SECONDS

    def seconds_before_next(self, outcome: httpx2.Response | httpx2.TransportError) -> float | None:
        """The wait before the next attempt; None if this outcome is final.

        Of transport errors, only failures to connect are retried: a sent request may have been carried out.
        """
        self._left -= 1
        if isinstance(outcome, httpx2.Response):
            is_worth_it = outcome.status_code in self._statuses
            asked = outcome.headers.get("Retry-After", "")
        else:
            is_worth_it, asked = isinstance(outcome, httpx2.ConnectError | httpx2.ConnectTimeout), ""
        if not is_worth_it or self._left <= 0:
            return None
        wait_seconds = max(self._wait_seconds, float(asked) if asked.isdecimal() else 0.0)
        self._wait_seconds *= 2
        # Random, so that clients refused together do not retry together.
        return min(MAX_WAIT_SECONDS, wait_seconds) * random.uniform(1.0, 1.25)  # noqa: S311


class _Client:
    """Settings of both clients."""

    def __init__(
        self, url: str, *, api_key: str | None = None, timeout_seconds: float = 60.0, max_attempts: int = 4
    ) -> None:
        """Send nothing yet.

        Args:
            url: of the service, such as `http://127.0.0.1:8000`.
            api_key: sent as `Authorization: Bearer`.
            timeout_seconds: per attempt; calls that bring a bundle into service have half an hour.
            max_attempts: for a call that is answered 429 or 503, the first attempt included.
        """
        self._base_url = url.rstrip("/")
        # A key read from a file ends with a line break, and a variable may be empty.
        key = (api_key or "").strip()
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._timeout_seconds = timeout_seconds
        self._max_attempts = max_attempts

    def _attempts(self, call: Call[Any]) -> _Attempts:
        return _Attempts(self._max_attempts, is_repeatable=call.is_repeatable)

    def _request(self, call: Call[Any]) -> dict[str, Any]:
        return {
            "method": call.method,
            "url": call.path,
            "params": call.query,
            "json": call.body,
            "content": call.content,
            "headers": call.headers,
            "timeout": httpx2.Timeout(self._timeout_seconds, read=max(self._timeout_seconds, call.timeout_seconds)),
        }


def _read(call: Call[Answer], answer: httpx2.Response) -> Answer:
    try:
        return call.read(answer)
    except ValueError as error:
        raise unreadable(answer, error) from error


class _Method(Generic[Arguments, Answer]):
    """Turns a function that makes a call into a method that sends it, sync or async."""

    def __init__(self, make: Callable[Arguments, Call[Answer]]) -> None:
        self._make = make
        self.__doc__ = make.__doc__

    @overload
    def __get__(self, client: "CLAIRO", owner: object = None) -> Callable[Arguments, Answer]: ...
    @overload
    def __get__(self, client: "AsyncCLAIRO", owner: object = None) -> Callable[Arguments, Awaitable[Answer]]: ...
    @overload
    def __get__(self, client: None, owner: object = None) -> Self: ...
    def __get__(self, client: "CLAIRO | AsyncCLAIRO | None", owner: object = None) -> object:
        if client is None:
            return self
        send, make = client.send, self._make

        @wraps(make)
        def method(*arguments: Arguments.args, **named: Arguments.kwargs) -> object:
            return send(make(*arguments, **named))

        return method


class _Operations:
    """All operations of the service."""

    recommend = _Method(calls.recommend)
    recommend_batch = _Method(calls.recommend_batch)
    list_similar_items = _Method(calls.list_similar_items)
    list_popular_items = _Method(calls.list_popular_items)
    list_trending_items = _Method(calls.list_trending_items)
    list_latest_items = _Method(calls.list_latest_items)
    list_items_bought_together = _Method(calls.list_items_bought_together)
    list_complements = _Method(calls.list_complements)
    list_items_to_buy_again = _Method(calls.list_items_to_buy_again)
    list_placements = _Method(calls.list_placements)
    get_placement = _Method(calls.get_placement)
    put_placement = _Method(calls.put_placement)
    delete_placement = _Method(calls.delete_placement)
    preview_placement = _Method(calls.preview_placement)
    create_item = _Method(calls.create_item)
    put_item = _Method(calls.put_item)
    patch_item = _Method(calls.patch_item)
    patch_items = _Method(calls.patch_items)
    patch_item_lines = _Method(calls.patch_item_lines)
    get_schema = _Method(calls.get_schema)
    put_schema = _Method(calls.put_schema)
    create_items = _Method(calls.create_items)
    list_jobs = _Method(calls.list_jobs)
    get_job = _Method(calls.get_job)
    retire_item = _Method(calls.retire_item)
    list_items = _Method(calls.list_items)
    get_item = _Method(calls.get_item)
    get_item_picture = _Method(calls.get_item_picture)
    add_feedback = _Method(calls.add_feedback)
    add_feedback_lines = _Method(calls.add_feedback_lines)
    list_users = _Method(calls.list_users)
    get_user = _Method(calls.get_user)
    forget_user = _Method(calls.forget_user)
    merge_session = _Method(calls.merge_session)
    remove_event = _Method(calls.remove_event)
    list_bundles = _Method(calls.list_bundles)
    get_bundle = _Method(calls.get_bundle)
    activate_bundle = _Method(calls.activate_bundle)
    roll_back_bundle = _Method(calls.roll_back_bundle)
    list_experiments = _Method(calls.list_experiments)
    start_experiment = _Method(calls.start_experiment)
    end_experiment = _Method(calls.end_experiment)
    check_live = _Method(calls.check_live)
    check_ready = _Method(calls.check_ready)
    get_info = _Method(calls.get_info)
    get_metrics = _Method(calls.get_metrics)


class CLAIRO(_Client, _Operations):
    """A synchronous client, safe for several threads. Close it, or use it in a `with`."""

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        timeout_seconds: float = 60.0,
        max_attempts: int = 4,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        super().__init__(url, api_key=api_key, timeout_seconds=timeout_seconds, max_attempts=max_attempts)
        self._http = httpx2.Client(base_url=self._base_url, headers=self._headers, transport=transport)

    def send(self, call: Call[Answer]) -> Answer:
        """Send one call and read its answer.

        Raises:
            ProblemError: the service answered with an error, or something else answered; see its subclasses.
            httpx2.TransportError: the service cannot be reached, or the connection broke.
        """
        attempts = self._attempts(call)
        while True:
            try:
                answer = self._http.request(**self._request(call))
            except httpx2.TransportError as error:
                wait_seconds = attempts.seconds_before_next(error)
                if wait_seconds is None:
                    raise
            else:
                if answer.is_success:
                    return _read(call, answer)
                wait_seconds = attempts.seconds_before_next(answer)
                if wait_seconds is None:
                    raise problem_of(answer)
            time.sleep(wait_seconds)

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncCLAIRO(_Client, _Operations):
    """An asynchronous client for one event loop. Close it, or use it in an `async with`."""

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        timeout_seconds: float = 60.0,
        max_attempts: int = 4,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        super().__init__(url, api_key=api_key, timeout_seconds=timeout_seconds, max_attempts=max_attempts)
        self._http = httpx2.AsyncClient(base_url=self._base_url, headers=self._headers, transport=transport)

    async def send(self, call: Call[Answer]) -> Answer:
        """Send one call and read its answer.

        Raises:
            ProblemError: the service answered with an error, or something else answered; see its subclasses.
            httpx2.TransportError: the service cannot be reached, or the connection broke.
        """
        attempts = self._attempts(call)
        while True:
            try:
                answer = await self._http.request(**self._request(call))
            except httpx2.TransportError as error:
                wait_seconds = attempts.seconds_before_next(error)
                if wait_seconds is None:
                    raise
            else:
                if answer.is_success:
                    return _read(call, answer)
                wait_seconds = attempts.seconds_before_next(answer)
                if wait_seconds is None:
                    raise problem_of(answer)
            await asyncio.sleep(wait_seconds)

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
