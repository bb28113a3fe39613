"""Recommend from a bundle to all users of a shop, into one file. Start at `recommend_users`."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pyarrow as pa

from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.bundle.manifest import read_manifest
from clairo_core.generation.t5.generator import choose_device
from clairo_core.items import Item
from clairo_core.progress import Progress
from training.engines.engine import IN_THIS_PROCESS, Engine
from training.recommending.parts_folder import MAX_AGE_SECONDS, PartsFolder
from training.recommending.recommendations_file import check_out, table_of
from training.recommending.user_histories import UserHistories, read_users, recommender_of_service, user_histories
from training.recommending.write_lists import USERS_PER_PART, write_lists
from training.retraining.service_tables import service_name, write_service_tables

TABLES_FOLDER = "tables"


def recommend_users(
    bundle_folder: Path,
    users: Path | None,
    out: Path,
    limit: int,
    *,
    database: str | None = None,
    device: str = "auto",
    engine: Engine = IN_THIS_PROCESS,
    progress: Progress[int],
    report: Callable[[str], None],
) -> str:
    """Write each user's recommendations, best first. The next run after a kill resumes. Return a summary.

    Users of a service are those of its feedback when the run began. A resumed run does not read them again.

    Args:
        bundle_folder: the bundle; for a service, the serving one.
        users: data set; None reads a service's store.
        out: file, Parquet or CSV by its ending.
        limit: items per user.
        database: of the service, as in `write_service_tables`.
        device: as in `choose_device`.
        engine: where parts are computed. This process writes them.
        progress: over users.
        report: gets one line per step.

    Raises:
        SettingsError: `out` has another ending, or is a file of something else.
        BundleError: the bundle cannot be loaded.
        DatasetError: the users cannot be read.
        OSError: a file cannot be written.
    """
    started_at = time.monotonic()
    check_out(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    manifest = read_manifest(bundle_folder)
    plan = {"bundle_id": manifest.bundle_id, "limit": limit, "users_per_part": USERS_PER_PART}
    tables, items = None, None
    if users is None:
        parts = PartsFolder.open(out, plan | {"service": service_name(database)}, MAX_AGE_SECONDS)
        tables = parts.folder / TABLES_FOLDER
        if not tables.is_dir():
            report(write_service_tables(tables, bundle_folder, database, None))
        dataset = read_users(tables, manifest, progress)
        items = dataset.items
    else:
        dataset = read_users(users, manifest, progress)
        parts = PartsFolder.open(out, plan | {"data": dataset.fingerprint})
    histories = user_histories(dataset)
    work = partial(recommending, bundle_folder, str(choose_device(device)), histories, limit, tables, items)
    recommend = partial(engine.map, work)
    return write_lists(out, parts, len(histories), recommend, started_at=started_at, progress=progress, report=report)


def recommending(
    bundle_folder: Path,
    device: str,
    histories: UserHistories,
    limit: int,
    tables: Path | None,
    items: Sequence[Item] | None,
) -> Callable[[range], pa.Table]:
    """Load a bundle, with the items of a service's `tables` if there are any. Users -> `table_of` their lists."""
    bundle = load_bundle(bundle_folder)
    recommender = (
        bundle.recommender(device)
        if tables is None or items is None
        else recommender_of_service(bundle, device, tables, items)
    )

    def recommend(users: range) -> pa.Table:
        return table_of(histories.ids_of(users), recommender.recommend_batch(histories.requests_of(users, limit)))

    return recommend
