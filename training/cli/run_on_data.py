"""Train a bundle on a dataset: open and split it, set up the workbench, run all stages."""

from collections.abc import Sequence
from pathlib import Path

from clairo_core.generation.t5.generator import choose_device
from training.cli.messages import report
from training.config.preset import Preset
from training.config.unread_settings import unread_overrides
from training.datasets.event_times import date_range
from training.datasets.open_dataset import open_dataset
from training.engines.engine import Engine
from training.evaluation.split import split_by
from training.pipeline.present_modalities import with_present_modalities
from training.pipeline.run import train_bundle
from training.pipeline.warm_start import WarmStart
from training.retraining.other_data import check_modalities
from training.workbench.progress_bar import progress_bar
from training.workbench.stage_cache import StageCache
from training.workbench.workbench import Workbench


def run_on_data(
    data: Path,
    out: Path,
    settings: Preset,
    overrides: Sequence[str],
    start: WarmStart | None,
    seed: int,
    device: str,
    split_name: str,
    engine: Engine,
    *,
    is_refitted: bool,
    has_users: bool,
) -> None:
    """Train, measure, refit and write the bundle; see `train_bundle`.

    `settings` have `overrides` already; those that change nothing are reported.

    Raises:
        ClairoError: the data, or the bundle to start from, does not go with the settings.
    """
    dataset = open_dataset(data, settings.dataset, settings.encode.modalities, progress_bar)
    dataset = split_by(dataset, settings.split)
    report(
        f"{dataset.name}: {len(dataset.items)} items, {len(dataset.user_ids)} users, "
        f"{len(dataset.sequences.items)} interactions"
        + ("" if dataset.days is None else f", {date_range(dataset.days, dataset.time_units)}")
    )
    stages = StageCache(out.parent / ".stages", report)
    chosen = choose_device(device)
    report(f"preset {settings.name}, device {chosen}, seed {seed}, stages in {stages.folder}")
    for line in unread_overrides(settings, overrides):
        report(line)
    if start is None:
        settings = with_present_modalities(settings, dataset, report)
    else:
        check_modalities(start, dataset)
    bench = Workbench(dataset, settings, seed, chosen, stages, progress_bar, report, engine=engine)
    train_bundle(bench, out, start=start, split_name=split_name, is_refitted=is_refitted, has_users=has_users)
