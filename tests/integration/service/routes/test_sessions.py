"""Visitors who are not signed in: their history, POST /users/{id}/merge, and DELETE /feedback/{id}."""

import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from clairo_core.bundle.bundle import Bundle
from tests.running_service import running_service


@pytest.fixture
async def client(bundle: Bundle) -> AsyncIterator[httpx.AsyncClient]:
    async with running_service(bundle, tired_after_impressions=2) as client:
        yield client


def event(event_id: str | None = None, **fields: Any) -> dict[str, Any]:
    sent = {"session_id": "s-1", "item_id": "item-1", "type": "click", "timestamp": 100} | fields
    return sent if event_id is None else sent | {"event_id": event_id}


async def send(client: httpx.AsyncClient, *events: dict[str, Any]) -> list[str]:
    answer = await client.post("/feedback", json={"events": list(events)})
    assert answer.status_code == 200, answer.text
    return [result["status"] for result in answer.json()["results"]]


async def items_for(client: httpx.AsyncClient, **request: Any) -> list[str]:
    answer = await client.post("/recommend", json={"limit": 50} | request)
    assert answer.status_code == 200, answer.text
    return [item["item_id"] for item in answer.json()["items"]]


async def merge(client: httpx.AsyncClient, user_id: str, session_id: str = "s-1") -> httpx.Response:
    return await client.post(f"/users/{user_id}/merge", json={"session_id": session_id})


async def test_a_session_is_recommended_to_by_its_history_and_dislikes(client: httpx.AsyncClient) -> None:
    await send(client, event(), event(item_id="item-2", timestamp=101), event(item_id="item-3", type="dislike"))
    now = time.time()
    shown = [event(item_id="item-4", type="impression", timestamp=now - number) for number in range(2)]
    await send(client, *shown)
    by_session = await items_for(client, session_id="s-1")
    assert not {"item-1", "item-2", "item-3", "item-4"} & set(by_session)
    assert by_session == [
        item
        for item in await items_for(client, history=["item-1", "item-2"], exclude_item_ids=["item-3", "item-4"])
        if item in by_session
    ]
    assert await items_for(client, user_id="s-1") == await items_for(client, history=[])
    assert await items_for(client, session_id="s-1", user_id="nobody") == await items_for(client, history=[])
    users = (await client.get("/users")).json()["users"]
    assert users == []


async def test_a_merged_session_is_recommended_to_as_its_user(client: httpx.AsyncClient) -> None:
    await send(client, event("a"), event("b", user_id="ann", session_id=None, item_id="item-2", timestamp=50))
    answer = await merge(client, "ann")
    assert answer.json() == {"user_id": "ann", "session_id": "s-1", "num_merged": 1, "num_forgotten": 0}
    assert (await merge(client, "ann")).json()["num_merged"] == 0
    assert await send(client, event("a"), event("c", item_id="item-5", timestamp=200)) == ["duplicate", "accepted"]
    kept = (await client.get("/users/ann")).json()["events"]
    assert [entry["event_id"] for entry in kept] == ["b", "a", "c"]
    expected = await items_for(client, history=["item-2", "item-1", "item-5"])
    assert await items_for(client, user_id="ann") == await items_for(client, session_id="s-1") == expected
    refused = await merge(client, "bob")
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:clairo:problem:session-merged")
    assert "start a new session when a user signs out" in refused.json()["detail"]


async def test_a_user_who_is_forgotten_takes_merged_events_along(client: httpx.AsyncClient) -> None:
    await send(client, event("a"))
    await merge(client, "ann")
    assert (await client.delete("/users/ann")).status_code == 204
    assert (await client.get("/users/ann")).json()["events"] == []
    assert await send(client, event("a"), event("late", timestamp=120)) == ["forgotten", "forgotten"]
    assert await items_for(client, session_id="s-1") == await items_for(client, history=[])


async def test_a_removed_event_counts_nowhere(client: httpx.AsyncClient) -> None:
    await send(client, event("order/1"), event("b", item_id="item-2", timestamp=101))
    for _ in range(2):
        answer = await client.delete("/feedback/order/1")
        assert (answer.status_code, answer.content) == (204, b"")
    assert await items_for(client, session_id="s-1") == await items_for(client, history=["item-2"])
    assert await send(client, event("order/1")) == ["duplicate"]
    unknown = await client.delete("/feedback/order/2")
    assert (unknown.status_code, unknown.json()["type"]) == (404, "urn:clairo:problem:unknown-event")


async def test_an_event_without_an_id_is_made_one_of_its_session(client: httpx.AsyncClient) -> None:
    assert await send(client, event(), event(), event(user_id="s-1", session_id=None)) == [
        "accepted",
        "duplicate",
        "accepted",
    ]


async def test_an_event_of_nobody_is_refused(client: httpx.AsyncClient) -> None:
    for nobody in ({"session_id": None}, {"session_id": ""}, {"session_id": "a\x00"}):
        answer = await client.post("/feedback", json={"events": [event(**nobody)]})
        assert answer.status_code == 422, nobody
    assert (
        "expected a user_id, or the session_id"
        in (await client.post("/feedback", json={"events": [event(session_id=None)]})).json()["detail"]
    )
    assert (await merge(client, "ann", "")).status_code == 422


async def test_sessions_in_a_job_are_stored(client: httpx.AsyncClient) -> None:
    lines = b'{"session_id": "s-1", "item_id": "item-1", "type": "click"}\n{"item_id": "item-2", "type": "click"}\n'
    submitted = await client.post("/feedback/bulk", content=lines, headers={"Content-Type": "application/x-ndjson"})
    assert submitted.status_code == 202, submitted.text
    job = submitted.json()
    while job["state"] != "done":
        job = (await client.get(f"/jobs/{submitted.json()['job_id']}")).json()
    assert (job["num_accepted"], job["num_rejected"]) == (1, 1)
    assert "expected a user_id, or the session_id" in job["rejected"][0]["reason"]
    assert await items_for(client, session_id="s-1") == await items_for(client, history=["item-1"])
