"""Turn a number of items into a trained bundle of a made shop, and into what every stage of its training took.

Start at `train_size`; `full_seconds` computes the preset's whole budget from a run that was cut.
"""

import gc
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.report import commit
from benchmarks.speed.growth_shop import write_made_shop
from benchmarks.speed.measured_stages import NOTHING, Cost, MeasuredStages, measured
from clairo_core.sequences import ItemSequences
from clairo_core.storage.replaced_file import replace_text
from training.config.load_preset import load_preset
from training.config.preset import Preset
from training.datasets.open_dataset import open_dataset
from training.evaluation.split import ALLOWED
from training.items.describe_items import describe_items
from training.pipeline.bundle_stage import bundle_stage
from training.pipeline.evaluation_stage import evaluation_stage
from training.pipeline.missing_targets import check_targets
from training.pipeline.present_modalities import with_present_modalities
from training.pipeline.refit import refit
from training.pipeline.run import train_parts
from training.vocabulary.vocabulary_stage import vocabulary_stage
from training.workbench.checkpoints import FitProgress
from training.workbench.fit_epochs import refit_epochs
from training.workbench.workbench import Workbench

PRESET, TOKEN_PRESET = "clairo", "clairo_token"
CUT = (
    "parallel.max_epochs=1",
    "parallel.examples_per_epoch=300_000",
    "dense.max_epochs=1",
    "dense.examples_per_epoch=300_000",
    "mix.max_users=4_000",
    "evaluate.max_users=2_000",
)
"""Budgets with which a million items take hours, not a night. None that is cut decides the peak of memory."""
TRAINED = {"generator": "parallel", "dense-head": "dense"}
"""Section of the settings by stage that trains in epochs."""
READING, BETWEEN, EVALUATION, BUNDLE = "reading the shop", "between stages", "evaluation", "writing the bundle"
TRAINING_FILE, BUNDLE_FOLDER = "training.json", "bundle"


@dataclass(frozen=True, slots=True)
class TrainedSize:
    """A finished training."""

    num_items: int
    commit: str
    costs: Mapping[str, Cost]
    """By stage of preset `clairo`, in their order."""
    token_costs: Mapping[str, Cost]
    """By stage of preset `clairo_token` up to its vocabulary, without those that it shares."""
    targets: int
    """Interactions to learn from that follow another one; of the refit too, in `all_targets`."""
    all_targets: int
    growth: float
    """Interactions of the refit, as a multiple of the training's."""
    validation_users: int
    test_users: int


def train_size(shop: Path, stages_folder: Path, out: Path, num_items: int, overrides: tuple[str, ...]) -> None:
    """Train, evaluate, refit and write a bundle, all stages measured. A killed run resumes.

    Args:
        shop: folder of the made shop, written first if missing.
        stages_folder: of finished stages.
        out: folder of the bundle and, written last, training.json.
        num_items: of the shop.
        overrides: of the preset's settings.
    """
    torch.set_num_threads(1)
    if not (shop / "dataset.toml").is_file():
        write_made_shop(shop, num_items)
    stages = MeasuredStages(stages_folder)
    preset = load_preset(PRESET, overrides)
    dataset, reading = measured(lambda: open_dataset(shop, preset.dataset, preset.encode.modalities, stages.timed))
    preset = with_present_modalities(preset, dataset, stages.note)
    bench = Workbench(dataset, preset, 0, torch.device("cpu"), stages, stages.timed, stages.note)
    costs = {READING: reading}
    stages.take_outside()
    check_targets(bench)
    parts = train_parts(bench)
    between = stages.take_outside()
    evaluated, costs[EVALUATION] = measured(lambda: evaluation_stage(bench, parts.recommender, "test"))
    assert evaluated is not None
    metrics = parts.progress() | {"serving": parts.serving.as_dict(), "evaluation": evaluated.as_dict()}
    stages.take_outside()
    parts = parts.without_item_weights()
    everything = bench.learning_from(dataset.sequences)
    served = refit(everything, parts)
    costs[BETWEEN] = between + stages.take_outside()
    _, costs[BUNDLE] = measured(lambda: bundle_stage(bench, out / BUNDLE_FOLDER, parts, served, metrics))
    targets, all_targets = num_targets(bench.training), num_targets(dataset.sequences)
    growth, validation_users = everything.growth, len(bench.validation.targets)
    test_users = len(bench.test[ALLOWED].targets)
    del parts, served, bench, everything
    gc.collect()

    token_stages = MeasuredStages(stages_folder)
    token_preset = with_present_modalities(load_preset(TOKEN_PRESET), dataset, token_stages.note)
    token_bench = Workbench(
        dataset, token_preset, 0, torch.device("cpu"), token_stages, token_stages.timed, token_stages.note
    )
    vocabulary_stage(token_bench, describe_items(token_bench))
    trained = TrainedSize(
        num_items,
        commit(),
        stages.costs | costs,
        {name: token_stages.costs[name] for name in ("quantize", "vocabulary", "vocabulary-in-memory")},
        targets,
        all_targets,
        growth,
        validation_users,
        test_users,
    )
    replace_text(out / TRAINING_FILE, json.dumps(asdict(trained), indent=2))


def num_targets(sequences: ItemSequences) -> int:
    """Positions that follow another one of their user."""
    return int(np.maximum(sequences.lengths - 1, 0).sum())


def load_training(out: Path) -> TrainedSize | None:
    """What `train_size` wrote; None if it has not."""
    path = out / TRAINING_FILE
    if not path.is_file():
        return None
    fields = json.loads(path.read_text(encoding="utf-8"))
    for name in ("costs", "token_costs"):
        fields[name] = {stage: Cost(**cost) for stage, cost in fields[name].items()}
    return TrainedSize(**fields)


def whole_cost(trained: TrainedSize) -> Cost:
    """Of preset `clairo`, from files to bundle."""
    return sum(trained.costs.values(), NOTHING)


def full_seconds(trained: TrainedSize, stage: str, cut: Preset, full: Preset) -> float:
    """Processor seconds that a stage would take with the settings `full`, from those that it took with `cut`.

    All epochs are counted, as if training never stopped early, and all dense heads are refitted, as if all were kept.
    Steps grow with the examples of an epoch, mixture and evaluation with their users.
    """
    cost, name = trained.costs[stage], stage.removeprefix("refit-")
    if name in TRAINED:
        of_full, of_cut = (getattr(preset, TRAINED[name]) for preset in (full, cut))
        is_refit = name != stage
        most = trained.all_targets if is_refit else trained.targets
        num_epochs: int = of_full.max_epochs
        if is_refit:
            num_epochs = refit_epochs(FitProgress(epochs_done=num_epochs, best_epoch=num_epochs), trained.growth)
        steps = cost.step_seconds * at_most(of_full.examples_per_epoch, most) / at_most(of_cut.examples_per_epoch, most)
        num_runs = trained.costs[name].runs
        return (steps + cost.seconds - cost.step_seconds) / cost.epochs * num_epochs * num_runs
    if stage == "mixture":
        users = trained.validation_users
        return cost.seconds * at_most(full.mix.max_users, users) / at_most(cut.mix.max_users, users)
    if stage == EVALUATION:
        users = trained.test_users
        return cost.seconds * at_most(full.evaluate.max_users, users) / at_most(cut.evaluate.max_users, users)
    return cost.seconds


def at_most(limit: int, count: int) -> int:
    """The count within a limit of the settings, where 0 is none.

    >>> at_most(5, 8), at_most(0, 8), at_most(9, 8)
    (5, 8, 8)
    """
    return min(limit, count) if limit else count
