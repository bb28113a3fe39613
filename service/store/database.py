"""Transactions on SQLite or PostgreSQL: begun, locked, retried and told off in one place.

Knows engines, locks and what goes wrong with connections; knows nothing of what is stored. Start at
`Database.transaction`.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from service.errors import StoreError
from service.store import schema
from service.store.postgres import LOCK_TIMEOUT_SECONDS, advisory_lock_key, create_postgres_engine, parsed_url
from service.store.sqlite import create_sqlite_engine, writer_of

RECONNECT_SECONDS = 3.0
FIRST_RETRY_SECONDS = 0.05

SqliteInsert = sqlite.Insert
PostgresInsert = postgresql.Insert


class Database:
    """A database of one namespace: a SQLite file, SQLite in memory (None), or a PostgreSQL url."""

    def __init__(self, location: Path | str | None, namespace: str = "default") -> None:
        self.namespace = namespace
        self.name = location_name(location)
        self._path = location if isinstance(location, Path) else None
        self.is_postgres = isinstance(location, str)
        if isinstance(location, str):
            self._engine: AsyncEngine = create_postgres_engine(parsed_url(location))
        else:
            self._engine = create_sqlite_engine(location)
        self._writer = self._engine if self.is_postgres else writer_of(self._engine)
        # SQLite has one writer at a time: waiting in line here is fair, its own busy timeout is a lottery. In memory
        # there is one connection, which readers wait for too.
        turn = asyncio.Lock()
        self._writers_turn: AbstractAsyncContextManager[object] = contextlib.nullcontext() if self.is_postgres else turn
        self._readers_turn: AbstractAsyncContextManager[object] = turn if location is None else contextlib.nullcontext()

    async def open(self, *, may_migrate: bool = True) -> int:
        """Connect; bring the schema up to date, or only check that it is; return the version that it had.

        Raises:
            StoreError: the database cannot be used.
            NewerStoreError: it was written by a newer CLAIRO.
            OutdatedStoreError: steps are missing, and we may not take them.
        """
        if self._path is not None:
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StoreError(f"{self._path.parent}: cannot make this folder: {error.strerror}") from error
        if may_migrate:
            async with self.transaction(lock="schema") as connection:
                return await connection.run_sync(schema.bring_up_to_date)
        async with self.reading() as connection:
            await connection.run_sync(schema.check_is_up_to_date)
        return schema.NEWEST_VERSION

    async def close(self) -> None:
        """Let go of every connection."""
        await self._engine.dispose()

    @asynccontextmanager
    async def transaction(self, lock: str = "", *, is_shared: bool = False) -> AsyncIterator[AsyncConnection]:
        """A transaction that is committed at the end of the block, and rolled back where it raises.

        Args:
            lock: writers that name the same one run one after the other, in this process and in others.
            is_shared: run beside others that share the lock, but beside none that do not.

        Raises:
            StoreError: nothing was written; or the connection broke at the very commit, and nobody can tell.
        """
        async with self._writers_turn:
            with store_errors(self.name):
                connection = await self._connected(self._writer)
                try:
                    async with connection.begin():
                        if lock and self.is_postgres:
                            await self._take(connection, lock, is_shared)
                        yield connection
                finally:
                    await connection.close()

    @asynccontextmanager
    async def reading(self, after_writers: str = "") -> AsyncIterator[AsyncConnection]:
        """A connection to read from. In SQLite, the block reads one snapshot; in PostgreSQL, each statement its own.

        Args:
            after_writers: a lock; writers that hold it commit first. Only they can commit out of sequence, and only in
                PostgreSQL, where a reader that pages by sequence would skip their rows.
        """
        async with self._readers_turn:
            with store_errors(self.name):
                connection = await self._connected(self._engine)
                try:
                    if after_writers and self.is_postgres:
                        await self._take(connection, after_writers, is_shared=False)
                    yield connection
                finally:
                    await connection.close()

    def insert(self, table: object) -> SqliteInsert | PostgresInsert:
        """An INSERT that knows ON CONFLICT, which the two databases spell alike."""
        return postgresql.insert(table) if self.is_postgres else sqlite.insert(table)  # type: ignore[arg-type]

    async def _connected(self, engine: AsyncEngine) -> AsyncConnection:
        """A connection; while PostgreSQL restarts, wait for it a moment rather than fail."""
        give_up_at = time.monotonic() + RECONNECT_SECONDS
        wait_seconds = FIRST_RETRY_SECONDS
        while True:
            connection = engine.connect()
            try:
                return await connection.start()
            except OperationalError:
                if not self.is_postgres or time.monotonic() + wait_seconds > give_up_at:
                    raise
            await asyncio.sleep(wait_seconds)
            wait_seconds = min(2 * wait_seconds, 0.5)

    async def _take(self, connection: AsyncConnection, lock: str, is_shared: bool) -> None:
        function = "pg_advisory_xact_lock_shared" if is_shared else "pg_advisory_xact_lock"
        await connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_SECONDS}s'"))
        key = advisory_lock_key("" if lock == "schema" else self.namespace, lock)
        await connection.execute(text(f"SELECT {function}(:key)"), {"key": key})


def location_name(location: Path | str | None) -> str:
    """The database as messages and logs may name it: without a password."""
    if isinstance(location, str):
        return parsed_url(location).render_as_string(hide_password=True)
    return str(location) if location else "database in memory"


@contextmanager
def store_errors(name: str) -> Iterator[None]:
    """Turn what the database raises into a `StoreError` that names the database."""
    try:
        yield
    except DBAPIError as error:
        # DBAPIError's own text quotes the statement and its parameters, and the lines after the first of PostgreSQL's
        # quote rows: both hold what clients sent.
        raise StoreError(f"{name}: {first_line(error.orig)}") from error
    except SQLAlchemyError as error:
        raise StoreError(f"{name}: {type(error).__name__}") from error


def in_utc(moment: datetime) -> datetime:
    """A moment as PostgreSQL gives it back; SQLite keeps no time zone, and we keep UTC alone."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def first_line(error: BaseException | None) -> str:
    """The first line of an error's text."""
    return (str(error).splitlines() or [type(error).__name__])[0]
