"""Check everything that the service needs, and name the next step for each problem.

Changes nothing: no migration, no new file. Start at `examine`.
"""

import asyncio
import logging
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import torch

from clairo_core.bundle.manifest import BundleManifest, read_manifest, verify_files
from clairo_core.bundle.remote_bundles import RemoteBundles
from clairo_core.errors import ClairoError
from clairo_core.generation.t5.generator import choose_device
from clairo_core.storage.storage_address import StorageAddress
from service.bundles.not_worse import deciding_metric
from service.bundles.shelf import BundleShelf
from service.errors import NewerStoreError, OutdatedStoreError
from service.replicas.redis_link import RedisLink
from service.settings import Settings
from service.store.database import Database, location_name
from service.telemetry.logs import without_secrets

LOW_DISK_BYTES = 1024**3
NO_DISK_BYTES = 100 * 1024**2
REDIS_SECONDS = 2.0
MAX_CHARACTERS = 300


class State(StrEnum):
    """Result of a check."""

    OK = "ok"
    WARNING = "warning"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found."""

    subject: str
    state: State
    found: str
    next_step: str = ""
    """Empty if there is nothing to do."""


async def examine(settings: Settings) -> list[Finding]:
    """Run all checks, in the order in which the service needs things. An unforeseen exception counts as broken."""
    findings = [Finding("settings", State.OK, f"namespace {settings.namespace}, {settings.workers} worker(s)")]
    checks: list[tuple[str, Callable[[Settings], Awaitable[Finding]]]] = [
        ("bundle", examine_bundle),
        ("bundles_dir", examine_shelf),
        ("database", examine_database),
        ("redis", examine_redis),
        ("device", examine_device),
        ("disk", examine_disk),
    ]
    logger = logging.getLogger("clairo")
    level = logger.level
    # The findings replace the log.
    logger.setLevel(logging.ERROR)
    try:
        for subject, check in checks:
            try:
                findings.append(await check(settings))
            except Exception as error:
                reason = without_secrets(f"{type(error).__name__}: {error}")
                findings.append(Finding(subject, State.BROKEN, reason, "fix the cause named here"))
    finally:
        logger.setLevel(level)
    return findings


async def examine_bundle(settings: Settings) -> Finding:
    """Check that the bundle exists, is complete, and has a supported schema; of one in object storage, the manifest."""
    try:
        manifest, files = await asyncio.to_thread(_examined_files, settings)
    except ClairoError as error:
        return _broken("bundle", error, "train or copy a bundle")
    value = deciding_metric(manifest.metrics)
    accuracy = "NDCG@10 not measured" if value is None else f"NDCG@10 {value:.4f}"
    found = f"{manifest.bundle_id}: {files}; {accuracy}"
    if not manifest.encoders:
        return Finding("bundle", State.WARNING, f"{found}; no encoders", "to post items, train a bundle with encoders")
    return Finding("bundle", State.OK, found)


def _examined_files(settings: Settings) -> tuple[BundleManifest, str]:
    """The bundle's manifest, and what was found of its files.

    Raises:
        ClairoError: the bundle cannot be used.
    """
    bundle = settings.bundle
    if isinstance(bundle, StorageAddress):
        read = RemoteBundles(bundle.parent, settings.bundle_copies).manifest(bundle.name)
        if isinstance(read, ClairoError):
            raise read
        return read, f"{len(read.files)} files in object storage, checked when they are fetched at the start"
    manifest = read_manifest(bundle)
    verify_files(bundle, manifest)
    size_mib = sum((bundle / name).stat().st_size for name in manifest.files) / 1024**2
    return manifest, f"{len(manifest.files)} files, {size_mib:.0f} MiB, all digests match"


def _broken(subject: str, error: ClairoError, next_step: str) -> Finding:
    """The finding of an error, whose text has the next step after its last semicolon, if any."""
    found, _, named = str(error).rpartition(";")
    return Finding(subject, State.BROKEN, found or str(error), named.strip() or next_step)


async def examine_shelf(settings: Settings) -> Finding:
    """Check the folder of bundles that can be activated."""
    if settings.bundles_dir is None:
        return Finding("bundles_dir", State.OK, "not set: no other bundle can be activated")
    if isinstance(settings.bundles_dir, Path) and not settings.bundles_dir.is_dir():
        return Finding(
            "bundles_dir",
            State.BROKEN,
            f"{settings.bundles_dir} is not a folder",
            "create it, or unset CLAIRO_BUNDLES_DIR",
        )
    try:
        shelf = BundleShelf(settings.bundle, settings.bundles_dir, settings.bundle_copies)
        shelved = await asyncio.to_thread(shelf.bundles)
    except ClairoError as error:
        return _broken("bundles_dir", error, "correct CLAIRO_BUNDLES_DIR")
    damaged = [bundle for bundle in shelved if bundle.problem]
    found = f"{len(shelved) - len(damaged)} bundle(s) can be activated"
    if damaged:
        names = ", ".join(bundle.folder.name for bundle in damaged)
        return Finding(
            "bundles_dir", State.WARNING, f"{found}; unusable: {names} ({damaged[0].problem})", "remove them"
        )
    return Finding("bundles_dir", State.OK, found)


async def examine_database(settings: Settings) -> Finding:
    """Check that the database answers and has the current schema."""
    location = settings.store_location
    name = without_secrets(location_name(location))
    if location is None:
        return Finding("database", State.WARNING, "in memory: posted items are lost at exit", "set CLAIRO_DATABASE_URL")
    if isinstance(location, Path) and not location.exists():
        return _folder_finding(location)
    database = Database(location, settings.namespace)
    try:
        version = await database.open(may_migrate=False)
    except NewerStoreError as error:
        return Finding("database", State.BROKEN, without_secrets(str(error)), "update CLAIRO")
    except OutdatedStoreError as error:
        return Finding("database", State.BROKEN, without_secrets(str(error)), "run clairo-serve migrate")
    except ClairoError as error:
        return Finding(
            "database", State.BROKEN, without_secrets(str(error)), "start the database, or correct CLAIRO_DATABASE_URL"
        )
    finally:
        await database.close()
    return Finding("database", State.OK, f"{name}: schema version {version}")


def _folder_finding(path: Path) -> Finding:
    nearest = next(parent for parent in path.absolute().parents if parent.exists())
    if not nearest.is_dir():
        return Finding("database", State.BROKEN, f"{nearest} is not a folder", "set another --data-dir")
    return Finding("database", State.OK, f"{path} is created at the first start")


async def examine_redis(settings: Settings) -> Finding:
    """Check Redis, if one is set."""
    if not settings.redis_url:
        return Finding("redis", State.OK, "not set: each process caches its own answers")
    link = RedisLink(settings.redis_url, timeout_seconds=REDIS_SECONDS)
    try:
        is_up = await link.check()
    finally:
        await link.close()
    if not is_up:
        found = f"{without_secrets(settings.redis_url)} does not answer; the service runs without it"
        return Finding("redis", State.WARNING, found, "start Redis, or correct CLAIRO_REDIS_URL")
    return Finding("redis", State.OK, f"{without_secrets(settings.redis_url)} answers")


async def examine_device(settings: Settings) -> Finding:
    """Check the generator's device."""
    try:
        device = choose_device(settings.device)
        torch.zeros(1, device=device)
    except (ClairoError, RuntimeError, AssertionError) as error:
        return Finding("device", State.BROKEN, f"{settings.device}: {error}", "set CLAIRO_DEVICE=cpu")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    return Finding("device", State.OK, f"{device} ({name})")


async def examine_disk(settings: Settings) -> Finding:
    """Check the space left for posted items."""
    location = settings.store_location
    folder = (location if isinstance(location, Path) else settings.data_dir).absolute()
    nearest = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(nearest).free
    found = f"{free / 1024**3:.1f} GiB free at {nearest}"
    if free < LOW_DISK_BYTES:
        state = State.BROKEN if free < NO_DISK_BYTES else State.WARNING
        return Finding("disk", state, found, "free space: with a full disk, every posted item is refused")
    return Finding("disk", State.OK, found)


def as_table(findings: list[Finding]) -> str:
    """Lay out findings as lines, each next step under its finding."""
    width = max(len(finding.subject) for finding in findings)
    lines = []
    for finding in findings:
        # Errors of libraries can be long.
        found = next(iter(finding.found.splitlines()), "")[:MAX_CHARACTERS]
        lines.append(f"{finding.state.value:<8} {finding.subject:<{width}}  {found}")
        if finding.next_step:
            lines.append(f"{'':<8} {'':<{width}}  -> {finding.next_step}")
    return "\n".join(lines)
