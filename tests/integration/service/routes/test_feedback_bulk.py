"""POST /feedback/bulk: lines become events, each once, or are rejected with a reason."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from clairo_core.bundle.bundle import Bundle
from service.store.database import Database
from service.store.jobs import JobKind, JobRow, JobState, JobStore
from tests.new_databases import migrated_database
from tests.postgres_server import PostgresServer
from tests.running_service import running_service

JSON_LINES = {"Content-Type": "application/x-ndjson"}


@pytest.fixture(params=["sqlite", "postgresql"])
async def client(bundle: Bundle, request: pytest.FixtureRequest) -> AsyncIterator[httpx.AsyncClient]:
    settings: dict[str, Any] = {}
    if request.param == "postgresql":
        postgres: PostgresServer = request.getfixturevalue("postgres")
        settings = {"database_url": migrated_database(postgres), "migrate": True}
    async with running_service(bundle, **settings) as client:
        yield client


def lines(*rows: Any) -> bytes:
    return b"".join(row if isinstance(row, bytes) else json.dumps(row).encode() + b"\n" for row in rows)


async def done(client: httpx.AsyncClient, body: bytes, **headers: str) -> dict[str, Any]:
    answer = await client.post("/feedback/bulk", content=body, headers=JSON_LINES | headers)
    assert answer.status_code == 202, answer.text
    async with asyncio.timeout(60):
        while True:
            job = (await client.get(answer.headers["location"], params={"limit": 1000})).json()
            if job["state"] == "done":
                return job  # type: ignore[no-any-return]
            await asyncio.sleep(0.02)


def view(number: int, **fields: Any) -> dict[str, Any]:
    return {"user_id": "ann", "item_id": f"item-{number}", "type": "view", "timestamp": number} | fields


async def test_lines_become_events_or_have_a_reason_and_sent_again_are_duplicates(client: httpx.AsyncClient) -> None:
    await client.delete("/users/eve")
    body = lines(
        view(1),
        b"\n",
        b"{no json\n",
        view(2, event_id="mine", value=4.5),
        view(1),
        {"user_id": "ann", "type": "view"},
        view(3, type=""),
        view(4, user_id="eve"),
        view(5, timestamp="1970-01-01T00:00:05Z"),
        b'{"user_id": "ann", "item_id": "item-6", "type": "view", "value": NaN}\n',
    )
    job = await done(client, gzip.compress(body), **{"Content-Encoding": "gzip"})
    assert (job["kind"], job["num_rows"], job["num_done"]) == ("feedback", 9, 9)
    assert (job["num_accepted"], job["num_duplicates"], job["num_rejected"]) == (4, 1, 5)
    reasons = {row["line"]: row["reason"] for row in job["rejected"]}
    assert sorted(reasons) == [3, 6, 7, 8, 10]
    assert "not JSON" in reasons[3]
    assert "item_id" in reasons[6]
    assert "forgotten" in reasons[8]
    events = (await client.get("/users/ann")).json()["events"]
    assert [(kept["item_id"], kept["value"]) for kept in events] == [
        ("item-1", None),
        ("item-2", 4.5),
        ("item-5", None),
    ]
    again = await done(client, body)
    assert (again["num_accepted"], again["num_duplicates"], again["num_rejected"]) == (4, 4, 5)
    sent = (await client.post("/feedback", json={"events": [view(5)]})).json()
    assert sent["num_duplicates"] == 1


async def test_events_without_a_time_are_new_in_every_job(client: httpx.AsyncClient) -> None:
    untimed = {"user_id": "ann", "item_id": "item-1", "type": "view"}
    for _ in range(2):
        assert (await done(client, lines(untimed, untimed)))["num_duplicates"] == 0
    assert len((await client.get("/users/ann")).json()["events"]) == 4


async def test_a_job_resumes_after_a_kill_and_stores_nothing_twice(bundle: Bundle, tmp_path: Path) -> None:
    """A batch was stored, and the process died before the job said so."""
    untimed = {"user_id": "ann", "item_id": "item-1", "type": "view"}
    rows = [JobRow(place, place + 1, json.dumps(row).encode()) for place, row in enumerate((untimed, view(2)))]
    database = Database(tmp_path / "clairo.db")
    await database.open()
    jobs = JobStore(database)
    await jobs.begin("j1", JobKind.FEEDBACK)
    await jobs.add_rows("j1", rows)
    await jobs.submit("j1", 2)
    for name in ("first", "second"):
        async with running_service(bundle, data_dir=tmp_path, database_url="") as client:
            async with asyncio.timeout(60):
                while (await client.get("/jobs/j1")).json()["state"] != JobState.DONE:
                    await asyncio.sleep(0.02)
            assert len((await client.get("/users/ann")).json()["events"]) == 2, name
        async with database.transaction() as connection:
            await connection.exec_driver_sql("UPDATE jobs SET state = 'waiting', num_done = 0, num_accepted = 0")
        await jobs.add_rows("j1", rows)
    await database.close()


async def test_the_body_is_bounded(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.routes.feedback.MAX_BULK_EVENTS", 3)
    body = lines(*map(view, range(4)))
    assert (await client.post("/feedback/bulk", content=body, headers=JSON_LINES)).status_code == 413
    assert (await client.post("/feedback/bulk", content=b"\n", headers=JSON_LINES)).status_code == 422
    assert (await client.post("/feedback/bulk", content=body)).status_code == 415
