"""Feedback under a bundle with declared types: what is read, what a warning names, and ids that the service makes."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from clairo_core.bundle.bundle import Bundle
from clairo_core.bundle.bundle_users import keep_users
from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.events import Condition, EventType, InteractionRules
from clairo_core.sequences import ItemSequences
from tests.running_service import running_service
from tests.tiny import tiny_bundle

RULES = InteractionRules(
    types={
        "purchase": EventType(),
        "In den Warenkorb": EventType(weight=0.5),
        "loved": EventType(when=Condition.parse("rating >= 4")),
        "hated": EventType(meaning="negative", when=Condition.parse("rating < 3")),
    },
    targets=("purchase", "loved"),
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    users = keep_users(
        ["zoe", "ann", "eve"], ItemSequences.from_lists([[1], [2, 3, 4], [5]]), ItemSequences.from_lists([[], [7], []])
    )
    folder = tmp_path_factory.mktemp("bundles") / "typed"
    return load_bundle(tiny_bundle(folder, rules=RULES, users=users))


async def send(client: httpx.AsyncClient, *events: dict[str, Any]) -> dict[str, Any]:
    answer = await client.post("/feedback", json={"events": list(events)})
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


def event(kind: str, item: int, user_id: str = "bob", **fields: Any) -> dict[str, Any]:
    return {"user_id": user_id, "item_id": f"item-{item}", "type": kind, "timestamp": 1.7e9} | fields


async def recommended(client: httpx.AsyncClient, **body: Any) -> list[str]:
    answer = await client.post("/recommend", json={"limit": 60} | body)
    assert answer.status_code == 200, answer.text
    return [item["item_id"] for item in answer.json()["items"]]


async def test_a_rating_is_read_by_its_condition(client: httpx.AsyncClient) -> None:
    ratings = [event("rating", item, value=value) for item, value in ((1, 4.5), (2, 1.0), (3, 3.5))]
    assert (await send(client, *ratings))["warnings"] == []
    items = await recommended(client, user_id="bob", include_seen=True)
    assert "item-2" not in items
    assert {"item-1", "item-3"} <= set(items)
    assert "item-1" not in await recommended(client, user_id="bob")


async def test_an_undeclared_type_is_stored_counts_for_nothing_and_is_named(
    client: httpx.AsyncClient, bundle: Bundle
) -> None:
    answer = await send(client, event("teleport", 1, event_id="t"), event("In den Warenkorb", 2))
    assert answer["num_accepted"] == 2
    (warning,) = answer["warnings"]
    got = "'teleport' without a value (1)"
    for part in ("1 event is stored", "'t'", got, bundle.manifest.bundle_id, "'purchase'", "rating >= 4", "[events]"):
        assert part in warning
    assert "item-1" in await recommended(client, user_id="bob")
    assert "item-2" not in await recommended(client, user_id="bob")
    assert len((await client.get("/users/bob")).json()["events"]) == 2


async def test_a_time_in_milliseconds_is_refused_with_the_reason(client: httpx.AsyncClient) -> None:
    answer = await client.post("/feedback", json={"events": [event("view", 1, timestamp=1_700_000_000_000)]})
    assert answer.status_code == 422
    assert "timestamp: expected seconds since 1970, at most the year 9999; send milliseconds divided" in answer.text


async def test_a_rating_without_its_value_is_named(client: httpx.AsyncClient) -> None:
    (warning,) = (await send(client, event("rating", 1)))["warnings"]
    assert "'rating' without a value" in warning


async def test_a_bulk_job_counts_undeclared_types(client: httpx.AsyncClient) -> None:
    await client.delete("/users/eve")
    events = [
        event("teleport", 1),
        event("teleport", 2),
        event("rating", 3),
        event("rating", 4, value=3.5),
        event("impression", 5),
        event("purchase", 6),
        event("teleport", 7, "eve", timestamp=1.0),
    ]
    body = "".join(json.dumps(one) + "\n" for one in events)
    headers = {"Content-Type": "application/x-ndjson"}
    answer = await client.post("/feedback/bulk", content=body, headers=headers)
    assert (answer.json()["num_undeclared"], answer.json()["undeclared_types"]) == (0, {})
    async with asyncio.timeout(60):
        while (job := (await client.get(answer.headers["location"])).json())["state"] != "done":
            await asyncio.sleep(0.02)
    assert (job["num_accepted"], job["num_rejected"], job["num_undeclared"]) == (6, 1, 3)
    assert job["undeclared_types"] == {"teleport": 2, "rating": 1}


async def test_an_event_without_an_id_is_stored_once_however_its_time_is_written(client: httpx.AsyncClient) -> None:
    first = await send(client, event("purchase", 1))
    again = await send(client, event("purchase", 1, timestamp="2023-11-14T22:13:20Z"), event("purchase", 2))
    assert [result["status"] for result in again["results"]] == ["duplicate", "accepted"]
    assert again["results"][0]["event_id"] == first["results"][0]["event_id"]
    untimed = {"user_id": "bob", "item_id": "item-1", "type": "purchase"}
    assert (await send(client, untimed, untimed))["num_accepted"] == 2


@pytest.mark.parametrize("kind", ["", " view", "view ", "x" * 65, "two\nlines", "\x00"])
async def test_a_type_that_no_rule_can_name_is_refused(client: httpx.AsyncClient, kind: str) -> None:
    answer = await client.post("/feedback", json={"events": [event(kind, 1)]})
    assert answer.status_code == 422


async def test_a_user_of_the_training_is_known_before_any_feedback(client: httpx.AsyncClient) -> None:
    assert await recommended(client, user_id="ann") == await recommended(
        client, history=["item-2", "item-3", "item-4"], exclude_item_ids=["item-7"]
    )
    assert (await client.get("/users/ann")).json()["bundle_item_ids"] == ["item-2", "item-3", "item-4"]


async def test_feedback_follows_the_items_that_the_bundle_kept(client: httpx.AsyncClient) -> None:
    await send(client, event("purchase", 9, "ann"), event("purchase", 3, "ann", timestamp=1.7e9 + 1))
    assert await recommended(client, user_id="ann") == await recommended(
        client, history=["item-2", "item-4", "item-9", "item-3"], exclude_item_ids=["item-7"]
    )


async def test_a_forgotten_user_is_unknown_to_the_bundle_too(client: httpx.AsyncClient) -> None:
    assert (await client.delete("/users/ann")).status_code == 204
    assert (await client.get("/users/ann")).json()["bundle_item_ids"] == []
    assert await recommended(client, user_id="ann") == await recommended(client, history=[])
    assert "ann" not in {user["user_id"] for user in (await client.get("/users")).json()["users"]}


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
async def test_users_come_in_pages_those_of_the_bundle_alone_last(client: httpx.AsyncClient, limit: int) -> None:
    await send(client, event("purchase", 1), event("purchase", 2), event("purchase", 1, "ann"))
    await client.delete("/users/eve")
    users, cursor = [], None
    while True:
        page = (await client.get("/users", params={"limit": limit} | ({"cursor": cursor} if cursor else {}))).json()
        assert len(page["users"]) <= limit
        users += page["users"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert [tuple(user.values()) for user in users] == [
        ("ann", 1, 1.7e9, 3),
        ("bob", 2, 1.7e9, 0),
        ("zoe", 0, None, 1),
    ]


async def test_a_cursor_of_another_call_is_refused(client: httpx.AsyncClient) -> None:
    for cursor in ("x", "cm93OjQ4", "dXNlcjoA"):
        assert (await client.get("/users", params={"cursor": cursor})).status_code == 422


async def test_a_bundle_without_users_knows_nobody(tmp_path: Path) -> None:
    plain = load_bundle(tiny_bundle(tmp_path / "plain"))
    async with running_service(plain) as client:
        assert (await client.get("/users")).json() == {"users": [], "next_cursor": None}
        assert (await client.get("/users/ann")).json()["bundle_item_ids"] == []
