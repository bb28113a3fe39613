"""`clairo-serve migrate`: what an operator does to the store while nothing is served.

Knows flags and exit codes; what is wrong is said in one line on standard error.
"""

import asyncio
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from clairo_core.errors import ClairoError, SettingsError
from service.settings import StoreSettings, load_store_settings
from service.store.database import Database, location_name
from service.store.schema import NEWEST_VERSION

Result = TypeVar("Result")

USAGE_ERROR = 2

DataDir = Annotated[Path | None, typer.Option("--data-dir", help="As of `clairo-serve run`.")]
DatabaseUrl = Annotated[str | None, typer.Option("--database-url", help="As of `clairo-serve run`.")]
Namespace = Annotated[str | None, typer.Option("--namespace", help="As of `clairo-serve run`.")]


def migrate(data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Bring the database's schema up to date; one that is up to date stays as it is.

    Which database is said as for `clairo-serve run`, by flags or by CLAIRO_DATABASE_URL. All steps are taken in one
    transaction. Make a backup first, and stop services of an older CLAIRO: they refuse the new schema.
    """
    settings = store_settings(data_dir, database_url, None)

    async def run() -> int:
        database = Database(settings.store_location)
        try:
            return await database.open()
        finally:
            await database.close()

    version = outcome(run())
    name = location_name(settings.store_location)
    if version == NEWEST_VERSION:
        typer.echo(f"{name} is up to date: schema version {version}.")
    else:
        typer.echo(f"{name}: schema version {version} is now {NEWEST_VERSION}.")


def store_settings(data_dir: Path | None, database_url: str | None, namespace: str | None) -> StoreSettings:
    """The settings of the store from flags and environment; ends the program if they have no meaning."""
    try:
        return load_store_settings({"data_dir": data_dir, "database_url": database_url, "namespace": namespace})
    except SettingsError as error:
        typer.echo(f"clairo-serve: {error}", err=True)
        sys.exit(USAGE_ERROR)


def outcome(work: Coroutine[Any, Any, Result]) -> Result:
    """What `work` returns; ends the program with one line if it raises an error of ours."""
    try:
        return asyncio.run(work)
    except ClairoError as error:
        typer.echo(f"clairo-serve: {error}", err=True)
        sys.exit(1)
