"""Recommend from a bundle to all users of a shop, into one file. Start at `recommend_users`."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.generation.t5.generator import choose_device
from clairo_core.progress import Progress
from clairo_core.recommendation import RecommendationList
from training.recommending.parts_folder import MAX_AGE_SECONDS, PartsFolder
from training.recommending.recommendations_file import check_out
from training.recommending.user_histories import read_user_histories, recommender_of_service
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
    started_at = time.monotonic()
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
    user_ids = [histories.user_id_of(number) for number in range(len(histories.rows))]

    def recommend(numbers: Sequence[int]) -> Sequence[RecommendationList]:
        return recommender.recommend_batch([histories.request_of(number, limit) for number in numbers])

    return write_lists(out, parts, user_ids, recommend, started_at=started_at, progress=progress, report=report)
