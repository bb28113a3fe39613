"""Set up a training run of a benchmark, load its bundle, and rank targets by it and by each of its parts."""

import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks.repository import REPOSITORY
from clairo_core.bundle.bundle import Bundle
from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.generation.t5.generator import choose_device
from clairo_core.recommender import Recommender
from training.config.preset import Preset
from training.datasets import Dataset
from training.evaluation.metrics import Ranks
from training.evaluation.rankings import generated_ranks, rank_with_scores
from training.evaluation.split import MASKED, EvaluationSplit
from training.ranking.dense_head_scorer import DenseHeadScorer
from training.workbench.progress_bar import progress_bar
from training.workbench.stage_cache import StageCache
from training.workbench.workbench import Workbench

BUNDLES = REPOSITORY / "bundles"
STAGES = BUNDLES / ".stages"
"""Finished stages, reused by later runs."""
QUICK = ("fit.max_epochs=1", "fit.examples_per_epoch=5000", "parallel.max_epochs=3", "dense.max_epochs=4")
TOGETHER, GENERATOR, DENSE_HEAD = "together", "generator alone", "dense head alone"


def workbench(
    label: str, dataset: Dataset, preset: Preset, seed: int, *, device: str = "cpu", stages: Path = STAGES
) -> Workbench:
    """A workbench that reports to stderr under `label`."""

    def report(message: str) -> None:
        print(f"[{label}] {message}", file=sys.stderr)

    return Workbench(dataset, preset, seed, choose_device(device), StageCache(stages, report), progress_bar, report)


def load_trained(bench: Workbench, folder: Path) -> tuple[Bundle, Recommender]:
    """The bundle in `folder`, and its recommender as it is served."""
    bundle = load_bundle(folder)
    return bundle, bundle.recommender(str(bench.device))


def ranks_by_part(
    recommender: Recommender, dataset: Dataset, split: EvaluationSplit, label: str
) -> Mapping[str, Ranks]:
    """Rank of each target, seen items masked; 0 is a miss.

    Returns:
        Ranks by GENERATOR; with a joint ranking also by TOGETHER and DENSE_HEAD.
    """
    item_ids = [item.item_id for item in dataset.items]
    rankers = {GENERATOR: recommender.ranked_by(None)}
    if recommender.joint_ranking is not None:
        rankers = {TOGETHER: recommender} | rankers
    ranks = {
        name: generated_ranks(ranker, item_ids, split, False, f"{label}, {name}", progress_bar)[0]
        for name, ranker in rankers.items()
    }
    if recommender.joint_ranking is not None:
        scorer = DenseHeadScorer(recommender.joint_ranking.dense_heads, len(item_ids))
        ranks[DENSE_HEAD] = rank_with_scores(scorer, {MASKED: split}, label, progress_bar)[MASKED].ranks
    return ranks
