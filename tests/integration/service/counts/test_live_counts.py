"""Counts that live: feedback reaches recommendations and lists within seconds, each event once."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from clairo_core.bundle.bundle import Bundle
from clairo_core.bundle.bundle_users import keep_users
from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.sequences import ItemSequences
from service.counts import live_counts
from tests.running_service import running_service
from tests.tiny import tiny_bundle

PROMISED_SECONDS = 5.0
BEFORE_TRAINING = 1_500_000_000.0
MANY = 150
"""Users: more than any item of the tiny shop has in training."""


@asynccontextmanager
async def counting_service(bundle: Bundle, **settings: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with running_service(bundle, **{"live_counts_seconds": 0.01} | settings) as client:
        yield client


@pytest.fixture
async def client(bundle: Bundle) -> AsyncIterator[httpx.AsyncClient]:
    async with counting_service(bundle) as client:
        yield client


async def buy(
    client: httpx.AsyncClient, item_ids: Sequence[str], num_users: int, timestamp: float | None = None, name: str = "u"
) -> None:
    """Each of these users buys all of the items."""
    events = [
        {"user_id": f"{name}-{user}", "item_id": item_id, "type": "purchase", "timestamp": timestamp}
        for user in range(num_users)
        for item_id in item_ids
    ]
    answer = await client.post("/feedback", json={"events": events})
    assert answer.status_code == 200, answer.text


async def soon(is_so: Callable[[], Awaitable[bool]], seconds: float = PROMISED_SECONDS) -> None:
    """Wait until it is so.

    Raises:
        TimeoutError: it takes longer than promised.
    """
    async with asyncio.timeout(seconds):
        while not await is_so():
            await asyncio.sleep(0.05)


async def fallback_list(client: httpx.AsyncClient) -> list[str]:
    answer = (await client.post("/recommend", json={"history": [], "limit": 60})).json()
    return [item["item_id"] for item in answer["items"]]


async def together_with(client: httpx.AsyncClient, item_id: str, **query: Any) -> list[dict[str, Any]]:
    answer = await client.get(f"/items/{item_id}/bought-together", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]  # type: ignore[no-any-return]


async def is_first_of_fallback(client: httpx.AsyncClient, item_id: str) -> bool:
    return (await fallback_list(client))[0] == item_id


async def test_what_many_users_buy_leads_the_fallback_list_within_seconds(client: httpx.AsyncClient) -> None:
    last = (await fallback_list(client))[-1]
    await buy(client, [last], MANY)
    await soon(lambda: is_first_of_fallback(client, last))


async def test_events_of_the_training_do_not_count_again(client: httpx.AsyncClient) -> None:
    before = await fallback_list(client)
    await buy(client, [before[-1]], MANY, BEFORE_TRAINING, name="old")
    await buy(client, [before[-2]], MANY, name="new")
    await soon(lambda: is_first_of_fallback(client, before[-2]))
    after = await fallback_list(client)
    assert [item_id for item_id in after if item_id != before[-2]] == before[:-2] + before[-1:]


async def test_a_product_posted_today_is_bought_together_with_what_its_buyers_have(client: httpx.AsyncClient) -> None:
    posted = {"item_id": "new-mug", "title": "A mug for the morning"}
    assert (await client.post("/items", json=posted)).status_code == 201
    await buy(client, ["item-3", "new-mug"], 10)

    async def is_listed() -> bool:
        return (await together_with(client, "item-3"))[0]["item"]["item_id"] == "new-mug"

    await soon(is_listed)
    first, *others = await together_with(client, "item-3", limit=5)
    assert (first["source"], first["support"]) == ("behaviour", 10.0)
    assert first["lift"] > 1
    assert {other["source"] for other in others} == {"content"}
    assert (await together_with(client, "new-mug"))[0]["item"]["item_id"] == "item-3"
    body = {"item_ids": ["item-3", "gone", "item-3"], "limit": 5}
    cart = (await client.post("/complements", json=body)).json()
    assert cart["ignored_item_ids"] == ["gone"]
    assert cart["items"][0]["item"]["item_id"] == "new-mug"
    assert "item-3" not in {item["item"]["item_id"] for item in cart["items"]}
    assert (await client.delete("/items/new-mug")).status_code == 204
    assert "new-mug" not in {item["item"]["item_id"] for item in await together_with(client, "item-3")}


async def test_counts_are_those_before_a_restart(bundle: Bundle, tmp_path: Path) -> None:
    database_url = f"sqlite:///{tmp_path / 'clairo.db'}"
    async with counting_service(bundle, database_url=database_url) as client:
        last = (await fallback_list(client))[-1]
        await buy(client, [last], MANY)
        await soon(lambda: is_first_of_fallback(client, last))
        before = await fallback_list(client)
    async with counting_service(bundle, database_url=database_url) as client:
        # Folded before the first request.
        assert await fallback_list(client) == before


async def test_every_process_counts_what_one_received(bundle: Bundle, tmp_path: Path) -> None:
    database_url = f"sqlite:///{tmp_path / 'clairo.db'}"
    async with (
        counting_service(bundle, database_url=database_url) as one,
        counting_service(bundle, database_url=database_url) as other,
    ):
        last = (await fallback_list(one))[-1]
        await buy(one, [last], MANY)
        await soon(lambda: is_first_of_fallback(other, last))
        await soon(lambda: is_first_of_fallback(one, last))
        assert await fallback_list(one) == await fallback_list(other)


async def test_an_operator_may_leave_counts_to_trainings(bundle: Bundle) -> None:
    async with counting_service(bundle, live_counts_seconds=0) as client:
        before = await fallback_list(client)
        await buy(client, [before[-1]], MANY)
        await asyncio.sleep(1.5)
        assert await fallback_list(client) == before
        # Lists of a window are read from the store.
        popular = (await client.get("/popular")).json()["items"]
        assert popular[0]["item"]["item_id"] == before[-1]


async def test_a_cached_answer_does_not_outlive_its_counts(client: httpx.AsyncClient) -> None:
    last = (await fallback_list(client))[-1]
    body = {"history": ["nowhere"], "limit": 1}
    assert (await client.post("/recommend", json=body)).json()["items"][0]["item_id"] != last
    await buy(client, [last], MANY)
    await soon(lambda: is_first_of_fallback(client, last))
    assert (await client.post("/recommend", json=body)).json()["items"][0]["item_id"] == last


async def test_items_posted_while_counts_change_keep_both(client: httpx.AsyncClient) -> None:
    last = (await fallback_list(client))[-1]
    started = time.monotonic()
    for number in range(8):
        await buy(client, [last], MANY // 5, name=f"round-{number}")
        answer = await client.post("/items", json={"item_id": f"mug-{number}", "title": f"mug number {number}"})
        assert answer.status_code == 201
        await asyncio.sleep(0.2)
    assert time.monotonic() - started < 60
    await soon(lambda: is_first_of_fallback(client, last))
    posted = {f"mug-{number}" for number in range(8)}
    listed = (await client.post("/recommend", json={"history": [], "limit": 100})).json()["items"]
    assert posted <= {item["item_id"] for item in listed}


# With pages of 8 events, counting again takes two polls.
@pytest.mark.parametrize(("page", "seconds"), [(live_counts.MAX_EVENTS_AT_ONCE, PROMISED_SECONDS), (8, 30.0)])
async def test_counts_forget_what_the_store_forgets(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: int, seconds: float
) -> None:
    monkeypatch.setattr(live_counts, "MAX_EVENTS_AT_ONCE", page)
    monkeypatch.setattr(live_counts, "BUSY_SHARE", 1.0)
    database_url = f"sqlite:///{tmp_path / 'clairo.db'}"
    async with (
        counting_service(bundle, database_url=database_url) as one,
        counting_service(bundle, database_url=database_url) as other,
    ):
        posted = {"item_id": "new-mug", "title": "A mug for the morning"}
        assert (await one.post("/items", json=posted)).status_code == 201
        visit = {"type": "purchase", "item_id": "new-mug"}
        sent_back = {"event_id": "sent-back", "user_id": "ann", "item_id": "item-3", "type": "purchase"}
        await one.post("/feedback", json={"events": [sent_back, visit | {"session_id": "s-1"}]})
        await buy(one, ["item-3", "new-mug"], 5)

        async def pairs() -> list[float]:
            answers = [await together_with(client, "item-3", limit=1) for client in (one, other)]
            return [found[0]["support"] or 0.0 for found in answers]

        async def is_paired(by: float) -> bool:
            return await pairs() == [by, by]

        await soon(lambda: is_paired(5.0), seconds)
        # Ann has both now.
        await one.post("/users/ann/merge", json={"session_id": "s-1"})
        await soon(lambda: is_paired(6.0), seconds)
        await one.delete("/feedback/sent-back")
        await soon(lambda: is_paired(5.0), seconds)
        for user in range(3):
            await one.delete(f"/users/u-{user}")
        await soon(lambda: is_paired(2.0), seconds)
        kept = await fallback_list(one)
        assert await fallback_list(other) == kept
    async with counting_service(bundle, database_url=database_url) as restarted:
        assert await fallback_list(restarted) == kept
        assert (await together_with(restarted, "item-3", limit=1))[0]["support"] == 2.0


async def test_counts_are_soon_followed_again_after_an_import_whose_writes_they_waited_for(
    client: httpx.AsyncClient,
) -> None:
    parts = client._transport.app.state.readiness.parts  # type: ignore[attr-defined]
    *_, last_but_one, last = await fallback_list(client)

    def write(_: object) -> None:
        # Longer than it takes until the next step begins.
        time.sleep(1.2)

    await buy(client, [last_but_one], 1)
    for _ in range(4):
        await parts.served.ingestion.between_writes(write, lambda _: None)
    await buy(client, [last], MANY)
    await soon(lambda: is_first_of_fallback(client, last))


async def test_what_a_bundle_kept_of_a_forgotten_user_is_not_counted_with_what_he_does_later(tmp_path: Path) -> None:
    names = [f"{name}-{number}" for name in ("forgotten", "known") for number in range(3)]
    users = keep_users(names, ItemSequences.from_lists([[3]] * 6))
    async with counting_service(load_bundle(tiny_bundle(tmp_path / "with-users", users=users))) as client:
        for number in range(3):
            await client.delete(f"/users/forgotten-{number}")
        await buy(client, ["item-50"], 3, name="forgotten")
        await buy(client, ["item-51"], 3, name="known")

        async def by_behaviour() -> list[str]:
            listed = await together_with(client, "item-3", limit=60)
            return [found["item"]["item_id"] for found in listed if found["source"] == "behaviour"]

        async def are_counted() -> bool:
            return "item-51" in await by_behaviour()

        await soon(are_counted)
        assert await by_behaviour() == ["item-51"]


async def test_a_metric_says_up_to_when_counts_are_complete(client: httpx.AsyncClient) -> None:
    async def complete_until() -> float:
        (line,) = (
            line
            for line in (await client.get("/metrics")).text.splitlines()
            if line.startswith("clairo_live_counts_timestamp_seconds ")
        )
        return float(line.split()[1])

    sent_at = time.time()
    await buy(client, ["item-3"], 1)

    async def is_complete() -> bool:
        return sent_at < await complete_until() <= time.time()

    await soon(is_complete)
