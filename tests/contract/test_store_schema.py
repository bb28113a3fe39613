"""Migrations: from an empty database and from the first version to the declared tables."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text
from typer.testing import CliRunner

from clairo_core.attributes import AttributeType
from clairo_core.items import Item
from service.cli.commands import app
from service.errors import NewerStoreError, OutdatedStoreError, StoreError
from service.store import schema, sql_tables
from service.store.attribute_types import AttributeTypeStore, FixedType
from service.store.database import Database
from service.store.feedback import FeedbackStore
from service.store.feedback_event import FeedbackEvent
from service.store.jobs import JobKind, JobStore
from service.store.keys import KeyStore
from service.store.sql_store import SqlStore
from service.store.store import ChangeKind, ItemWrite, WriteOutcome
from tests.new_databases import run_steps
from tests.postgres_server import PostgresServer
from tests.repository import REPOSITORY

VERSION_1 = REPOSITORY / "tests" / "data" / "store_version_1.sql"


@pytest.fixture(autouse=True)
def _every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "bring_up_to_date", run_steps)


@pytest.fixture
def first_version(tmp_path: Path) -> Path:
    """A store from before CLAIRO used Alembic: a mug, a lamp with a picture, a retired item."""
    path = tmp_path / "clairo.db"
    connection = sqlite3.connect(path)
    connection.executescript(VERSION_1.read_text(encoding="utf-8"))
    connection.close()
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    location: Path | str = tmp_path / "clairo.db"
    if request.param == "postgresql":
        postgres: PostgresServer = request.getfixturevalue("postgres")
        location = postgres.new_database()
    database = Database(location)
    yield database
    await database.close()


async def insert_events(database: Database, *events: tuple[str, str, float]) -> None:
    """Clicks of Ann, (event_id, item_id, timestamp), in a schema before values of events."""
    statement = text(
        "INSERT INTO feedback_events (namespace, event_id, user_id, item_id, type, timestamp, received_at)"
        " VALUES ('default', :event_id, 'ann', :item_id, 'click', :timestamp, CURRENT_TIMESTAMP)"
    )
    async with database.transaction() as connection:
        for event_id, item_id, timestamp in events:
            values = {"event_id": event_id, "item_id": item_id, "timestamp": timestamp}
            await connection.execute(statement, values)


def differences(connection: Connection) -> list[object]:
    return list(compare_metadata(MigrationContext.configure(connection), sql_tables.metadata))


async def test_migrations_build_the_declared_tables(database: Database) -> None:
    assert await database.open() == 0
    async with database.reading() as connection:
        assert await connection.run_sync(differences) == []
    assert await database.open() == schema.NEWEST_VERSION


async def test_concurrent_starts_migrate_once(database: Database) -> None:
    assert sorted(await asyncio.gather(*(database.open() for _ in range(4)))) == [0, *[schema.NEWEST_VERSION] * 3]


async def test_a_store_of_the_first_version_keeps_its_items(first_version: Path) -> None:
    store = SqlStore(first_version)
    await store.open()
    changes = await store.changes_since(0, "bundle-a")
    assert [(change.kind, change.item_id) for change in changes] == [
        (ChangeKind.ADDED, "mug"),
        (ChangeKind.ADDED, "lamp/ä"),
        (ChangeKind.RETIRED, "of the bundle"),
    ]
    assert [change.features.feature_set for change in changes if change.features] == [(1, 2, 0), (1, 2, 1)]
    assert await store.read_picture("lamp/ä") == b"\x89PNG picture"
    lamp = Item(item_id="lamp/ä", texts={"title": "Lamp"}, picture=b"\x89PNG picture")
    assert await store.write_items([ItemWrite(lamp, None)]) == [WriteOutcome.UNCHANGED]
    assert await store.retire_item("of the bundle") == 3
    assert await store.retire_item("mug") == 4
    async with store.database.reading() as connection:
        assert await connection.run_sync(differences) == []
    await store.close()


async def test_stored_events_ahead_of_the_clock_get_their_time_of_arrival(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    with monkeypatch.context() as earlier:
        earlier.setattr(schema, "NEWEST_VERSION", 2)
        await database.open()
    await insert_events(database, ("ahead", "mug", now + 3 * 365 * 86400), ("right", "cup", now + 60))
    assert await database.open() == 2
    ahead, right = await FeedbackStore(database).user_events("ann", None, 10)
    assert (ahead.event.event_id, right.event.timestamp) == ("ahead", now + 60)
    assert now - 1 <= ahead.event.timestamp <= time.time()


async def test_events_and_jobs_of_the_third_version_are_kept(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as earlier:
        earlier.setattr(schema, "NEWEST_VERSION", 3)
        await database.open()
    await insert_events(database, ("one", "mug", 1.0), ("two", "cup", 2.0), ("three", "pot", 3.0))
    async with database.transaction() as connection:
        await connection.execute(text("DELETE FROM feedback_events WHERE event_id = 'three'"))
        await connection.execute(
            text(
                "INSERT INTO jobs (namespace, job_id, state, num_rows, num_done, num_accepted, num_rejected, heartbeat,"
                " created_at) VALUES ('default', 'j', 'waiting', 1, 0, 0, 0, 0, CURRENT_TIMESTAMP)"
            )
        )
        await connection.execute(
            text("INSERT INTO job_rows (namespace, job_id, position, line) VALUES ('default', 'j', 0, 1)")
        )
    assert await database.open() == 3
    feedback = FeedbackStore(database)
    long_type = "Produkt in den Warenkorb gelegt (mobil, Aktionsseite, Herbst)"
    await feedback.add_events([FeedbackEvent("four", "ann", "mug", long_type, 4.0, value=4.5)])
    events = await feedback.user_events("ann", None, 10)
    assert [(kept.event.event_id, kept.event.value) for kept in events] == [("one", None), ("two", None), ("four", 4.5)]
    # The sequence of a deleted event is not given again: readers that page by it would miss the new one.
    assert [kept.sequence for kept in events] == [1, 2, 4]
    job = await JobStore(database).next_unfinished()
    assert job is not None
    assert (job.kind, job.num_duplicates, job.num_undeclared) == (JobKind.ITEMS, 0, 0)
    assert job.undeclared_types == {}
    assert len(await JobStore(database).rows_from("j", 0, 10)) == 1


async def test_keys_of_the_fifth_version_have_no_origins(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as earlier:
        earlier.setattr(schema, "NEWEST_VERSION", 5)
        await database.open()
    async with database.transaction() as connection:
        await connection.execute(
            text(
                "INSERT INTO api_keys (namespace, key_id, name, key_digest, scopes, created_at)"
                " VALUES ('default', 'k', 'shop', 'd', '[\"read\"]', CURRENT_TIMESTAMP)"
            )
        )
    assert await database.open() == 5
    (key,) = await KeyStore(database).list_keys()
    assert (key.key_id, key.scopes, key.origins) == ("k", frozenset({"read"}), frozenset())


async def test_events_of_the_fifth_version_keep_their_users_and_sequences(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as earlier:
        earlier.setattr(schema, "NEWEST_VERSION", 5)
        await database.open()
    await insert_events(database, ("one", "mug", 1.0), ("two", "cup", 2.0))
    async with database.transaction() as connection:
        await connection.execute(text("DELETE FROM feedback_events WHERE event_id = 'two'"))
    assert await database.open() == 5
    feedback = FeedbackStore(database)
    await feedback.add_events([FeedbackEvent("three", None, "mug", "click", 3.0, session_id="s-1")])
    await feedback.merge_session("s-1", "ann")
    events = await feedback.user_events("ann", None, 10)
    assert [(kept.event.event_id, kept.event.session_id) for kept in events] == [("one", None), ("three", "s-1")]
    assert [kept.sequence for kept in events] == [1, 3]


async def test_stored_values_of_the_fifth_version_fix_the_types_of_their_names(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as earlier:
        earlier.setattr(schema, "NEWEST_VERSION", 5)
        await database.open()
    statement = text(
        "INSERT INTO items (namespace, item_id, texts, attributes, content_digest, created_at)"
        " VALUES ('default', :item_id, '[]', :attributes, 'x', CURRENT_TIMESTAMP)"
    )
    async with database.transaction() as connection:
        for item_id, attributes in (("mug", '{"price": "18.00", "a": "x"}'), ("jug", '{"a": true}')):
            await connection.execute(statement, {"item_id": item_id, "attributes": attributes})
    assert await database.open() == 5
    assert await AttributeTypeStore(database).read() == {"price": FixedType(AttributeType.TEXT, is_declared=False)}


async def test_features_of_items_that_changed_before_are_marked_as_older(
    first_version: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SqlStore(first_version)
    with monkeypatch.context() as earlier:
        earlier.setattr(schema, "NEWEST_VERSION", 2)
        await store.open()
    async with store.database.transaction() as connection:
        changed = "INSERT INTO catalogue_changes VALUES ('default', 4, 'changed', 'lamp/ä', '2026-01-01 00:00:00')"
        await connection.execute(text(changed))
    await store.open()
    changes = await store.changes_since(0, "bundle-a")
    are_current = {change.item_id: change.are_features_current for change in changes if change.features}
    assert are_current == {"mug": True, "lamp/ä": False}
    await store.close()


async def test_a_clairo_of_the_first_version_refuses_a_migrated_store(first_version: Path) -> None:
    store = SqlStore(first_version)
    await store.open()
    await store.close()
    connection = sqlite3.connect(first_version)
    assert connection.execute("SELECT version FROM clairo_schema_version").fetchall() == [(schema.NEWEST_VERSION,)]
    connection.close()


async def test_a_failed_step_leaves_the_schema_unchanged(first_version: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = sqlite3.connect(first_version)
    connection.execute("CREATE TABLE jobs (in_the_way INTEGER)")
    connection.commit()
    before = connection.execute("SELECT name, sql FROM sqlite_master").fetchall()
    database = Database(first_version)
    with pytest.raises(StoreError, match="jobs"):
        await database.open()
    await database.close()
    assert connection.execute("SELECT name, sql FROM sqlite_master").fetchall() == before
    connection.close()


async def test_an_unknown_revision_is_refused(tmp_path: Path) -> None:
    database = Database(tmp_path / "clairo.db")
    await database.open()
    connection = sqlite3.connect(tmp_path / "clairo.db")
    connection.execute("UPDATE alembic_version SET version_num = '99'")
    connection.commit()
    connection.close()
    with pytest.raises(NewerStoreError, match="schema version 99"):
        await database.open()
    await database.close()


async def test_postgresql_is_not_migrated_unasked(postgres: PostgresServer) -> None:
    url = postgres.new_database()
    store = SqlStore(url)
    with pytest.raises(OutdatedStoreError, match="clairo-serve migrate"):
        await store.open()
    migrated = await asyncio.to_thread(CliRunner().invoke, app, ["migrate", "--database-url", url])
    assert migrated.exit_code == 0, migrated.output
    assert f"migrated from schema version 0 to {schema.NEWEST_VERSION}" in migrated.output
    again = await asyncio.to_thread(CliRunner().invoke, app, ["migrate", "--database-url", url])
    assert "up to date" in again.output
    await store.open()
    assert await store.changes_since(0, "bundle-a") == []
    await store.close()


def test_a_database_that_cannot_be_reached_is_named_without_its_password() -> None:
    url = "postgresql://shop:secret@127.0.0.1:1/shop"
    refused = CliRunner().invoke(app, ["migrate", "--database-url", url])
    assert refused.exit_code == 1
    assert "secret" not in refused.output
    assert refused.stderr.startswith("clairo-serve: postgresql+psycopg://shop:***@127.0.0.1:1/shop: ")
    assert len(refused.stderr.splitlines()) == 1
