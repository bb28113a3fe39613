"""POST /feedback, GET and DELETE /users: events stored once, listed in order, deleted permanently."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from clairo_core.bundle.bundle import Bundle
from tests.new_databases import migrated_database
from tests.postgres_server import PostgresServer
from tests.running_service import running_service


@pytest.fixture(params=["sqlite", "postgresql"])
async def client(bundle: Bundle, request: pytest.FixtureRequest) -> AsyncIterator[httpx.AsyncClient]:
    settings: dict[str, Any] = {}
    if request.param == "postgresql":
        postgres: PostgresServer = request.getfixturevalue("postgres")
        settings = {"database_url": migrated_database(postgres), "migrate": True}
    async with running_service(bundle, **settings) as client:
        yield client


def event(event_id: str, **fields: Any) -> dict[str, Any]:
    return {"event_id": event_id, "user_id": "ann", "item_id": "item-1", "type": "click", "timestamp": 100} | fields


async def send(client: httpx.AsyncClient, *events: dict[str, Any]) -> dict[str, Any]:
    answer = await client.post("/feedback", json={"events": list(events)})
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


async def history(client: httpx.AsyncClient, user_id: str = "ann") -> list[str]:
    answer = await client.get(f"/users/{user_id}")
    assert answer.status_code == 200, answer.text
    return [entry["event_id"] for entry in answer.json()["events"]]


async def test_the_first_event_of_an_id_is_stored(client: httpx.AsyncClient) -> None:
    first = await send(client, event("a"), event("b", item_id="nowhere"), event("a", item_id="item-2"))
    assert [result["status"] for result in first["results"]] == ["accepted", "accepted", "duplicate"]
    assert [result["is_known_item"] for result in first["results"]] == [True, False, True]
    assert (first["num_accepted"], first["num_duplicates"], first["num_unknown_items"]) == (2, 1, 1)
    again = await send(client, event("b", user_id="bob"), event("c"))
    assert [result["status"] for result in again["results"]] == ["duplicate", "accepted"]
    assert await history(client) == ["a", "b", "c"]
    assert await history(client, "bob") == []
    kept = (await client.get("/users/ann")).json()["events"][0]
    assert kept == {
        "event_id": "a",
        "item_id": "item-1",
        "type": "click",
        "timestamp": 100.0,
        "recommendation_id": None,
        "value": None,
    }


async def test_equal_events_sent_at_once_are_stored_once(client: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(*(send(client, event("x"), event("y"), event("z")) for _ in range(6)))
    assert sum(answer["num_accepted"] for answer in answers) == 3
    assert sorted(await history(client)) == ["x", "y", "z"]


async def test_a_history_is_paged_by_time_newest_last(client: httpx.AsyncClient) -> None:
    await send(client, *(event(f"e{n}", timestamp=(7 * n) % 10) for n in range(10)))
    await send(client, event("same-1", timestamp=5.5), event("same-2", timestamp=5.5))
    seen: list[tuple[float, str]] = []
    cursor = None
    while True:
        page = (await client.get("/users/ann", params={"limit": 5} | ({"cursor": cursor} if cursor else {}))).json()
        seen += [(entry["timestamp"], entry["event_id"]) for entry in page["events"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert len(seen) == 12
    assert seen == sorted(seen)


async def test_a_forgotten_user_stays_forgotten_when_late_events_arrive(client: httpx.AsyncClient) -> None:
    await send(client, event("a"), event("other", user_id="bob"))
    for _ in range(2):
        answer = await client.delete("/users/ann")
        assert (answer.status_code, answer.content) == (204, b"")
    assert await history(client) == []
    assert await history(client, "bob") == ["other"]
    late = await send(client, event("a"), event("b", timestamp=200))
    assert [result["status"] for result in late["results"]] == ["forgotten", "forgotten"]
    assert late["num_forgotten"] == 2
    back = await send(client, event("new", timestamp=time.time() + 60))
    assert back["num_accepted"] == 1
    assert await history(client) == ["new"]


async def test_an_event_of_a_clock_that_runs_ahead_gets_the_time_of_arrival(client: httpx.AsyncClient) -> None:
    now = time.time()
    soon = await send(client, event("soon", timestamp=now + 1800))
    assert soon["warnings"] == []
    ahead = await send(
        client, event("years", timestamp=now + 3 * 365 * 86400), event("milliseconds", timestamp=now * 1000 // 10)
    )
    assert ahead["num_accepted"] == 2
    (warning,) = ahead["warnings"]
    assert warning.startswith("2 events dated more than an hour ahead, the first with event_id 'years'")
    await send(client, event("later", timestamp=time.time() + 60))
    assert await history(client) == ["years", "milliseconds", "later", "soon"]
    stored = {entry["event_id"]: entry["timestamp"] for entry in (await client.get("/users/ann")).json()["events"]}
    assert now <= stored["years"] == stored["milliseconds"] <= time.time()


async def test_user_ids_can_have_any_characters(client: httpx.AsyncClient) -> None:
    for user_id in ("a/b", "'; DROP TABLE users", "ü %25", "茶"):
        await send(client, event(f"e-{user_id}", user_id=user_id))
        assert await history(client, quote(user_id, safe="")) == [f"e-{user_id}"]


@pytest.mark.parametrize(
    "body",
    [
        {"events": []},
        {"events": [{}]},
        {"events": [event("a", timestamp=-1)]},
        {"events": [event("a", timestamp=1e300)]},
        {"events": [event("a", timestamp="yesterday")]},
        {"events": [event("a", type=" click")]},
        {"events": [event("a", user_id="")]},
        {"events": [event("a", user_id="\x00")]},
        {"events": [event("a", item_id="x" * 257)]},
        {"events": [event("a", colour="red")]},
        {"events": [event("good"), event("a", type=None)]},
        {"events": [event(f"e{n}") for n in range(1001)]},
        [event("a")],
    ],
)
async def test_a_malformed_event_refuses_the_whole_call(client: httpx.AsyncClient, body: object) -> None:
    answer = await client.post("/feedback", json=body)
    assert answer.status_code == 422, answer.text
    assert await history(client) == []


@pytest.mark.parametrize("cursor", ["x", "ZXZlbnQ6bmFuOjE", "ZXZlbnQ6MTo5OTk5OTk5OTk5OTk5OTk5OTk5OTk5", "%00", "ä"])
async def test_an_unknown_cursor_is_refused(client: httpx.AsyncClient, cursor: str) -> None:
    answer = await client.get("/users/ann", params={"cursor": cursor})
    assert answer.status_code == 422, answer.text


async def test_a_thousand_events_fit_one_call(client: httpx.AsyncClient) -> None:
    answer = await send(client, *(event(f"e{n}", timestamp=n) for n in range(1000)))
    assert answer["num_accepted"] == 1000


async def test_a_timestamp_is_seconds_or_iso_8601_with_zone(client: httpx.AsyncClient) -> None:
    sent = ["1970-01-01T00:00:03.123456789Z", "1970-01-01T01:00:02+01:00", 1, "1970-01-01 00:00:04Z"]
    await send(client, *(event(str(number), timestamp=at) for number, at in enumerate(sent)))
    events = (await client.get("/users/ann")).json()["events"]
    assert [kept["timestamp"] for kept in events] == [1, 2, 3.123456, 4]
    for wrong in ("1970-01-01T00:00:02", "yesterday", "12", "1969-12-31T23:59:59Z", True):
        answer = await client.post("/feedback", json={"events": [event("x", timestamp=wrong)]})
        assert answer.status_code == 422, wrong
        assert answer.json()["errors"][0]["loc"][:4] == ["body", "events", 0, "timestamp"]
