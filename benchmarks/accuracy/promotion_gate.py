"""How often the promotion gate is wrong: a bundle as good refused, a worse one promoted.

    python -m benchmarks.accuracy.promotion_gate [--items N] [--users N] [--set KEY=VALUE ...] [--json FILE] [--quick]

Two trainings of the demo shop that differ in their seed give pairs of NDCG@10, one pair per shopper. Swapping each
pair by chance gives two bundles that are equal in truth. Dropping a share of one side's hits by chance makes it worse
by just that share. Each draw compares both on users drawn with replacement, by the gate's own rule. The rule of earlier
releases, the bare mean, stands beside it.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from jaxtyping import Float

from benchmarks.accuracy.training_runs import QUICK, load_trained, workbench
from benchmarks.report import Row, add_settings_flag, run_benchmark
from training.config.load_preset import load_preset
from training.config.preset import DatasetSettings
from training.datasets.open_dataset import open_dataset
from training.demo_shop import write_demo_shop
from training.evaluation.metrics import ndcg_at, paired_difference
from training.evaluation.rankings import generated_ranks
from training.evaluation.split import test_split
from training.pipeline.run import train_bundle
from training.retraining.against_serving import LIST_LENGTH, may_be_worse
from training.workbench.progress_bar import progress_bar

NUM_USERS = (20, 100, 300, 1000, 3000)
SHARES = (0.0, 0.02, 0.05, 0.1, 0.2)
"""Accepted losses."""
TRUTHS = (-0.2, -0.1, -0.05, 0.0, 0.1, 0.3)
"""New bundle against the serving one."""
NUM_RESAMPLES = 200


def rows(*, items: int, users: int, settings: Sequence[str], quick: bool) -> tuple[str, list[Row]]:
    """Describe the data, and count the promotions."""
    num_items, num_users, num_draws = (min(items, 200), min(users, 500), 50) if quick else (items, users, 300)
    preset = load_preset("clairo", [*(QUICK if quick else ()), *settings])
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_demo_shop(folder / "shop", num_items, num_users, 0, progress=progress_bar)
        dataset = open_dataset(folder / "shop", DatasetSettings(), preset.encode.modalities, progress_bar)
        split = test_split(dataset)
        item_ids = [item.item_id for item in dataset.items]
        ndcgs = []
        for seed in (0, 1):
            bench = workbench(f"seed {seed}", dataset, preset, seed, stages=folder / ".stages")
            train_bundle(bench, folder / str(seed), is_refitted=False)
            _, recommender = load_trained(bench, folder / str(seed))
            ranks, _ = generated_ranks(
                recommender, item_ids, split, False, f"seed {seed}", progress_bar, list_length=LIST_LENGTH
            )
            ndcgs.append(ndcg_at(ranks, LIST_LENGTH))
    pairs = np.stack(ndcgs, axis=1)
    one, other = pairs.mean(axis=0)
    deviation = (pairs[:, 0] - pairs[:, 1]).std()
    data = (
        f"demo shop, {num_items} items, {len(pairs)} users, NDCG@10 {one:.4f} and {other:.4f}, standard deviation of a "
        f"user's difference {deviation:.4f}, {num_draws} draws"
    )
    return data, [row for truth in TRUTHS for size in NUM_USERS for row in promoted(pairs, size, truth, num_draws)]


def promoted(pairs: Float[np.ndarray, "user 2"], num_users: int, truth: float, num_draws: int) -> list[Row]:
    """Shares of draws that promote a bundle which is `truth` better than the serving one, by rule."""
    random = np.random.default_rng(0)
    num_by_rule = dict.fromkeys(("bare mean", *SHARES), 0)
    for draw in range(num_draws):
        both = random.permuted(pairs[random.integers(len(pairs), size=num_users)], axis=1)
        # The better side keeps all hits, the other one so many that their ratio is 1 + truth.
        kept = (1 + truth, 1.0) if truth < 0 else (1.0, 1 / (1 + truth))
        new, serving = (both * (random.random(both.shape) < kept)).T
        difference = paired_difference(new, serving, NUM_RESAMPLES, seed=draw)
        num_by_rule["bare mean"] += difference.value >= 0
        for share in SHARES:
            num_by_rule[share] += not may_be_worse(difference, float(serving.mean()), share)
    return [
        Row(
            f"{truth:+.0%} in truth, {num_users} users, {rule if isinstance(rule, str) else f'{rule:.0%} accepted'}",
            num / num_draws,
            "promoted",
            "higher" if truth >= 0 else "lower",
        )
        for rule, num in num_by_rule.items()
    ]


def flags() -> argparse.ArgumentParser:
    """The shop's size, and settings."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--items", type=int, default=1000, help="items of the shop (--quick: at most 200)")
    parser.add_argument("--users", type=int, default=3000, help="shoppers (--quick: at most 500)")
    add_settings_flag(parser)
    return parser


if __name__ == "__main__":
    sys.exit(run_benchmark(rows, flags()))
