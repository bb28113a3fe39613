"""POST /items/bulk and GET /jobs: lines become items, or are rejected with a reason."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from clairo_core.bundle.bundle import Bundle
from service.jobs import bulk, bulk_body
from service.jobs.bulk_body import LinesRead, row_batches
from service.store.database import Database
from service.store.jobs import JobRow, JobState, JobStore, RowsDone
from tests.running_service import drawn_picture, running_service

JSON_LINES = {"Content-Type": "application/x-ndjson"}


def lines(*rows: Any) -> bytes:
    return b"".join(row if isinstance(row, bytes) else json.dumps(row).encode() + b"\n" for row in rows)


async def submit(client: httpx.AsyncClient, body: bytes, **headers: str) -> httpx.Response:
    return await client.post("/items/bulk", content=body, headers=JSON_LINES | headers)


async def done(client: httpx.AsyncClient, url: str) -> dict[str, Any]:
    async with asyncio.timeout(60):
        while True:
            job = (await client.get(url, params={"limit": 1000})).json()
            if job["state"] == "done":
                return job  # type: ignore[no-any-return]
            await asyncio.sleep(0.02)


async def test_valid_lines_become_items_and_invalid_ones_have_a_reason(
    client: httpx.AsyncClient, bundle: Bundle
) -> None:
    picture = base64.b64encode(drawn_picture()).decode()
    body = lines(
        {"item_id": "a", "title": "A", "picture": picture},
        b"\n",
        b"{no json\n",
        {"item_id": "b", "title": "B", "colour\x00": "red"},
        {"item_id": "c"},
        {"item_id": "d", "title": "D", "picture": base64.b64encode(b"no picture").decode()},
        {"item_id": "a", "title": "A again"},
        b"[1, 2]\n",
        b"\xff\xfe\n",
        {"item_id": "e", "title": "E"},
        {"item_id": bundle.catalogue.item_ids[0], "title": "Of the bundle"},
    )
    answer = await submit(client, body)
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"/jobs/{answer.json()['job_id']}"
    job = await done(client, answer.headers["location"])
    assert (job["num_rows"], job["num_done"], job["num_accepted"], job["num_rejected"]) == (10, 10, 4, 6)
    reasons = {row["line"]: row["reason"] for row in job["rejected"]}
    assert sorted(reasons) == [3, 4, 5, 6, 8, 9]
    assert "JSON" in reasons[3]
    assert "colour" in reasons[4]
    assert "needs a title" in reasons[5]
    assert job["finished_at"] > job["created_at"]
    assert (await client.get("/items/a")).json()["title"] == "A again"
    assert (await client.get("/items/e")).status_code == 200
    assert (await client.get(f"/items/{bundle.catalogue.item_ids[0]}")).json()["title"] == "Of the bundle"


async def test_rejected_rows_come_in_pages(client: httpx.AsyncClient) -> None:
    answer = await submit(client, lines(*({"item_id": f"r{n}"} for n in range(70))))
    await done(client, answer.headers["location"])
    seen: list[int] = []
    cursor = None
    while True:
        params = {"limit": 30} | ({"cursor": cursor} if cursor else {})
        page = (await client.get(answer.headers["location"], params=params)).json()
        seen += [row["line"] for row in page["rejected"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == list(range(1, 71))


async def test_jobs_run_in_order_of_arrival(client: httpx.AsyncClient) -> None:
    answers = [await submit(client, lines({"item_id": "x", "title": f"Version {n}"})) for n in range(4)]
    for answer in answers:
        await done(client, answer.headers["location"])
    assert (await client.get("/items/x")).json()["title"] == "Version 3"
    listed = (await client.get("/jobs")).json()["jobs"]
    assert [job["job_id"] for job in listed] == [answer.json()["job_id"] for answer in reversed(answers)]
    assert {job["state"] for job in listed} == {"done"}


async def test_too_many_jobs_are_refused(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.routes.bulk.MAX_UNFINISHED_JOBS", 0)
    answer = await submit(client, lines({"item_id": "x", "title": "X"}))
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"", JSON_LINES, 422),
        (b"\n\n  \n", JSON_LINES, 422),
        (b"{}", {"Content-Type": "application/json"}, 415),
        (b"{}", {}, 415),
    ],
)
async def test_an_unusable_body_is_refused_and_leaves_no_job(
    client: httpx.AsyncClient, body: bytes, headers: dict[str, str], status: int
) -> None:
    answer = await client.post("/items/bulk", content=body, headers=headers)
    assert answer.status_code == status, answer.text


async def test_too_many_lines_are_refused(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.routes.bulk.MAX_ROWS", 5)
    answer = await submit(client, lines(*({"item_id": f"i{n}", "title": "T"} for n in range(6))))
    assert answer.status_code == 413


@pytest.mark.parametrize("job_id", ["nothing", "0" * 64, "%00", "a%2Fb", "ä"])
async def test_an_unknown_job(client: httpx.AsyncClient, job_id: str) -> None:
    assert (await client.get(f"/jobs/{job_id}")).status_code == 404


async def test_an_unknown_cursor_is_refused(client: httpx.AsyncClient) -> None:
    assert (await client.get("/jobs/x", params={"cursor": "YXQ6OTk5OTk5OTk5OTk5"})).status_code == 422


async def test_a_job_resumes_after_a_restart_at_its_first_unfinished_row(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.items.bulk.BATCH_ROWS", 2)
    body = lines(*({"item_id": f"i{n}", "title": f"Item {n}"} for n in range(30)))
    async with running_service(bundle, data_dir=tmp_path, database_url="") as client:
        url = (await submit(client, body)).headers["location"]
    async with running_service(bundle, data_dir=tmp_path, database_url="") as client:
        job = await done(client, url)
        assert (job["num_done"], job["num_accepted"], job["num_rejected"]) == (30, 30, 0)
        page = (await client.get("/items", params={"q": "item", "limit": 200})).json()
        assert {item["item_id"] for item in page["items"]} >= {f"i{n}" for n in range(30)}


async def test_a_job_is_taken_over_only_from_a_dead_process(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "TAKE_OVER_SECONDS", 1.0)
    monkeypatch.setattr(bulk, "POLL_SECONDS", 0.05)
    database = Database(tmp_path / "clairo.db")
    await database.open()
    jobs = JobStore(database)
    await jobs.begin("job")
    await jobs.add_rows("job", [JobRow(0, 1, b'{"item_id": "x", "title": "X"}')])
    await jobs.submit("job", 1)
    job = await jobs.next_unfinished()
    assert job is not None
    assert await jobs.take(job, "another process")
    assert not await jobs.take(job, "too late")
    async with running_service(bundle, data_dir=tmp_path, database_url="") as client:
        for _ in range(20):
            assert await jobs.beat("job", "another process")
            await asyncio.sleep(0.1)
        assert (await client.get("/jobs/job")).json()["state"] == JobState.RUNNING
        assert (await done(client, "/jobs/job"))["num_accepted"] == 1
        assert not await jobs.finish_rows("job", "another process", RowsDone(1))
    await database.close()


async def chunked(body: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
async def test_lines_do_not_depend_on_chunks(size: int) -> None:
    body = b'\xef\xbb\xbf{"a": 1}\r\n\n  \n{"b": 2}\nlast'
    read = LinesRead()
    rows = [row async for batch in row_batches(chunked(body, size), read) for row in batch]
    assert [(row.position, row.line, (row.content or b"").strip()) for row in rows] == [
        (0, 1, b'{"a": 1}'),
        (1, 4, b'{"b": 2}'),
        (2, 5, b"last"),
    ]
    assert read.num_rows == 3


@pytest.mark.parametrize("size", [3, 1000])
async def test_a_line_that_is_too_long_becomes_a_row_with_a_reason(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_body, "MAX_LINE_BYTES", 10)
    body = b"short\n" + b"x" * 50 + b"\nshort again"[:11] + b"\n" + b"y" * 11
    rows = [row async for batch in row_batches(chunked(body, size), LinesRead()) for row in batch]
    assert [(row.line, row.content is None, bool(row.reason)) for row in rows] == [
        (1, False, False),
        (2, True, True),
        (3, False, False),
        (4, True, True),
    ]
