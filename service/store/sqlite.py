"""Open SQLite so that what was acknowledged survives a kill, and so that writers wait for each other.

Write-ahead log, every commit synced to disk, foreign keys held, transactions begun by us: Python's driver would
begin one only at the first write, too late for reading a version and writing the next one in the same transaction.
"""

from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

BUSY_TIMEOUT_SECONDS = 10
WRITER_OPTION = "is_writer"


def create_sqlite_engine(path: Path | None) -> AsyncEngine:
    """An engine on the file, or on memory where `path` is None. Nothing is opened yet."""
    url = URL.create("sqlite+aiosqlite", database=str(path or ":memory:"))
    engine = create_async_engine(url, connect_args={"timeout": BUSY_TIMEOUT_SECONDS})
    event.listen(engine.sync_engine, "connect", _configure_connection)
    event.listen(engine.sync_engine, "begin", _begin)
    return engine


def writer_of(engine: AsyncEngine) -> AsyncEngine:
    """The same engine, its transactions taking the write lock when they begin."""
    return engine.execution_options(**{WRITER_OPTION: True})


def _configure_connection(connection: Any, _record: object) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    is_writer = connection.get_execution_options().get(WRITER_OPTION, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writer else "BEGIN")
