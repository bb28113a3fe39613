"""Send a shop's traffic to a service, and record the outcome of each request.

Checks statuses and the form of errors; `traffic` draws the requests and checks the content of answers.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from benchmarks.service.http_load import (
    NO_ANSWER,
    Answered,
    ConnectionPool,
    HttpAnswer,
    Load,
    as_fast_as_answered,
    at_constant_rate,
)
from benchmarks.shop.ledger import Ledger
from benchmarks.shop.traffic import Kind, ShopRequest, ShopTraffic

PATIENCE_SECONDS = 60
"""Time after which a request counts as unanswered."""
PAGE_ITEMS = 200
PROBLEM_MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True)
class ShopAnswered(Answered):
    """Outcome of one request of a kind."""

    kind: Kind
    sent_at: float
    """By `time.perf_counter`, as `ended_at`."""
    ended_at: float


class ShopClients:
    """All clients of one service. Belongs to one event loop."""

    def __init__(self, url: str, traffic: ShopTraffic) -> None:
        self._pool = ConnectionPool(url)
        self._traffic = traffic
        self._declared = declared_statuses(httpx.get(f"{url}/openapi.json", timeout=PATIENCE_SECONDS).json())
        self.answers: list[ShopAnswered] = []
        self.undeclared: Counter[str] = Counter()
        """Answers that the OpenAPI document does not declare, by call and status."""

    @property
    def ledger(self) -> Ledger:
        """Ledger of acknowledged writes."""
        return self._traffic.ledger

    async def ask_as_fast_as_answered(self, num_clients: int, seconds: float) -> Load[ShopAnswered]:
        """Closed loop: each client waits for its answer."""
        first = len(self.answers)

        async def ask() -> None:
            await self._ask(time.perf_counter())

        took = await as_fast_as_answered(ask, num_clients, seconds)
        return Load(self.answers[first:], took)

    async def ask_at_constant_rate(self, per_second: float, seconds: float) -> Load[ShopAnswered]:
        """Constant rate: no client waits."""
        first = len(self.answers)
        took = await at_constant_rate(self._ask, per_second, seconds)
        return Load(self.answers[first:], took)

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.close()

    async def _ask(self, due_at: float) -> None:
        request = self._traffic.next_request()
        sent_at = time.perf_counter()
        answer: HttpAnswer | None = None
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                answer = await self._pool.ask(request.method, request.path, request.body, request.content_type)
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            # `settle` records the missing answer.
            pass
        request.settle(answer, sent_at)
        status = NO_ANSWER if answer is None else answer.status
        ended_at = time.perf_counter()
        self.answers.append(ShopAnswered(status, ended_at - due_at, request.kind, sent_at, ended_at))
        if answer is not None:
            self._check_declared(request, answer)

    def _check_declared(self, request: ShopRequest, answer: HttpAnswer) -> None:
        call = f"{request.method} {request.template}"
        is_problem = answer.status < 400 or (
            answer.media_type == PROBLEM_MEDIA_TYPE and json.loads(answer.body)["status"] == answer.status
        )
        if answer.status not in self._declared[call] or not is_problem:
            self.undeclared[f"{call}: {answer.status}"] += 1


def declared_statuses(document: dict[str, Any]) -> dict[str, set[int]]:
    """Statuses that the OpenAPI document declares, by method and path."""
    return {
        f"{method.upper()} {template}": {int(status) for status in operation["responses"] if status.isdecimal()}
        for template, operations in document["paths"].items()
        for method, operation in operations.items()
    }


def catalogue_item_ids(url: str) -> list[str]:
    """Ids of all items of a service."""
    item_ids: list[str] = []
    query: dict[str, str | int] = {"limit": PAGE_ITEMS}
    while True:
        page = httpx.get(f"{url}/items", params=query, timeout=PATIENCE_SECONDS).raise_for_status().json()
        item_ids += [item["item_id"] for item in page["items"]]
        if page["next_cursor"] is None:
            return item_ids
        query["cursor"] = page["next_cursor"]


def count_of_statuses(answers: Sequence[Answered]) -> str:
    """Count answers by status, as text: `200: 17, 429: 3, no answer: 1`."""
    counts = Counter(answer.status for answer in answers)
    return ", ".join(f"{status or 'no answer'}: {counts[status]:,}" for status in sorted(counts))
