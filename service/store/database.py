"""Connections, transactions, locks and errors of SQLite and PostgreSQL. Start at `Database.transaction`."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Row, Select, text
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
        # SQLite has one writer at a time. Queueing here is fair; its own busy timeout is not. A database in memory has
        # one connection, which readers wait for too.
        turn = asyncio.Lock()
        self._writers_turn: AbstractAsyncContextManager[object] = contextlib.nullcontext() if self.is_postgres else turn
        self._readers_turn: AbstractAsyncContextManager[object] = turn if location is None else contextlib.nullcontext()

    async def open(self, *, may_migrate: bool = True) -> int:
        """Connect, and migrate the schema or check that it is current. Return the version it had.

        Raises:
            StoreError: the database cannot be used.
            NewerStoreError: a newer CLAIRO wrote it.
            OutdatedStoreError: the schema is older, and `may_migrate` is false.
        """
        if self._path is not None:
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StoreError(
                    f"{self._path.parent}: cannot create this folder: {error.strerror}; choose another --data-dir"
                ) from error
        if may_migrate:
            async with self.transaction(lock="schema") as connection:
                return await connection.run_sync(schema.bring_up_to_date)
        async with self.reading() as connection:
            await connection.run_sync(schema.check_is_up_to_date)
        return schema.NEWEST_VERSION

    async def close(self) -> None:
        """Close all connections."""
        await self._engine.dispose()

    @asynccontextmanager
    async def transaction(self, lock: str = "", *, is_shared: bool = False) -> AsyncIterator[AsyncConnection]:
        """A transaction, committed at the end of the block and rolled back if it raises.

        Args:
            lock: transactions with the same lock run one at a time, across processes.
            is_shared: run beside others that share the lock, but not beside exclusive ones.

        Raises:
            StoreError: nothing was written, unless the connection broke during the commit.
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

    async def rows(self, query: Select) -> Sequence[Row]:
        """Read all rows of one query."""
        async with self.reading() as connection:
            return (await connection.execute(query)).all()

    def insert(self, table: object) -> SqliteInsert | PostgresInsert:
        """An INSERT with ON CONFLICT, which both databases spell alike."""
        return postgresql.insert(table) if self.is_postgres else sqlite.insert(table)  # type: ignore[arg-type]

    async def _connected(self, engine: AsyncEngine) -> AsyncConnection:
        """Connect, waiting up to `RECONNECT_SECONDS` for a PostgreSQL that restarts."""
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
    """The database's name for messages and logs, without a password."""
    if isinstance(location, str):
        return parsed_url(location).render_as_string(hide_password=True)
    return str(location) if location else "database in memory"


@contextmanager
def store_errors(name: str) -> Iterator[None]:
    """Turn the database's exceptions into a `StoreError` that names the database."""
    try:
        yield
    except DBAPIError as error:
        # Clients' content must not leak: DBAPIError's text quotes statement and parameters, and PostgreSQL's further
        # lines quote rows.
        raise StoreError(f"{name}: {first_line(error.orig)}") from error
    except SQLAlchemyError as error:
        raise StoreError(f"{name}: {type(error).__name__}") from error


def in_utc(moment: datetime) -> datetime:
    """Normalize a stored time to UTC. SQLite drops the time zone; all stored times are UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def first_line(error: BaseException | None) -> str:
    """The first line of an error's text."""
    return (str(error).splitlines() or [type(error).__name__])[0]
