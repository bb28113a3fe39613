"""Migrate a database's schema to the version of this CLAIRO.

The steps are in `service.store.migrations`. All missing ones run in the caller's transaction, so a kill in between
leaves the schema as it was. A database of a newer version is refused.
"""

import logging
from pathlib import Path

from sqlalchemy import Connection, inspect, select, text

from service.errors import NewerStoreError, OutdatedStoreError
from service.store import sql_tables

FIRST_VERSION = 1
NEWEST_VERSION = 12


def bring_up_to_date(connection: Connection) -> int:
    """Run the missing steps. Return the version that the database had, 0 for an empty one.

    Raises:
        NewerStoreError: a newer CLAIRO wrote the database.
    """
    version = read_version(connection)
    if version == NEWEST_VERSION:
        return version
    # Rarely needed, and slow to import.
    logging.getLogger("alembic.runtime.plugins").setLevel(logging.WARNING)
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    config.attributes["connection"] = connection
    if version == FIRST_VERSION and not inspect(connection).has_table("alembic_version"):
        # Older than CLAIRO's use of Alembic: its tables are those of the first step.
        command.stamp(config, str(FIRST_VERSION))
    command.upgrade(config, str(NEWEST_VERSION))
    return version


def check_is_up_to_date(connection: Connection) -> None:
    """Refuse a database whose schema is not current.

    Raises:
        NewerStoreError: a newer CLAIRO wrote it.
        OutdatedStoreError: steps are missing.
    """
    version = read_version(connection)
    if version < NEWEST_VERSION:
        raise OutdatedStoreError(
            f"the database has schema version {version}, expected {NEWEST_VERSION}; run "
            "`clairo-serve migrate` once, or start with --migrate"
        )


def read_version(connection: Connection) -> int:
    """Read the database's schema version; 0 if CLAIRO has no tables in it.

    Raises:
        NewerStoreError: a newer CLAIRO wrote it.
    """
    known = inspect(connection)
    found: str | int = 0
    if known.has_table("alembic_version"):
        found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none() or 0
    elif known.has_table(sql_tables.schema_version.name):
        found = connection.execute(select(sql_tables.schema_version.c.version)).scalar_one_or_none() or 0
    version = int(found) if str(found).isdecimal() else NEWEST_VERSION + 1
    if version > NEWEST_VERSION:
        raise NewerStoreError(
            f"the database has schema version {found}, expected at most {NEWEST_VERSION}; "
            "upgrade CLAIRO, or choose another database with --database-url"
        )
    return version
