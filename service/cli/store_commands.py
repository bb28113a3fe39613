"""`clairo-serve migrate`, `keys` and `export`: what an operator does to the store, served or not.

Knows flags and exit codes; what is wrong is said in one line on standard error.
"""

import asyncio
import math
import sys
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from clairo_core.errors import ClairoError, SettingsError
from service.cli.export import Exported, export_tables
from service.keys.api_key import Scope, new_key
from service.settings import StoreSettings, load_store_settings
from service.store.database import Database, location_name
from service.store.feedback import FeedbackStore
from service.store.keys import KeyStore
from service.store.schema import NEWEST_VERSION
from service.store.sql_store import SqlStore

Result = TypeVar("Result")

USAGE_ERROR = 2
MAX_NAME_CHARACTERS = 100

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


keys = typer.Typer(name="keys", help="Make, list and revoke API keys.", no_args_is_help=True)


@keys.command("create")
def create_key(
    name: Annotated[str, typer.Option("--name", help="Whose it is, for the list.")],
    scope: Annotated[list[Scope], typer.Option("--scope", help="What it may do; give it again for more.")],
    rate: Annotated[
        int | None,
        typer.Option(
            "--rate", min=1, help="Calls a minute, of all processes that share a Redis together, else of each."
        ),
    ] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    namespace: Namespace = None,
) -> None:
    """Make a key and show it, this once: only its digest is kept. A running service knows it within two seconds.

    With the first key of a namespace, every call needs one, from this machine too.
    """
    key, record = new_key(name[:MAX_NAME_CHARACTERS], scope, rate)
    with_store(store_settings(data_dir, database_url, namespace), lambda store: _key_store(store).add_key(record))
    typer.echo(
        f"key id {record.key_id}, scopes {', '.join(sorted(record.scopes))}; the key, shown this once:", err=True
    )
    typer.echo(key)


@keys.command("list")
def list_keys(data_dir: DataDir = None, database_url: DatabaseUrl = None, namespace: Namespace = None) -> None:
    """List every key there ever was, without its secret."""
    settings = store_settings(data_dir, database_url, namespace)
    records = with_store(settings, lambda store: _key_store(store).list_keys())
    for record in records:
        state = f"revoked {record.revoked_at:%Y-%m-%d %H:%M}" if record.revoked_at else "valid"
        rate = f"{record.requests_per_minute} calls a minute" if record.requests_per_minute else "any rate"
        scopes = ",".join(sorted(record.scopes))
        typer.echo(f"{record.key_id}  {scopes}  {rate}  {record.created_at:%Y-%m-%d %H:%M}  {state}  {record.name}")
    if not records:
        typer.echo(f"namespace {settings.namespace} has no keys; `clairo-serve keys create` makes one", err=True)


@keys.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(help="As `keys list` shows it.")],
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    namespace: Namespace = None,
) -> None:
    """Let a key open nothing any more, within two seconds and for good."""
    settings = store_settings(data_dir, database_url, namespace)
    if not with_store(settings, lambda store: _key_store(store).revoke_key(key_id)):
        typer.echo(f"clairo-serve: no valid key has the id {key_id}; `clairo-serve keys list` shows them", err=True)
        sys.exit(1)
    typer.echo(f"key {key_id} is revoked.")


def export(
    out: Annotated[Path, typer.Option("--out", help="The folder to write; an earlier export there is replaced.")],
    bundle: Annotated[
        Path | None, typer.Option("--bundle", help="The bundle that is served: its items are written as well.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", help="Feedback from then on: a date (2026-01-31) or an age in days (90d).")
    ] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    namespace: Namespace = None,
) -> None:
    """Write items and feedback as tables that `clairo-train run --data` takes: JSON Lines, pictures, dataset.toml.

    The service may run meanwhile.
    """
    settings = store_settings(data_dir, database_url, namespace)
    try:
        from_then_on = -math.inf if since is None else parsed_since(since, datetime.now(UTC))
    except SettingsError as error:
        typer.echo(f"clairo-serve: {error}", err=True)
        sys.exit(USAGE_ERROR)

    async def run(store: SqlStore) -> Exported:
        loaded = None
        if bundle is not None:
            from clairo_core.bundle.load_bundle import load_bundle  # noqa: PLC0415 - slow to import

            loaded = await asyncio.to_thread(load_bundle, bundle)
        return await export_tables(store, FeedbackStore(store.database), out, loaded, from_then_on)

    exported = with_store(settings, run)
    typer.echo(
        f"{out}: {exported.num_items} items, {exported.num_pictures} pictures, "
        f"{exported.num_interactions} interactions; go on with `clairo-train run --data {out}`"
    )


def parsed_since(text: str, now: datetime) -> float:
    """A date or a time (UTC unless it says otherwise), or an age in days, as seconds since 1970.

    >>> parsed_since("2d", datetime(1970, 1, 4, tzinfo=UTC)), parsed_since("1970-01-02", datetime.now(UTC))
    (86400.0, 86400.0)

    Raises:
        SettingsError: it is neither.
    """
    try:
        if text.endswith("d"):
            return (now - timedelta(days=float(text[:-1]))).timestamp()
        then = datetime.fromisoformat(text)
    except (ValueError, OverflowError) as error:
        raise SettingsError(f"--since {text!r}: expected a date such as 2026-01-31, or an age such as 90d") from error
    return (then if then.tzinfo else then.replace(tzinfo=UTC)).timestamp()


def with_store(settings: StoreSettings, work: Callable[[SqlStore], Coroutine[Any, Any, Result]]) -> Result:
    """What `work` returns on the open store; ends the program with one line if it raises an error of ours."""

    async def run() -> Result:
        store = SqlStore(settings.store_location, settings.namespace)
        try:
            await store.open()
            return await work(store)
        finally:
            await store.close()

    return outcome(run())


def _key_store(store: SqlStore) -> KeyStore:
    return KeyStore(store.database)


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
