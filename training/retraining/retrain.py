"""Turn a service's own items and feedback into its next bundle, and promote it if it is not worse.

    service -> tables -> trained parts -> compared with the serving bundle -> refit on everything -> promoted or not

Start at `retrain`.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.bundle.manifest import read_manifest
from clairo_core.errors import SettingsError
from clairo_core.generation.t5.generator import choose_device
from clairo_core.progress import Progress
from clairo_core.recommender import Recommender
from training.config.preset import Preset
from training.datasets.open_dataset import open_dataset
from training.items.embedding_cache import remove_old_caches
from training.pipeline.run import Verdict, train_bundle
from training.pipeline.warm_start import WarmStart, preset_of
from training.retraining.against_serving import AgainstServing, compare_with_serving, with_items_carried
from training.retraining.promotion import ServiceCalls, bundle_of_id, read_key
from training.retraining.service_tables import newest_discoveries, write_service_tables
from training.workbench.stage_cache import StageCache
from training.workbench.workbench import Workbench

STAGES_FOLDER = ".stages-of-service"
KEPT_STAGE = "embeddings"
"""Modality embeddings by content, which the next run can use."""


@dataclass(frozen=True, slots=True)
class ServiceSource:
    """A running service: its data, its bundle, and where to promote the new one."""

    database: str | None = None
    """As in `clairo-serve run --database-url`. None takes it from the environment."""
    since: str | None = None
    serving: Path | None = None
    """The serving bundle. None asks the service for its id and looks beside the new bundle."""
    promote_url: str | None = None
    promote_key_file: Path | None = None
    warm_start: bool = False
    """Continue from the serving bundle's features, tokens and weights."""
    added_tokens: int = 0
    """By how many tokens the vocabulary grows in a warm start."""


@dataclass(frozen=True, slots=True)
class Retrained:
    """The new bundle, its comparison, and whether it is served."""

    bundle_id: str
    against_serving: AgainstServing
    is_promoted: bool


def retrain(
    source: ServiceSource,
    preset: Preset,
    out: Path,
    *,
    device: str,
    seed: int,
    is_refitted: bool = True,
    has_users: bool = False,
    progress: Progress[Any],
    report: Callable[[str], None],
) -> Retrained:
    """Export, train, compare, refit, promote. The bundle is written even if it is worse, but then not refitted.

    The bundle's metrics hold the comparison, and the service checks it: it refuses a bundle that the comparison does.

    Raises:
        SettingsError: the serving bundle is not specified, or is `out`.
        DatasetError: the service's tables cannot be exported.
        TrainingError: training failed, or the service refused the key or the bundle.
        BundleError: the serving bundle cannot be read.
    """
    calls = None if source.promote_url is None else ServiceCalls(source.promote_url, read_key(source.promote_key_file))
    if calls is not None:
        calls.check_access()
    serving_folder = source.serving
    if serving_folder is None:
        if calls is None:
            raise SettingsError(
                "the serving bundle is not specified; name it with --serving, or the service's address with --promote"
            )
        serving_folder = bundle_of_id(out.parent, calls.serving_bundle_id())
    if out.resolve() == serving_folder.resolve():
        raise SettingsError(f"--out {out} is the serving bundle; name another folder, so that you can go back")
    serving = load_bundle(serving_folder)
    start = None
    if source.warm_start:
        start = WarmStart(serving, source.added_tokens)
        preset = preset_of(start, preset)
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", serving.manifest.dataset_name).strip("-") or "service"
    stages = StageCache(out.parent / STAGES_FOLDER, report)

    def export(folder: Path) -> None:
        report(write_service_tables(folder / name, serving_folder, source.database, source.since))

    # A stage of this run alone, so that no other run replaces or removes the tables. `open_dataset` reads them.
    this_run = {"out": str(out.resolve()), "started_at": time.time()}
    tables = stages.run("tables", this_run, export, lambda folder: folder / name).result
    dataset = open_dataset(tables, preset.dataset, preset.encode.modalities, progress)
    newest_at = newest_discoveries(tables, {item.item_id for item in dataset.items}, dataset.rules)
    chosen = choose_device(device)
    compared: list[AgainstServing] = []

    def compare(candidate: Recommender) -> Verdict:
        recommender = serving.recommender(str(chosen))
        against_serving = compare_with_serving(
            candidate,
            serving,
            with_items_carried(serving, recommender, dataset.items),
            dataset,
            newest_at,
            max_users=preset.evaluate.max_users,
            num_resamples=preset.evaluate.num_resamples,
            seed=seed,
            progress=progress,
        )
        compared.append(against_serving)
        return Verdict({"against_serving": against_serving.as_dict()}, against_serving.refusal is not None)

    bench = Workbench(dataset, preset, seed, chosen, stages, progress, report)
    train_bundle(bench, out, compare, start, is_refitted=is_refitted, has_users=has_users)
    (against_serving,) = compared
    bundle_id = read_manifest(out).bundle_id
    # The next run will have other data: a schedule must not fill the disk.
    remove_old_caches(stages.folder / KEPT_STAGE)
    stages.remove_unused(keep=(KEPT_STAGE,))
    if calls is None or against_serving.refusal is not None:
        return Retrained(bundle_id, against_serving, False)
    calls.activate(bundle_id)
    return Retrained(bundle_id, against_serving, True)
