"""Turn a service's own items and feedback into its next bundle, and promote it if it is not worse.

    service -> tables -> trained parts -> compared with the serving bundle -> refit on everything -> promoted or not

Start at `retrain`.
"""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.bundle.manifest import read_manifest
from clairo_core.bundle.remote_bundles import RemoteBundles, push_bundle
from clairo_core.errors import SettingsError
from clairo_core.generation.t5.generator import choose_device
from clairo_core.progress import Progress
from clairo_core.recommender import Recommender
from clairo_core.storage.storage_address import StorageAddress
from training.datasets.open_dataset import open_dataset
from training.engines.engine import IN_THIS_PROCESS, Engine
from training.evaluation.split import split_by
from training.items.embedding_cache import remove_old_caches
from training.pipeline.present_modalities import with_present_modalities
from training.pipeline.run import Verdict, train_bundle
from training.pipeline.warm_start import WarmStart, taken_over
from training.retraining.against_serving import (
    NOT_WORSE_THAN,
    AgainstServing,
    compare_with_serving,
    day_after,
    serving_since,
    with_items_carried,
)
from training.retraining.carried_over import differences, next_preset, next_rules
from training.retraining.promotion import ServiceCalls, bundle_of_id, fetched_of_id, read_key
from training.retraining.service_tables import newest_discoveries, write_service_tables
from training.workbench.stage_cache import StageCache
from training.workbench.workbench import Workbench

STAGES_FOLDER = ".stages-of-service"
FETCHED_FOLDER = ".fetched"
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
    push: StorageAddress | None = None
    """The service's bundles in object storage: the serving one is fetched from there, the new one pushed to it."""
    promote_url: str | None = None
    promote_key_file: Path | None = None
    warm_start: bool = False
    """Continue from the serving bundle's features, tokens and weights."""
    added_tokens: int = 0
    """By how many tokens the vocabulary grows in a warm start."""
    rules: Path | None = None
    """A dataset's TOML whose rules of interactions replace the serving bundle's."""
    not_worse_than: float = NOT_WORSE_THAN
    """As in `may_be_worse`."""


@dataclass(frozen=True, slots=True)
class Retrained:
    """The new bundle, its comparison, and whether it is served."""

    bundle_id: str
    against_serving: AgainstServing
    is_promoted: bool


def retrain(
    source: ServiceSource,
    out: Path,
    *,
    preset: str | None = None,
    overrides: Sequence[str] = (),
    seed: int | None = None,
    device: str,
    engine: Engine = IN_THIS_PROCESS,
    is_refitted: bool = True,
    has_users: bool = False,
    progress: Progress[Any],
    report: Callable[[str], None],
) -> Retrained:
    """Export, train, compare, refit, promote. The bundle is written even if it is worse, but then not refitted.

    The bundle's metrics hold the comparison, and the service checks it: it refuses a bundle that the comparison does.

    Args:
        source: the service.
        out: folder of the new bundle.
        preset: name or file; None takes the serving bundle's settings.
        overrides: of settings, as `section.key=value`.
        seed: None takes the serving bundle's.
        device: as in `choose_device`.
        engine: where the pieces of stages run.
        is_refitted: as in `train_bundle`.
        progress: over all long loops.
        report: gets one line per step, and per setting or rule that differs from the serving bundle's.

    Raises:
        SettingsError: the serving bundle is not specified, or is `out`; a setting is not allowed.
        DatasetError: the service's tables cannot be exported.
        TrainingError: training failed, or the service refused the key or the bundle.
        BundleError: the serving bundle cannot be read, or the new one cannot be pushed.
    """
    calls = None if source.promote_url is None else ServiceCalls(source.promote_url, read_key(source.promote_key_file))
    if calls is not None:
        calls.check_access()
    serving_folder = _serving_folder(source, out, calls)
    if out.resolve() == serving_folder.resolve():
        raise SettingsError(f"--out {out} is the serving bundle; name another folder, so that you can go back")
    serving = load_bundle(serving_folder)
    chosen_preset = next_preset(serving.manifest, preset, overrides, report)
    start = None
    if source.warm_start:
        start = WarmStart(serving, source.added_tokens)
        chosen_preset = taken_over(start, chosen_preset, overrides, "--warm-start")
    if seed is None:
        seed = int(serving.manifest.settings.get("seed", 0))
    rules = next_rules(serving.manifest, source.rules)
    differing = differences(serving.manifest, chosen_preset.as_dict() | {"seed": seed}, rules)
    report(f"settings and rules are those of bundle {serving.manifest.bundle_id}{', except' if differing else ''}")
    for line in differing:
        report(f"  {line}")
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", serving.manifest.dataset_name).strip("-") or "service"
    stages = StageCache(out.parent / STAGES_FOLDER, report)

    def export(folder: Path) -> None:
        others = None if source.rules is None else rules
        report(write_service_tables(folder / name, serving_folder, source.database, source.since, others))

    # A stage of this run alone, so that no other run replaces or removes the tables. `open_dataset` reads them.
    this_run = {"out": str(out.resolve()), "started_at": time.time()}
    tables = stages.run("tables", this_run, export, lambda folder: folder / name).result
    # The rule for unknown items is about the shop's files. Feedback may name items that the store has never had.
    read_by = replace(rules, unknown_items="drop")
    dataset = open_dataset(tables, chosen_preset.dataset, chosen_preset.encode.modalities, progress, read_by)
    # The serving bundle has learned all of its time, so the new one is tested on later events, and learns those before.
    dataset = split_by(replace(dataset, rules=rules), chosen_preset.split, test_from=day_after(serving_since(serving)))
    if start is None:
        chosen_preset = with_present_modalities(chosen_preset, dataset, report)
    newest_at = newest_discoveries(tables, {item.item_id for item in dataset.items}, rules)
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
            max_users=chosen_preset.evaluate.max_users,
            num_resamples=chosen_preset.evaluate.num_resamples,
            seed=seed,
            progress=progress,
            not_worse_than=source.not_worse_than,
        )
        compared.append(against_serving)
        return Verdict({"against_serving": against_serving.as_dict()}, against_serving.refusal is not None)

    bench = Workbench(dataset, chosen_preset, seed, chosen, stages, progress, report, engine=engine)
    train_bundle(bench, out, compare, start, is_refitted=is_refitted, has_users=has_users)
    (against_serving,) = compared
    bundle_id = read_manifest(out).bundle_id
    # The next run will have other data: a schedule must not fill the disk.
    remove_old_caches(stages.folder / KEPT_STAGE)
    stages.remove_unused(keep=(KEPT_STAGE,))
    if source.push is not None:
        push_bundle(out, source.push)
        report(f"pushed {out} to {source.push}")
    if calls is None or against_serving.refusal is not None:
        return Retrained(bundle_id, against_serving, False)
    calls.activate(bundle_id)
    return Retrained(bundle_id, against_serving, True)


def _serving_folder(source: ServiceSource, out: Path, calls: ServiceCalls | None) -> Path:
    """The serving bundle's folder: the given one, or that of the service's id beside `out` or in object storage.

    Raises:
        SettingsError: it is not specified, or not there.
        TrainingError: the service does not name its bundle.
        BundleError: it cannot be fetched.
    """
    if source.serving is not None:
        return source.serving
    if calls is None:
        raise SettingsError(
            "the serving bundle is not specified; name it with --serving, or the service's address with --promote"
        )
    bundle_id = calls.serving_bundle_id()
    if source.push is None:
        return bundle_of_id(out.parent, bundle_id)
    return fetched_of_id(RemoteBundles(source.push, out.parent / FETCHED_FOLDER), bundle_id)
