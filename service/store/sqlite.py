"""Open SQLite such that acknowledged writes survive a kill and writers wait for each other.

Write-ahead log, every commit synced to disk, foreign keys enforced. Transactions begin explicitly: Python's driver
begins one only at the first write, too late to read a version and write the next in one transaction.
"""

from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

BUSY_TIMEOUT_SECONDS = 10
WRITER_OPTION = "is_writer"


def create_sqlite_engine(path: Path | None) -> AsyncEngine:
    """Create an engine on the file, or in memory if `path` is None, without opening it yet."""
    url = URL.create("sqlite+aiosqlite", database=str(path or ":memory:"))
    engine = create_async_engine(url, connect_args={"timeout": BUSY_TIMEOUT_SECONDS})
    event.listen(engine.sync_engine, "connect", _configure_connection)
    event.listen(engine.sync_engine, "begin", _begin)
    return engine


def writer_of(engine: AsyncEngine) -> AsyncEngine:
    """The same engine, with transactions that take the write lock when they begin."""
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
