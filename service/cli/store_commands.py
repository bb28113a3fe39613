"""`clairo-serve migrate`, `keys`, `import` and `export`: work on the store, whether or not a service is running on it.

An error is one line on standard error.
"""

import asyncio
import json
import math
import sys
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from clairo_core.bundle.manifest import BundleManifest, read_manifest
from clairo_core.errors import ClairoError, SettingsError
from clairo_core.events import InteractionRules, read_rules
from clairo_core.values.ids import shown
from clairo_core.values.times import microseconds_in
from service.cli.export import Exported, export_tables
from service.cli.import_events import Imported, import_events
from service.feedback.meanings import MAX_SHOWN_TYPES, undeclared_warning
from service.keys.api_key import Scope, new_key
from service.keys.public_calls import DEFAULT_CALLS_PER_MINUTE
from service.origins import parsed_origin
from service.settings import StoreSettings, load_settings
from service.store.database import Database, location_name
from service.store.feedback import NO_RULES, FeedbackStore
from service.store.keys import KeyStore
from service.store.schema import NEWEST_VERSION
from service.store.sql_store import SqlStore

Result = TypeVar("Result")

USAGE_ERROR = 2
MAX_NAME_CHARACTERS = 100

DataDir = Annotated[Path | None, typer.Option("--data-dir", help="As for `clairo-serve run`.")]
DatabaseUrl = Annotated[str | None, typer.Option("--database-url", help="As for `clairo-serve run`.")]
Namespace = Annotated[str | None, typer.Option("--namespace", help="As for `clairo-serve run`.")]


def migrate(data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Bring the database schema up to date.

    Runs all steps in one transaction. Make a backup first, and stop services of an older CLAIRO: they refuse the new
    schema.
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
        typer.echo(f"{name} is up to date (schema version {version}).")
    else:
        typer.echo(f"{name} migrated from schema version {version} to {NEWEST_VERSION}.")


keys = typer.Typer(name="keys", help="Create, list and revoke API keys.", no_args_is_help=True)


@keys.command("create")
def create_key(
    name: Annotated[str, typer.Option("--name", help="Owner or purpose, shown by `keys list`.")],
    scope: Annotated[list[Scope], typer.Option("--scope", help="A scope of the key; repeat for more.")],
    rate: Annotated[
        int | None,
        typer.Option(
            "--rate", min=1, help="Calls per minute, summed over processes that share a Redis; unlimited if left out."
        ),
    ] = None,
    origin: Annotated[
        list[str] | None,
        typer.Option("--origin", help="Of a public key: a page's origin, https://shop.example; repeat for more."),
    ] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    namespace: Namespace = None,
) -> None:
    """Create a key and print it once; only its digest is stored. Effective within two seconds.

    Once a namespace has a key, every call to it needs one, from this machine too. A key of scope public is for a shop's
    pages: it needs --origin, has no other scope, and its rate is for each client address (1,200 by default).
    """
    try:
        origins = origins_of_key(scope, origin or [])
    except SettingsError as error:
        typer.echo(f"clairo-serve: {error}", err=True)
        sys.exit(USAGE_ERROR)
    if origins and rate is None:
        rate = DEFAULT_CALLS_PER_MINUTE
    key, record = new_key(name[:MAX_NAME_CHARACTERS], scope, rate, origins)
    with_store(store_settings(data_dir, database_url, namespace), lambda store: _key_store(store).add_key(record))
    typer.echo(f"key id {record.key_id}, scopes {', '.join(sorted(record.scopes))}. The key, shown only now:", err=True)
    typer.echo(key)


@keys.command("list")
def list_keys(data_dir: DataDir = None, database_url: DatabaseUrl = None, namespace: Namespace = None) -> None:
    """List all keys without their secrets, revoked ones included."""
    settings = store_settings(data_dir, database_url, namespace)
    records = with_store(settings, lambda store: _key_store(store).list_keys())
    for record in records:
        state = f"revoked {record.revoked_at:%Y-%m-%d %H:%M}" if record.revoked_at else "valid"
        per = " per address" if record.origins else ""
        rate = f"{record.requests_per_minute} calls per minute{per}" if record.requests_per_minute else "no rate limit"
        scopes = " ".join([",".join(sorted(record.scopes)), *sorted(record.origins)])
        typer.echo(f"{record.key_id}  {scopes}  {rate}  {record.created_at:%Y-%m-%d %H:%M}  {state}  {record.name}")
    if not records:
        typer.echo(f"namespace {settings.namespace} has no keys; create one with `clairo-serve keys create`", err=True)


@keys.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(help="Key id from `keys list`.")],
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    namespace: Namespace = None,
) -> None:
    """Revoke a key permanently; effective within two seconds."""
    settings = store_settings(data_dir, database_url, namespace)
    if not with_store(settings, lambda store: _key_store(store).revoke_key(key_id)):
        typer.echo(
            f"clairo-serve: no valid key has the id {key_id}; list the keys with `clairo-serve keys list`", err=True
        )
        sys.exit(1)
    typer.echo(f"Key {key_id} is revoked.")


def export(
    out: Annotated[Path, typer.Option("--out", help="Folder to write; replaces an earlier export.")],
    bundle: Annotated[
        Path | None,
        typer.Option("--bundle", help="The served bundle: exports its items too; needed unless all were posted."),
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", help="Oldest feedback: a date (2026-01-31) or an age in days (90d).")
    ] = None,
    rules: Annotated[
        Path | None, typer.Option("--rules", help="Rules of interactions in place of the bundle's, as in a manifest.")
    ] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    namespace: Namespace = None,
) -> None:
    """Export items and feedback as a data set for `clairo-train run --data`.

    Writes JSON Lines, pictures and dataset.toml. The service may keep running.
    """
    settings = store_settings(data_dir, database_url, namespace)
    try:
        from_then_on = -math.inf if since is None else parsed_since(since, datetime.now(UTC))
        of_file = None if rules is None else _rules_in(rules)
    except SettingsError as error:
        typer.echo(f"clairo-serve: {error}", err=True)
        sys.exit(USAGE_ERROR)

    async def run(store: SqlStore) -> Exported:
        loaded = None
        if bundle is not None:
            from clairo_core.bundle.load_bundle import load_bundle  # noqa: PLC0415 - slow to import

            loaded = await asyncio.to_thread(load_bundle, bundle)
        return await export_tables(store, FeedbackStore(store.database), out, loaded, from_then_on, of_file)

    exported = with_store(settings, run)
    if exported.left_out:
        types = ", ".join(f"{name!r} ({number:,})" for name, number in exported.left_out.most_common(MAX_SHOWN_TYPES))
        typer.echo(
            f"clairo-serve: {_are(exported.left_out.total(), 'event')} left out: no rule fits {types}; "
            "to keep them, give --rules that declare these types",
            err=True,
        )
    if exported.num_unfit:
        typer.echo(
            f"clairo-serve: {_are(exported.num_unfit, 'value')} left out, as the bundle's attributes have other types; "
            "post those items again with fitting values",
            err=True,
        )
    refused = exported.refused_ids
    left_out = f", {len(refused)} items left out for their ids, such as {shown(refused[0])}" if refused else ""
    typer.echo(
        f"{out}: {exported.num_items} items, {exported.num_pictures} pictures, "
        f"{exported.num_interactions} interactions{left_out}; train on them with `clairo-train run --data {out}`"
    )
    if exported.num_without_item:
        cure = "post the items" if bundle else "add --bundle, the served bundle, to export its items too"
        typer.echo(
            f"clairo-serve: {_are(exported.num_without_item, 'interaction')} with items that are not exported, and "
            f"training leaves them out; {cure}",
            err=True,
        )


def _rules_in(file: Path) -> InteractionRules:
    try:
        return read_rules(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise SettingsError(f"--rules {file}: cannot be read ({error}); name a file of rules") from error


def _are(number: int, noun: str) -> str:
    """`1 event is`, `1,200 events are`."""
    return f"{number:,} {noun}{' is' if number == 1 else 's are'}"


def import_data(
    data: Annotated[Path, typer.Argument(help="Dataset folder or TOML, as for `clairo-train run`.")],
    bundle: Annotated[
        Path | None, typer.Option("--bundle", help="The served bundle: types it does not declare are named.")
    ] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    namespace: Namespace = None,
) -> None:
    """Load a data set's events into the store, each once. Interrupted imports resume.

    The service may keep running. Needs clairo[train] beside clairo[serve].
    """
    settings = store_settings(data_dir, database_url, namespace)

    async def run(store: SqlStore) -> tuple[Imported, BundleManifest | None]:
        manifest = None if bundle is None else read_manifest(bundle)
        rules = NO_RULES if manifest is None else manifest.rules
        return await import_events(data, FeedbackStore(store.database), rules), manifest

    done, manifest = with_store(settings, run)
    rate = f"{done.num_events / max(done.seconds, 1e-9):,.0f} events per second"
    typer.echo(
        f"{data}: {done.num_events:,} events of {done.num_users:,} users, {done.num_new:,} of them new, in "
        f"{done.seconds:.0f} s ({rate})"
    )
    if done.num_unmatched:
        typer.echo(
            f"clairo-serve: {done.num_unmatched:,} rows are left out: no condition of [events] fits their values",
            err=True,
        )
    if done.undeclared and manifest is not None:
        warning = undeclared_warning(done.undeclared, manifest.rules, manifest.bundle_id)
        typer.echo(f"clairo-serve: {warning}", err=True)
    if done.num_ahead:
        typer.echo(
            f"clairo-serve: {done.num_ahead:,} events are dated ahead of the clock; they are dated now", err=True
        )
    if done.num_positions:
        typer.echo(
            f"clairo-serve: {done.num_positions:,} events have positions, not times; they are dated from 1970 on",
            err=True,
        )


def parsed_since(text: str, now: datetime) -> float:
    """Parse a date or time (UTC unless it has an offset), or an age in days, into seconds since 1970.

    >>> parsed_since("2d", datetime(1970, 1, 4, tzinfo=UTC)), parsed_since("1970-01-02", datetime.now(UTC))
    (86400.0, 86400.0)

    Raises:
        SettingsError: the text is neither.
    """
    try:
        if text.endswith("d"):
            return (now - timedelta(days=float(text[:-1]))).timestamp()
        return microseconds_in(text) / 1e6
    except (ValueError, OverflowError) as error:
        raise SettingsError(
            f"--since: got {text!r}, expected a date such as 2026-01-31 or an age such as 90d"
        ) from error


def with_store(settings: StoreSettings, work: Callable[[SqlStore], Coroutine[Any, Any, Result]]) -> Result:
    """Open the store and return the result of `work`; print a `ClairoError` as one line and exit."""

    async def run() -> Result:
        store = SqlStore(settings.store_location, settings.namespace)
        try:
            await store.open()
            return await work(store)
        finally:
            await store.close()

    return outcome(run())


def origins_of_key(scopes: Sequence[Scope], origins: Sequence[str]) -> list[str]:
    """Parse the origins of a new key, which public keys have and no others.

    Raises:
        SettingsError: scopes and origins do not fit together, or an origin is not one.
    """
    if Scope.PUBLIC in scopes and set(scopes) != {Scope.PUBLIC}:
        raise SettingsError("--scope public: got further scopes; create a second key for them, for your server alone")
    if (Scope.PUBLIC in scopes) != bool(origins):
        raise SettingsError("--scope public and --origin go together, such as --origin https://shop.example")
    try:
        return [parsed_origin(origin) for origin in origins]
    except ValueError as error:
        raise SettingsError(f"--origin: {error}") from error


def _key_store(store: SqlStore) -> KeyStore:
    return KeyStore(store.database)


def store_settings(data_dir: Path | None, database_url: str | None, namespace: str | None) -> StoreSettings:
    """Read the store's settings from flags and environment; print an invalid one and exit."""
    try:
        flags = {"data_dir": data_dir, "database_url": database_url, "namespace": namespace}
        return load_settings(StoreSettings, flags)
    except SettingsError as error:
        typer.echo(f"clairo-serve: {error}", err=True)
        sys.exit(USAGE_ERROR)


def outcome(work: Coroutine[Any, Any, Result]) -> Result:
    """Run `work` and return its result; print a `ClairoError` as one line and exit."""
    try:
        return asyncio.run(work)
    except ClairoError as error:
        typer.echo(f"clairo-serve: {error}", err=True)
        sys.exit(1)
