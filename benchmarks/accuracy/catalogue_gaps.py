"""Train on a catalogue that lacks many pictures and words: how much recall is lost, and on which targets?

    python -m benchmarks.accuracy.catalogue_gaps [--data NAME] [--seed N] [--split SPLIT] [--set KEY=VALUE ...]
                                                 [--json FILE] [--quick]

A fifth of the items (seeded) loses its picture, another fifth its words. One bundle is trained on these items, one on
the whole ones. Recall@10 of each split's targets, seen items masked, by what the target lacks, for the same users by
both bundles. `accuracy.poor_content` measures new items with gaps. Encoders: the built-in ones. Bundles stay in
bundles/.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool

from benchmarks.accuracy.datasets import open_pictured_shop
from benchmarks.accuracy.paired_rows import paired_rows
from benchmarks.accuracy.training_runs import BUNDLES, QUICK, load_trained, ranks_by_part, workbench
from benchmarks.report import Row, add_settings_flag, run_benchmark
from training.config.load_preset import load_preset
from training.datasets import Dataset
from training.datasets.dataset import build_dataset
from training.evaluation.metrics import Ranks, recall_at
from training.evaluation.split import EvaluationSplit, test_split, validation_split
from training.pipeline.run import train_bundle

SHARE = 0.2
TOP = 10
SPLITS = {"validation": validation_split, "test": test_split}
WHOLE, NO_PICTURE, NO_WORDS = "nothing", "its picture", "its words"


def lacking(num_items: int, seed: int) -> Mapping[str, Bool[np.ndarray, "item"]]:
    """Draw which items lose their picture, their words, or nothing."""
    order, count = np.random.default_rng(seed).permutation(num_items), round(SHARE * num_items)
    chosen = {NO_PICTURE: order[:count], NO_WORDS: order[count : 2 * count], WHOLE: order[2 * count :]}
    return {name: np.isin(np.arange(num_items), rows) for name, rows in chosen.items()}


def with_gaps(dataset: Dataset, lacks: Mapping[str, Bool[np.ndarray, "item"]]) -> Dataset:
    """The dataset without the pictures and words that its items lack."""
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


def ranks_of(dataset: Dataset, split: EvaluationSplit, seed: int, settings: Sequence[str]) -> Mapping[str, Ranks]:
    """Train a bundle, and rank each target by it and by each of its parts."""
    preset = load_preset("clairo", ["encode.modalities=text,image", "evaluate.max_users=200", *settings])
    bench = workbench(dataset.name, dataset, preset, seed)
    folder = BUNDLES / f"gaps-{dataset.name}-{seed}"
    train_bundle(bench, folder, is_refitted=False)
    _, recommender = load_trained(bench, folder)
    return ranks_by_part(recommender, dataset, split, dataset.name)


def rows(*, data: str, split: str, seed: int, settings: Sequence[str], quick: bool) -> tuple[str, list[Row]]:
    """Describe the data, and compare both bundles."""
    dataset = open_pictured_shop(data)
    lacks = lacking(len(dataset.items), seed)
    targets = SPLITS[split](dataset)
    settings = [*settings, *(QUICK if quick else ())]
    with_gap_ranks = ranks_of(with_gaps(dataset, lacks), targets, seed, settings)
    whole_ranks = ranks_of(dataset, targets, seed, settings)
    table = []
    for lack, items in lacks.items():
        is_asked = items[targets.targets]
        for ranker in whole_ranks:
            before, now = (recall_at(ranks[ranker][is_asked], TOP) for ranks in (whole_ranks, with_gap_ranks))
            name = f"{int(is_asked.sum())} users whose target lost {lack}: {ranker}"
            table += [
                Row(f"{name}, trained on whole items, Recall@10", float(before.mean()), "", "higher"),
                Row(f"{name}, trained with gaps, Recall@10", float(now.mean()), "", "higher"),
                *paired_rows(f"{name}, difference", now, before),
            ]
    encoders = "builtin-text, builtin-image"
    return f"{dataset.name}, {split} split, a fifth without pictures, a fifth without words, {encoders}", table


def flags() -> argparse.ArgumentParser:
    """The dataset, split, seed and settings."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--data", default="demo", help="folder of the shared data, or demo (the default)")
    parser.add_argument("--seed", type=int, default=0, help="seed of gaps and training")
    parser.add_argument("--split", choices=SPLITS, default="test", help="split to rank (default: test)")
    add_settings_flag(parser)
    return parser


if __name__ == "__main__":
    sys.exit(run_benchmark(rows, flags()))
