"""A store on a PostgreSQL server: restarts, replicas, and late commits."""

import asyncio
import dataclasses
import signal
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import insert, text, update

from clairo_core.items import Item
from service.errors import FeatureSetTakenError, StoreError
from service.store.database import Database
from service.store.feedback import FEEDBACK_LOCK, EventOutcome, FeedbackStore
from service.store.feedback_event import FeedbackEvent
from service.store.jobs import JobRow, JobStore, RowsDone
from service.store.sql_store import SqlStore
from service.store.sql_tables import feedback_events, jobs
from service.store.store import StoredFeatures
from tests.postgres_server import PostgresServer


@pytest.fixture
def own_postgres() -> AsyncIterator[PostgresServer]:
    server = PostgresServer()
    server.start()
    yield server
    server.delete()


def features(*feature_set: int) -> StoredFeatures:
    return StoredFeatures("bundle-a", feature_set, np.float32([0.5]), ())


async def test_replicas_never_give_two_items_one_feature_set_or_two_changes_one_version(
    postgres: PostgresServer,
) -> None:
    url = postgres.new_database()
    replicas = [SqlStore(url, may_migrate=True) for _ in range(3)]
    for replica in replicas:
        await replica.open()

    async def add(replica: SqlStore, name: str) -> list[int]:
        versions = []
        for number in range(12):
            # Each replica tries the lowest feature sets first.
            for attempt in range(100):
                try:
                    versions.append(await replica.add_item(Item(item_id=f"{name}-{number}"), features(attempt)))
                    break
                except FeatureSetTakenError:
                    continue
        return versions

    versions = await asyncio.gather(*(add(replica, str(n)) for n, replica in enumerate(replicas)))
    assert sorted(version for own in versions for version in own) == list(range(1, 37))
    changes = await replicas[0].changes_since(0, "bundle-a")
    assert len({change.features.feature_set for change in changes if change.features}) == 36
    for replica in replicas:
        await replica.close()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT])
async def test_calls_after_a_restart_succeed(own_postgres: PostgresServer, how: signal.Signals) -> None:
    store = SqlStore(own_postgres.new_database(), may_migrate=True)
    await store.open()
    await asyncio.gather(*(store.add_item(Item(item_id=f"before-{n}"), features(n, 0)) for n in range(5)))
    await asyncio.to_thread(own_postgres.restart, how)
    for number in range(5):
        await store.add_item(Item(item_id=f"after-{number}"), features(number, 1))
    assert len(await store.changes_since(0, "bundle-a")) == 10
    await store.close()


async def test_calls_during_a_restart_wait(own_postgres: PostgresServer) -> None:
    store = SqlStore(own_postgres.new_database(), may_migrate=True)
    await store.open()
    own_postgres.stop()
    calls = [asyncio.create_task(store.add_item(Item(item_id=f"item-{n}"), features(n))) for n in range(3)]
    await asyncio.sleep(0.3)
    await asyncio.to_thread(own_postgres.start)
    assert sorted(await asyncio.gather(*calls)) == [1, 2, 3]
    own_postgres.stop()
    with pytest.raises(StoreError):
        await store.read_picture("item-0")
    await store.close()


async def test_namespaces_of_one_database_are_separate(postgres: PostgresServer, tmp_path: Path) -> None:
    for location in (postgres.new_database(), tmp_path / "clairo.db"):
        one, two = (SqlStore(location, name, may_migrate=True) for name in ("one", "two"))
        for store in (one, two):
            await store.open()
            assert await store.add_item(Item(item_id="mug"), features(1)) == 1
            assert len(await store.changes_since(0, "bundle-a")) == 1
            await store.close()


async def test_text_survives_a_database_without_encoding(postgres: PostgresServer) -> None:
    store = SqlStore(postgres.new_database("SQL_ASCII"), may_migrate=True)
    await store.open()
    item = Item(item_id="täße-😀", texts={"title": "Täße 😀"}, attributes={"größe": "zwölf"})
    await store.add_item(item, features(0))
    (kept,) = await store.items_after("", 10)
    assert (kept.item_id, kept.texts, kept.attributes) == (item.item_id, item.texts, item.attributes)
    await store.close()


async def test_paging_does_not_skip_an_event_that_commits_late(postgres: PostgresServer) -> None:
    database = Database(postgres.new_database())
    await database.open()
    feedback = FeedbackStore(database)
    early, late = (FeedbackEvent(name, "ann", "mug", "view", 1.0) for name in ("early", "late"))
    # As `add_events`, but committed after an event of a higher sequence.
    async with database.transaction(FEEDBACK_LOCK, is_shared=True) as connection:
        values = {"namespace": "default", "received_at": datetime.now(UTC), **dataclasses.asdict(late)}
        await connection.execute(insert(feedback_events).values(values))
        assert await feedback.add_events([early]) == [EventOutcome.ACCEPTED]
        reading = asyncio.create_task(feedback.events_after(0, 10))
        await asyncio.sleep(0.2)
        assert not reading.done()
    assert [kept.event.event_id for kept in await reading] == ["late", "early"]
    await database.close()


async def test_a_worker_that_is_replaced_while_it_finishes_rows_finishes_none(postgres: PostgresServer) -> None:
    url = postgres.new_database()
    database, other = Database(url), Database(url)
    await database.open()
    stored = JobStore(database)
    await stored.begin("job")
    await stored.add_rows("job", [JobRow(place, place + 1, b"{}") for place in range(4)])
    await stored.submit("job", 4)
    job = await stored.next_unfinished()
    assert job is not None
    assert await stored.take(job, "stalled")
    async with other.transaction() as connection:
        taken_over = update(jobs).values(worker="successor", heartbeat=jobs.c.heartbeat + 1)
        await connection.execute(taken_over)
        finishing = asyncio.create_task(stored.finish_rows("job", "stalled", RowsDone(2)))
        waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
        async with asyncio.timeout(20):
            while not (await connection.execute(waiting)).scalar_one():
                await asyncio.sleep(0.01)
    assert not await finishing
    assert [row.content for row in await stored.rows_from("job", 0, 10)] == [b"{}"] * 4
    await database.close()
    await other.close()
