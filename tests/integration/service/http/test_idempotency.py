"""Idempotency-Key: one run and one answer for any number of repetitions."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select, update

from clairo_core.bundle.bundle import Bundle
from service.errors import IdempotencyKeyReusedError
from service.store import idempotency
from service.store.database import Database
from service.store.idempotency import IdempotencyStore, StoredAnswer
from service.store.sql_tables import idempotency_records
from tests.running_service import drawn_picture, running_service

KEY = {"Idempotency-Key": "order-17"}
MUG = {"item_id": "mug", "title": "Dawn mug"}


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(tmp_path / "clairo.db")
    await database.open()
    yield database
    await database.close()


async def test_an_item_that_is_posted_again_gets_the_same_answer(client: httpx.AsyncClient) -> None:
    first = await client.post("/items", json=MUG, headers=KEY)
    again = await client.post("/items", json=MUG, headers=KEY)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotency-replayed"] == "true"
    assert (await client.post("/items", json=MUG)).status_code == 409
    other = await client.post("/items", json=MUG | {"title": "Dusk mug"}, headers=KEY)
    assert other.status_code == 422
    assert other.json()["type"] == "urn:clairo:problem:idempotency-key-reused"


async def test_a_form_sent_again_is_the_same_body_under_another_boundary(client: httpx.AsyncClient) -> None:
    for _ in range(2):
        files = {"picture": ("mug.png", drawn_picture(), "image/png")}
        answer = await client.post("/items", data={"item_id": "mug"}, files=files, headers=KEY)
        assert answer.status_code == 201, answer.text


async def test_concurrent_calls_run_once(client: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(*(client.post("/items", json=MUG, headers=KEY) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1


async def test_a_call_that_failed_leaves_its_key_free(client: httpx.AsyncClient) -> None:
    await client.post("/items", json=MUG)
    assert (await client.post("/items", json=MUG, headers=KEY)).status_code == 409
    assert (await client.post("/items", json=MUG | {"item_id": "jug"}, headers=KEY)).status_code == 201


async def test_an_attempt_cut_short_after_its_work_is_answered_like_a_complete_one(
    bundle: Bundle, tmp_path: Path
) -> None:
    data_dir = tmp_path / "store"
    async with running_service(bundle, data_dir=data_dir, database_url="") as client:
        first = await client.post("/items", json=MUG, headers=KEY)
        database = Database(data_dir / "clairo.db")
        async with database.transaction() as connection:
            await connection.execute(update(idempotency_records).values(status=None, body=None))
        await database.close()
        again = await client.post("/items", json=MUG, headers=KEY)
        assert (again.status_code, again.content) == (201, first.content)


async def test_events_without_id_and_time_are_stored_once_by_an_attempt_cut_short_and_its_retry(
    bundle: Bundle, tmp_path: Path
) -> None:
    events = {"events": [{"user_id": "ann", "item_id": "item-1", "type": kind} for kind in ("view", "view", "cart")]}
    async with running_service(bundle, data_dir=tmp_path, database_url="") as client:
        database = Database(tmp_path / "clairo.db")
        for key in (KEY, {"Idempotency-Key": "order-18"}):
            for _ in range(2):
                assert (await client.post("/feedback", json=events, headers=key)).status_code == 200
                async with database.transaction() as connection:
                    await connection.execute(update(idempotency_records).values(status=None, body=None))
        await database.close()
        assert len((await client.get("/users/ann")).json()["events"]) == 6


async def test_feedback_and_bulk_jobs_are_answered_once(client: httpx.AsyncClient) -> None:
    event = {"event_id": "e", "user_id": "ann", "item_id": "x", "type": "click"}
    feedback = [await client.post("/feedback", json={"events": [event]}, headers=KEY) for _ in range(2)]
    assert [answer.json()["num_accepted"] for answer in feedback] == [1, 1]
    headers = KEY | {"Content-Type": "application/jsonl"}
    body = b'{"item_id": "a", "title": "A"}\n'
    jobs = [await client.post("/items/bulk", content=body, headers=headers) for _ in range(2)]
    assert jobs[0].json() == jobs[1].json()
    assert jobs[0].headers["location"] == jobs[1].headers["location"]
    other = await client.post("/items/bulk", content=body * 2, headers=headers)
    assert other.status_code == 422


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "\x7f"])
async def test_an_invalid_key_is_refused(client: httpx.AsyncClient, key: str) -> None:
    answer = await client.post("/items", json=MUG, headers={"Idempotency-Key": key})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == ["header", "Idempotency-Key"]


async def test_records_belong_to_one_call_and_expire_after_a_day(database: Database) -> None:
    store = IdempotencyStore(database)
    assert not (await store.claim("create_item", "k", "one")).is_retry
    assert (await store.claim("create_item", "k", "one")).is_retry
    assert not (await store.claim("add_feedback", "k", "two")).is_retry
    with pytest.raises(IdempotencyKeyReusedError):
        await store.claim("create_item", "k", "two")
    answer = StoredAnswer(201, {"location": "/items/x"}, b"{}")
    await store.keep_answer("create_item", "k", answer)
    assert (await store.claim("create_item", "k", "one")).answer == answer
    async with database.transaction() as connection:
        await connection.execute(update(idempotency_records).values(created_at=datetime.now(UTC) - timedelta(days=2)))
    assert not (await store.claim("create_item", "k", "two")).is_retry


async def test_records_are_bounded(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "MAX_RECORDS", 5)
    monkeypatch.setattr(idempotency, "PRUNE_EVERY", 1)
    store = IdempotencyStore(database)
    for number in range(20):
        await store.claim("create_item", f"k{number}", "body")
    async with database.reading() as connection:
        count: Any = (await connection.execute(select(func.count()).select_from(idempotency_records))).scalar_one()
    assert count <= 6
    assert (await store.claim("create_item", "k19", "body")).is_retry
