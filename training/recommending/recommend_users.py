"""Recommend to all users of a shop at once, into one file. Start at `recommend_users`."""

import time
from collections.abc import Callable
from pathlib import Path

from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.generation.t5.generator import choose_device
from clairo_core.progress import Progress
from clairo_core.recommender import Recommender
from clairo_core.values.counted import counted
from training.recommending.parts_folder import PartsFolder
from training.recommending.recommendations_file import check_out, table_of, write_tables
from training.recommending.user_histories import UserHistories, read_user_histories, recommender_of_service
from training.retraining.service_tables import service_name, write_service_tables

USERS_PER_PART = 1024
"""Bounds the work that a kill loses; requests of one part are answered together."""
TABLES_FOLDER = "tables"
MAX_AGE_SECONDS = 24 * 3600.0
"""A run on a service is not resumed after longer: its users have done other things since."""


def recommend_users(
    bundle_folder: Path,
    users: Path | None,
    out: Path,
    limit: int,
    *,
    database: str | None = None,
    device: str = "auto",
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
        progress: over users.
        report: gets one line per step.

    Raises:
        SettingsError: `out` has another ending, or is a file of something else.
        BundleError: the bundle cannot be loaded.
        DatasetError: the users cannot be read.
        OSError: a file cannot be written.
    """
    started = time.monotonic()
    check_out(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    bundle, chosen = load_bundle(bundle_folder), str(choose_device(device))
    plan = {"bundle_id": bundle.manifest.bundle_id, "limit": limit, "users_per_part": USERS_PER_PART}
    if users is None:
        parts = PartsFolder.open(out, plan | {"service": service_name(database)}, MAX_AGE_SECONDS)
        tables = parts.folder / TABLES_FOLDER
        if not tables.is_dir():
            report(write_service_tables(tables, bundle_folder, database, None))
        histories = read_user_histories(tables, bundle, progress)
        recommender = recommender_of_service(bundle, chosen, tables, histories.dataset)
    else:
        histories = read_user_histories(users, bundle, progress)
        parts = PartsFolder.open(out, plan | {"data": histories.dataset.fingerprint})
        recommender = bundle.recommender(chosen)
    num_users = len(histories.rows)
    num_before = min(num_users, parts.num_parts * USERS_PER_PART)
    if num_before:
        report(f"resuming after {num_before:,} of {counted(num_users, 'user')}, of an earlier run in {parts.folder}")
    begun = time.monotonic()
    _write_parts(recommender, histories, limit, parts, num_before, progress)
    rate = (num_users - num_before) / max(time.monotonic() - begun, 1e-9)
    num_rows = write_tables(out, parts.read())
    parts.remove()
    return (
        f"{out}: {counted(num_users, 'user')}, {counted(num_rows, 'row')}, in {time.monotonic() - started:.0f} s "
        f"({rate:,.0f} users per second while recommending)"
    )


def _write_parts(
    recommender: Recommender,
    histories: UserHistories,
    limit: int,
    parts: PartsFolder,
    num_before: int,
    progress: Progress[int],
) -> None:
    """Recommend to the users after the first `num_before`, and write their parts."""
    num_users, waiting = len(histories.rows), []
    for number in progress(range(num_before, num_users), "recommending", num_users - num_before):
        waiting.append(number)
        if len(waiting) == USERS_PER_PART or number == num_users - 1:
            lists = recommender.recommend_batch([histories.request_of(one, limit) for one in waiting])
            table = table_of([histories.user_id_of(one) for one in waiting], lists)
            parts.write(waiting[0] // USERS_PER_PART, table)
            waiting = []
