"""POST /recommend with a stored history."""

import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from clairo_core.bundle.bundle import Bundle
from clairo_core.events import InteractionRules
from service.errors import StoreError
from service.store.feedback import MAX_HISTORY_ITEMS, UserItems
from tests.running_service import running_service


class FakeUserHistories:
    """User histories in a dictionary; those of `broken` cannot be read."""

    def __init__(self, histories: dict[str, tuple[str, ...]]) -> None:
        self._histories = histories

    async def user_items(self, user_id: str, *, rules: InteractionRules) -> UserItems:
        if user_id == "broken":
            raise StoreError("disk full")
        return UserItems(self._histories.get(user_id, ()))


@pytest.fixture
async def client(bundle: Bundle) -> AsyncIterator[httpx.AsyncClient]:
    async with running_service(bundle) as client:
        readiness = client._transport.app.state.readiness  # type: ignore[attr-defined]
        histories = FakeUserHistories({"ann": ("item-1", "item-2", "gone"), "bob": ("gone",)})
        readiness.parts = dataclasses.replace(readiness.parts, feedback=histories)
        yield client


async def items_of(client: httpx.AsyncClient, **request: Any) -> list[dict[str, Any]]:
    answer = await client.post("/recommend", json=request)
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]  # type: ignore[no-any-return]


async def test_a_stored_history_gets_the_same_answer_as_a_sent_one(client: httpx.AsyncClient) -> None:
    answer = (await client.post("/recommend", json={"user_id": "ann"})).json()
    assert answer["ignored_item_ids"] == ["gone"]
    assert answer["fallback_reason"] is None
    assert answer["items"] == await items_of(client, history=["item-1", "item-2"])


async def test_a_sent_history_overrides_the_stored_one(client: httpx.AsyncClient) -> None:
    assert await items_of(client, user_id="ann", history=["item-5"]) == await items_of(client, history=["item-5"])


@pytest.mark.parametrize(("user_id", "reason"), [("nobody", "empty_history"), ("bob", "unknown_history")])
async def test_a_user_without_a_known_history_gets_the_popular_items(
    client: httpx.AsyncClient, user_id: str, reason: str
) -> None:
    answer = (await client.post("/recommend", json={"user_id": user_id, "limit": 4})).json()
    assert answer["fallback_reason"] == reason
    assert answer["items"] == await items_of(client, history=[], limit=4)


async def test_a_store_that_cannot_be_read_is_a_503(client: httpx.AsyncClient) -> None:
    answer = await client.post("/recommend", json={"user_id": "broken"})
    assert answer.status_code == 503
    assert "disk" not in answer.text


async def test_neither_history_nor_user_is_an_error(client: httpx.AsyncClient) -> None:
    answer = await client.post("/recommend", json={"limit": 3})
    assert answer.status_code == 422
    assert "expected a history" in answer.json()["detail"]


@pytest.fixture
async def shop(bundle: Bundle) -> AsyncIterator[httpx.AsyncClient]:
    """A service with its real store of feedback."""
    async with running_service(bundle) as client:
        yield client


async def send(client: httpx.AsyncClient, *actions: tuple[str, str], user_id: str = "ann", start: int = 0) -> None:
    """Send events of (type, item_id), a second apart."""
    events = [
        {"event_id": f"{user_id}-{n}", "user_id": user_id, "item_id": item_id, "type": kind, "timestamp": 1000 + n}
        for n, (kind, item_id) in enumerate(actions, start)
    ]
    for first in range(0, len(events), 1000):
        answer = await client.post("/feedback", json={"events": events[first : first + 1000]})
        assert answer.status_code == 200, answer.text


async def test_a_purchase_older_than_the_models_window_is_never_recommended_again(shop: httpx.AsyncClient) -> None:
    bought = [f"item-{n}" for n in range(20)]
    views = [("view", f"item-{50 + n % 5}") for n in range(MAX_HISTORY_ITEMS + 200)]
    await send(shop, *(("purchase", item_id) for item_id in bought), *views)
    listed = {item["item_id"] for item in await items_of(shop, user_id="ann", limit=60)}
    assert listed == {f"item-{n}" for n in range(60)} - {*bought, *(item_id for _, item_id in views)}
    again = {item["item_id"] for item in await items_of(shop, user_id="ann", limit=60, include_seen=True)}
    assert again == {f"item-{n}" for n in range(60)}


async def test_disliked_recommendations_are_replaced_by_others(shop: httpx.AsyncClient) -> None:
    await send(shop, ("view", "item-1"), ("view", "item-2"))
    first = [item["item_id"] for item in await items_of(shop, user_id="ann", limit=5)]
    await send(shop, *(("dislike", item_id) for item_id in first), start=10)
    second = [item["item_id"] for item in await items_of(shop, user_id="ann", limit=5)]
    assert len(second) == 5
    assert not {*first} & {*second}
    everything = [item["item_id"] for item in await items_of(shop, user_id="ann", limit=60, include_seen=True)]
    assert not {*first} & {*everything}
    await send(shop, ("like", first[0]), ("view", first[1]), start=20)
    liked = {item["item_id"] for item in await items_of(shop, user_id="ann", limit=60, include_seen=True)}
    assert first[0] in liked
    assert first[1] not in liked


async def test_a_disliked_item_is_no_reason_of_an_explanation(shop: httpx.AsyncClient) -> None:
    await send(shop, ("click", "item-1"), ("click", "item-2"), ("click", "item-3"), ("dislike", "item-1"))
    explained = await items_of(shop, user_id="ann", explain=True)
    assert explained == await items_of(shop, history=["item-2", "item-3"], exclude_item_ids=["item-1"], explain=True)
    await send(shop, ("click", "item-1"), ("dislike", "item-1"), user_id="bob")
    answer = (await shop.post("/recommend", json={"user_id": "bob"})).json()
    assert answer["fallback_reason"] == "empty_history"
    assert "item-1" not in [item["item_id"] for item in answer["items"]]
