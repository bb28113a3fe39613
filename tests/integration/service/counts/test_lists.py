"""GET /popular, /trending, /latest and /users/{id}/buy-again, with filters, and their bad input."""

import json
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx
import pytest

from clairo_core.bundle.bundle import Bundle
from tests.running_service import running_service

DAY = 86_400.0


@pytest.fixture
async def http(bundle: Bundle) -> AsyncIterator[httpx.AsyncClient]:
    async with running_service(bundle) as http:
        yield http


async def record(http: httpx.AsyncClient, *events: tuple[str, str, str, float]) -> None:
    """Events of (user, item, type, days ago)."""
    now = time.time()
    body = [
        {"user_id": user, "item_id": item, "type": kind, "timestamp": now - days * DAY}
        for user, item, kind, days in events
    ]
    answer = await http.post("/feedback", json={"events": body})
    assert answer.status_code == 200, answer.text


async def listed(http: httpx.AsyncClient, path: str, **query: Any) -> list[dict[str, Any]]:
    answer = await http.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]  # type: ignore[no-any-return]


def ids(items: Sequence[dict[str, Any]]) -> list[str]:
    return [one["item"]["item_id"] for one in items]


async def test_users_are_counted_and_not_events(http: httpx.AsyncClient) -> None:
    robot = [("robot", "item-1", "view", 0.001 * number) for number in range(50)]
    await record(http, *robot, ("ann", "item-2", "view", 1), ("bob", "item-2", "view", 2), ("eve", "item-2", "view", 9))
    found = await listed(http, "/popular", limit=3)
    assert ids(found)[:2] == ["item-2", "item-1"]
    assert [one["num_users"] for one in found] == [2, 1, 0]
    assert (await listed(http, "/popular", window="30d", limit=1))[0]["num_users"] == 3


async def test_impressions_and_dislikes_make_nothing_popular(http: httpx.AsyncClient) -> None:
    await record(http, ("ann", "item-1", "impression", 1), ("bob", "item-1", "dislike", 1))
    assert {one["num_users"] for one in await listed(http, "/popular", limit=60)} == {0}


async def test_a_retired_item_and_one_that_fails_the_filter_are_not_popular(http: httpx.AsyncClient) -> None:
    await record(http, ("ann", "item-1", "view", 1), ("bob", "item-2", "view", 1))
    await http.delete("/items/item-1")
    assert "item-1" not in ids(await listed(http, "/popular", limit=100))
    mugs = {"attribute": "category", "equals": "mug"}
    found = await listed(http, "/popular", limit=100, filter=json.dumps(mugs))
    assert {one["item"]["attributes"]["category"] for one in found} == {"mug"}


async def test_items_that_rise_trend(http: httpx.AsyncClient) -> None:
    await record(
        http,
        *[(f"u{user}", "item-1", "view", 1) for user in range(5)],
        *[(f"u{user}", "item-2", "view", 1) for user in range(6)],
        *[(f"u{user}", "item-2", "view", 8) for user in range(6)],
        ("ann", "item-3", "view", 8),
    )
    (found,) = await listed(http, "/trending")
    assert (found["item"]["item_id"], found["num_users"], found["num_users_before"]) == ("item-1", 5, 0)


async def test_the_latest_items_are_those_posted_last(http: httpx.AsyncClient) -> None:
    assert await listed(http, "/latest") == []
    for name in ("first", "second"):
        assert (await http.post("/items", json={"item_id": name, "title": f"the {name} lamp"})).status_code == 201
    found = await listed(http, "/latest", window="1h")
    assert ids(found) == ["second", "first"]


async def test_an_item_is_due_again_after_its_interval(http: httpx.AsyncClient) -> None:
    steady = [(user, "item-5", "purchase", days) for user in ("ann", "bob") for days in (60, 40, 20.5)]
    await record(
        http,
        *steady,
        *[("bob", "item-5", "purchase", 2)],
        *[("ann", "item-6", "purchase", days) for days in (90, 60, 31, 5)],
        *[("ann", "item-7", "view", days) for days in (90, 60, 30, 25)],
    )
    (due,) = await listed(http, "/users/ann/buy-again")
    assert due["item"]["item_id"] == "item-5"
    assert due["interval_days"] == pytest.approx(19.5, abs=0.6)
    assert due["due_at"] < time.time()
    assert await listed(http, "/users/bob/buy-again") == []
    assert await listed(http, "/users/nobody/buy-again") == []
    await record(http, ("ann", "item-5", "dislike", 0))
    assert await listed(http, "/users/ann/buy-again") == []


@pytest.mark.parametrize("window", ["", "7", "0d", "07d", "1000d", "1w", "-1d", "7d ", "7d\n", "７d"])
@pytest.mark.parametrize("path", ["/popular", "/trending", "/latest"])
async def test_a_window_that_is_none_is_refused_by_name(http: httpx.AsyncClient, path: str, window: str) -> None:
    answer = await http.get(path, params={"window": window})
    assert answer.status_code == 422
    (problem,) = answer.json()["errors"]
    assert problem["loc"] == ["query", "window"]
    assert "expected hours or days" in problem["msg"]


async def test_bad_filters_and_unknown_items_are_named(http: httpx.AsyncClient) -> None:
    for path in ("/popular", "/trending", "/latest", "/items/item-1/bought-together", "/users/ann/buy-again"):
        answer = await http.get(path, params={"filter": "{"})
        assert answer.status_code == 422, path
        assert answer.json()["errors"][0]["loc"] == ["query", "filter"]
    answer = await http.get("/items/nowhere/bought-together")
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:clairo:problem:unknown-item")
    assert (await http.post("/complements", json={"item_ids": []})).status_code == 422
