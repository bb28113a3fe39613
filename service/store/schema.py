"""Bring a database's schema from whatever version it has to the one this CLAIRO knows.

One function a step, run in order inside the caller's transaction, so that a kill between two steps leaves the
schema as it was. A database of a newer version is refused, never guessed at.
"""

from collections.abc import Callable

from sqlalchemy import Connection, delete, insert, inspect, select

from service.errors import NewerStoreError
from service.store import tables


def _create_first_tables(connection: Connection) -> None:
    tables.metadata.create_all(
        connection,
        tables=[tables.items, tables.item_features, tables.catalogue_changes],
    )


# Step n leads from version n to version n + 1. A published step is never edited.
STEPS: tuple[Callable[[Connection], None], ...] = (_create_first_tables,)
NEWEST_VERSION = len(STEPS)


def bring_up_to_date(connection: Connection) -> None:
    """Run the steps that the database has not seen.

    Raises:
        NewerStoreError: the database is of a version that this CLAIRO does not know.
    """
    version = read_version(connection)
    if version > NEWEST_VERSION:
        raise NewerStoreError(
            f"the database has schema version {version}, this CLAIRO knows up to {NEWEST_VERSION}; "
            "upgrade CLAIRO, or name another database with --database-url"
        )
    if version == NEWEST_VERSION:
        return
    tables.schema_version.create(connection, checkfirst=True)
    for step in STEPS[version:]:
        step(connection)
    connection.execute(delete(tables.schema_version))
    connection.execute(insert(tables.schema_version).values(version=NEWEST_VERSION))


def read_version(connection: Connection) -> int:
    """The schema version of the database; 0 for one that CLAIRO has never seen."""
    if not inspect(connection).has_table(tables.schema_version.name):
        return 0
    return connection.execute(select(tables.schema_version.c.version)).scalar_one_or_none() or 0
