"""Jobs, keys and idempotency records in every kind of database."""

from datetime import UTC, datetime

import pytest

from service.errors import IdempotencyKeyReusedError
from service.keys.api_key import Scope, new_key
from service.store.database import Database
from service.store.idempotency import IdempotencyStore, StoredAnswer
from service.store.jobs import MAX_UNDECLARED_TYPES, JobRow, JobState, JobStore, RowsDone
from service.store.keys import KeyStore


async def test_a_job_has_one_worker_at_a_time(database: Database) -> None:
    jobs = JobStore(database)
    await jobs.begin("job")
    await jobs.add_rows("job", [JobRow(position, position + 1, b"{}") for position in range(5)])
    assert await jobs.next_unfinished() is None
    await jobs.submit("job", 5)
    job = await jobs.next_unfinished()
    assert job is not None
    assert (job.state, job.num_rows, job.worker) == (JobState.WAITING, 5, None)
    assert await jobs.take(job, "one")
    assert not await jobs.take(job, "two")
    assert await jobs.beat("job", "one")
    assert not await jobs.beat("job", "two")
    assert await jobs.finish_rows("job", "one", RowsDone(2, [JobRow(1, 2, None, "wrong")]))
    assert [row.reason for row in await jobs.rejected_rows("job", 0, 10)] == ["wrong"]
    assert [row.position for row in await jobs.rows_from("job", 2, 10)] == [2, 3, 4]
    assert not await jobs.finish_rows("job", "two", RowsDone(1))
    await jobs.let_go("job", "one")
    left = await jobs.next_unfinished()
    assert left is not None
    assert (left.worker, left.num_done) == (None, 2)
    assert await jobs.take(left, "two")
    assert await jobs.finish_rows("job", "two", RowsDone(3))
    found = await jobs.find("job")
    assert found is not None
    assert (found.state, found.num_accepted, found.num_rejected) == (JobState.DONE, 4, 1)
    assert await jobs.num_unfinished() == 0


async def test_a_job_counts_undeclared_types_the_first_hundred_by_name(database: Database) -> None:
    jobs = JobStore(database)
    await jobs.begin("job")
    await jobs.submit("job", 3)
    job = await jobs.find("job")
    assert job is not None
    assert (job.num_undeclared, job.undeclared_types) == (0, {})
    await jobs.take(job, "one")
    many = {f"type {number}": 2 for number in range(MAX_UNDECLARED_TYPES)}
    for counted in ({"teleport ä": 3}, {}, {"teleport ä": 1} | many):
        assert await jobs.finish_rows("job", "one", RowsDone(1, undeclared_types=counted))
    found = await jobs.find("job")
    assert found is not None
    assert found.num_undeclared == 4 + 2 * MAX_UNDECLARED_TYPES
    assert found.undeclared_types["teleport ä"] == 4
    assert len(found.undeclared_types) == MAX_UNDECLARED_TYPES


async def test_half_received_jobs_are_deleted_with_their_rows(database: Database) -> None:
    jobs = JobStore(database)
    for job_id in ("discarded", "abandoned", "submitted"):
        await jobs.begin(job_id)
        await jobs.add_rows(job_id, [JobRow(0, 1, b"{}")])
    await jobs.submit("submitted", 1)
    await jobs.discard("discarded")
    await jobs.discard_half_received(datetime.now(UTC))
    assert await jobs.find("discarded") is None
    assert await jobs.find("abandoned") is None
    assert await jobs.rows_from("abandoned", 0, 10) == []
    assert await jobs.find("submitted") is not None


async def test_a_key_is_read_back_unchanged_and_revoked_once(database: Database) -> None:
    keys = KeyStore(database)
    _, record = new_key("shop", [Scope.READ, Scope.WRITE], 60)
    await keys.add_key(record)
    assert await keys.list_keys() == [record]
    assert await keys.revoke_key(record.key_id)
    assert not await keys.revoke_key(record.key_id)
    (revoked,) = await keys.list_keys()
    assert revoked.revoked_at is not None


async def test_a_public_key_keeps_its_origins(database: Database) -> None:
    keys = KeyStore(database)
    _, record = new_key("pages", [Scope.PUBLIC], 60, ["https://shop.example", "http://localhost:3000"])
    await keys.add_key(record)
    assert [key.origins for key in await keys.list_keys()] == [{"https://shop.example", "http://localhost:3000"}]


async def test_an_answer_is_stored_under_its_key(database: Database) -> None:
    records = IdempotencyStore(database)
    assert not (await records.claim("create_item", "key", "body")).is_retry
    answer = StoredAnswer(201, {"location": "/items/mug"}, b"{}")
    await records.keep_answer("create_item", "key", answer)
    assert (await records.claim("create_item", "key", "body")).answer == answer
    with pytest.raises(IdempotencyKeyReusedError):
        await records.claim("create_item", "key", "another body")
    await records.claim("create_item", "failed", "body")
    await records.release("create_item", "failed")
    assert not (await records.claim("create_item", "failed", "another body")).is_retry
