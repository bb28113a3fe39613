"""A catalogue of which many products have no picture, or no words: what does training on it lose, and for whom?

    python -m benchmarks.accuracy.catalogue_gaps [--data NAME] [--seed N] [--split SPLIT] [--set KEY=VALUE ...]
                                        [--json FILE] [--quick]

A fifth of the items (seeded) loses its picture, another fifth its words; a bundle is trained on that, and one on the
whole. Recall@10 of each split's targets, seen items masked, by what the target lacks: the same users for both bundles.
New items with gaps are `accuracy.poor_content`. Encoders: the built-in ones. Bundles are kept in bundles/.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Int64

from benchmarks.accuracy.cold_items import QUICK, shop_with_pictures
from benchmarks.report import Row, run_benchmark
from benchmarks.repository import REPOSITORY
from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.generation.t5.generator import choose_device
from training.config.load_preset import load_preset
from training.datasets import Dataset
from training.datasets.tables import build_dataset
from training.evaluation.metrics import paired_difference, recall_at
from training.evaluation.rankings import generated_ranks, rank_with_scores
from training.evaluation.split import EvaluationSplit, test_split, validation_split
from training.pipeline.run import train_bundle
from training.ranking.dense_head_scorer import DenseHeadScorer
from training.workbench.progress_bar import progress_bar
from training.workbench.stage_cache import StageCache
from training.workbench.workbench import Workbench

SHARE = 0.2
TOP = 10
NUM_RESAMPLES = 1000
SPLITS = {"validation": validation_split, "test": test_split}
WHOLE, NO_PICTURE, NO_WORDS = "nothing", "its picture", "its words"


def lacking(num_items: int, seed: int) -> Mapping[str, Bool[np.ndarray, "item"]]:
    """Which items lose what."""
    order, count = np.random.default_rng(seed).permutation(num_items), round(SHARE * num_items)
    chosen = {NO_PICTURE: order[:count], NO_WORDS: order[count : 2 * count], WHOLE: order[2 * count :]}
    return {name: np.isin(np.arange(num_items), rows) for name, rows in chosen.items()}


def with_gaps(dataset: Dataset, lacks: Mapping[str, Bool[np.ndarray, "item"]]) -> Dataset:
    """The dataset after its items lost what they lack."""
    items = [
        replace(item, picture=None) if no_picture else replace(item, texts={}) if no_words else item
        for item, no_picture, no_words in zip(dataset.items, lacks[NO_PICTURE], lacks[NO_WORDS], strict=True)
    ]
    return build_dataset(
        f"{dataset.name}-with-gaps",
        tuple(items),
        dataset.user_ids,
        dataset.sequences,
        picture_origin=dataset.picture_origin,
    )


def ranks_of(
    dataset: Dataset, split: EvaluationSplit, seed: int, settings: Sequence[str]
) -> Mapping[str, Int64[np.ndarray, "user"]]:
    """Train, and say of every ranker at which place it has each target; 0 is a miss."""

    def report(message: str) -> None:
        print(f"[{dataset.name}] {message}", file=sys.stderr)

    preset = load_preset("clairo", ["encode.modalities=text,image", "evaluate.max_users=200", *settings])
    stages = StageCache(REPOSITORY / "bundles" / ".stages", report)
    folder = REPOSITORY / "bundles" / f"gaps-{dataset.name}-{seed}"
    train_bundle(Workbench(dataset, preset, seed, choose_device("cpu"), stages, progress_bar, report), folder)
    whole = load_bundle(folder).recommender(
        "cpu", num_views=preset.evaluate.num_views, num_beams=preset.evaluate.num_beams
    )
    item_ids = [item.item_id for item in dataset.items]
    ranks = {
        label: generated_ranks(ranker, item_ids, split, False, f"{dataset.name}, {label}", progress_bar)[0]
        for label, ranker in {"together": whole, "generator alone": whole.ranked_by(None)}.items()
    }
    if whole.joint_ranking is not None:
        dense_head = DenseHeadScorer(whole.joint_ranking.dense_head, len(item_ids))
        ranks["dense head alone"] = rank_with_scores(dense_head, split, dataset.name, progress_bar)["masked"].ranks
    return ranks


def rows_of(name: str, split_name: str, seed: int, settings: Sequence[str], quick: bool) -> tuple[str, list[Row]]:
    """What was measured on, and the table."""
    dataset = shop_with_pictures(name)
    lacks = lacking(len(dataset.items), seed)
    split = SPLITS[split_name](dataset)
    settings = [*settings, *(QUICK if quick else ())]
    without, whole = (
        ranks_of(with_gaps(dataset, lacks), split, seed, settings),
        ranks_of(dataset, split, seed, settings),
    )
    table = []
    for lack, rows in lacks.items():
        is_asked = rows[split.targets]
        for ranker in whole:
            before, now = (recall_at(ranks[ranker][is_asked], TOP) for ranks in (whole, without))
            what = f"{int(is_asked.sum())} users whose target lost {lack}: {ranker}"
            lost = paired_difference(now, before, NUM_RESAMPLES)
            table += [
                Row(f"{what}, trained on all of it, Recall@10", float(before.mean()), "", "higher"),
                Row(f"{what}, trained with gaps, Recall@10", float(now.mean()), "", "higher"),
                Row(f"{what}, difference, low end", lost.low, "", "higher"),
                Row(f"{what}, difference, high end", lost.high, "", "higher"),
            ]
    encoders = "builtin-text, builtin-image"
    return f"{dataset.name}, {split_name} split, a fifth without pictures, a fifth without words, {encoders}", table


def main() -> int:
    """Take our own flags off the command line; the rest is every benchmark's."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--data", default="demo")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--split", choices=SPLITS, default="test")
    parser.add_argument("--set", action="append", default=[], dest="settings")
    own, rest = parser.parse_known_args()

    def rows(quick: bool) -> tuple[str, list[Row]]:
        return rows_of(own.data, own.split, own.seed, own.settings, quick)

    return run_benchmark(rows, rest)


if __name__ == "__main__":
    sys.exit(main())
