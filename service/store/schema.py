"""Bring a database's schema from whatever version it has to the one this CLAIRO knows.

The steps stand in `service.store.migrations`; all that are missing are taken in the caller's transaction, so that a
kill between two of them leaves the schema as it was. A database of a newer version is refused, never guessed at.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, inspect, select

from service.errors import NewerStoreError, OutdatedStoreError
from service.store import sql_tables

FIRST_VERSION = 1
NEWEST_VERSION = 2


def bring_up_to_date(connection: Connection) -> int:
    """Take the steps that the database has not seen; return the version it had, 0 for an empty one.

    Raises:
        NewerStoreError: the database is of a version that this CLAIRO does not know.
    """
    version = read_version(connection)
    if version == NEWEST_VERSION:
        return version
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    config.attributes["connection"] = connection
    if version == FIRST_VERSION and not inspect(connection).has_table("alembic_version"):
        # Made before CLAIRO had Alembic: its tables are those of the first step.
        command.stamp(config, str(FIRST_VERSION))
    command.upgrade(config, str(NEWEST_VERSION))
    return version


def check_is_up_to_date(connection: Connection) -> None:
    """Let a database pass whose schema is the one this CLAIRO knows.

    Raises:
        NewerStoreError: it is of a version that this CLAIRO does not know.
        OutdatedStoreError: steps are missing.
    """
    version = read_version(connection)
    if version < NEWEST_VERSION:
        raise OutdatedStoreError(
            f"the database has schema version {version}, this CLAIRO needs {NEWEST_VERSION}; run "
            "`clairo-serve migrate` once, or start with --migrate"
        )


def read_version(connection: Connection) -> int:
    """The schema version of the database; 0 for one that CLAIRO has never seen.

    Raises:
        NewerStoreError: this CLAIRO does not know that version.
    """
    known = inspect(connection)
    found: str | int = 0
    if known.has_table("alembic_version"):
        found = MigrationContext.configure(connection).get_current_revision() or 0
    elif known.has_table(sql_tables.schema_version.name):
        found = connection.execute(select(sql_tables.schema_version.c.version)).scalar_one_or_none() or 0
    version = int(found) if str(found).isdecimal() else NEWEST_VERSION + 1
    if version > NEWEST_VERSION:
        raise NewerStoreError(
            f"the database has schema version {found}, this CLAIRO knows up to {NEWEST_VERSION}; "
            "upgrade CLAIRO, or name another database with --database-url"
        )
    return version
