"""Each kind of database, empty and migrated: what a file tests less or more of overrides them."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service.store.database import Database
from service.store.feedback import FeedbackStore
from service.store.sql_store import SqlStore
from service.store.store import Store
from tests.fake_store import MemoryStore
from tests.new_databases import migrated_database


@pytest.fixture(params=["sqlite file", "sqlite in memory", "postgresql"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str | None:
    """A store's location; None is in memory."""
    if request.param == "postgresql":
        return migrated_database(request.getfixturevalue("postgres"))
    return tmp_path / "clairo.db" if request.param == "sqlite file" else None


@pytest.fixture(params=["fake", "sqlite file", "sqlite in memory", "postgresql"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    store: Store
    if request.param == "fake":
        store = MemoryStore()
    elif request.param == "postgresql":
        store = SqlStore(migrated_database(request.getfixturevalue("postgres")), may_migrate=True)
    else:
        store = SqlStore(tmp_path / "store" / "clairo.db" if request.param == "sqlite file" else None)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def database(location: Path | str | None) -> AsyncIterator[Database]:
    database = Database(location)
    await database.open()
    yield database
    await database.close()


@pytest.fixture
def feedback(database: Database) -> FeedbackStore:
    return FeedbackStore(database)
