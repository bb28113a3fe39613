"""Let a measured bundle learn from the interactions that measured it: the gain on later ones, and its time.

    python -m benchmarks.accuracy.refit [--data NAME] [--split validation|test] [--set KEY=VALUE ...] [--seeds N]
        [--json FILE] [--quick]

How a refit is done is chosen with `--split validation`: nobody's last item is read then, and the one before it tests.

Each user's last item stays held out: the parts are trained as always, without the last two, and measured on it. Then
they are refitted on everything before it, the second last item included, and measured again: same users, histories,
targets and settings, seen items masked. Differences are paired by user, with seeds averaged for each. Times are those
of the epochs of generator and dense head. DATA is `demo`, or the name of a folder of the shared data.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from benchmarks.accuracy.datasets import data_folder
from benchmarks.accuracy.paired_rows import paired_rows
from benchmarks.accuracy.training_runs import QUICK, STAGES, ranks_by_part, workbench
from benchmarks.report import Row, add_settings_flag, run_benchmark
from training.config.load_preset import load_preset
from training.datasets.dataset import build_dataset
from training.datasets.open_dataset import open_dataset
from training.evaluation.metrics import ndcg_at
from training.evaluation.split import sequences_before_test, some_users, test_split
from training.pipeline.refit import refit
from training.pipeline.run import train_parts
from training.pipeline.trained_parts import TrainedParts
from training.workbench.progress_bar import progress_bar

CUTOFF = 10
QUICK_USERS = 300


def rows(*, data: str, split: str, seeds: int, settings: Sequence[str], quick: bool) -> tuple[str, list[Row]]:
    """Describe the data, and compare the parts before and after their refit."""
    preset = load_preset("clairo", [*(QUICK if quick else ()), *settings])
    dataset = open_dataset(data_folder(data), preset.dataset, preset.encode.modalities, progress_bar)
    if split == "validation":
        dataset = build_dataset(
            f"{dataset.name} before the test", dataset.items, dataset.user_ids, sequences_before_test(dataset)
        )
    held_out = some_users(test_split(dataset), QUICK_USERS if quick else preset.evaluate.max_users, seed=0)
    learned = sequences_before_test(dataset)
    gains: dict[str, list[Mapping[str, Float[np.ndarray, "user"]]]] = {"measured": [], "refitted": []}
    seconds = np.zeros((2, 2))
    for seed in range(seeds):
        bench = workbench(f"{data}, seed {seed}", dataset, preset, seed, stages=STAGES)
        measured = train_parts(bench)
        refitted = refit(bench.learning_from(learned), measured)
        for name, parts in (("measured", measured), ("refitted", refitted)):
            ranks = ranks_by_part(parts.recommender, dataset, held_out, f"{name}, seed {seed}")
            gains[name].append({part: ndcg_at(of_part, CUTOFF) for part, of_part in ranks.items()})
        seconds += [training_seconds(measured), training_seconds(refitted)]
    table = []
    for part in gains["measured"][0]:
        before, after = (np.mean([of_seed[part] for of_seed in gains[name]], axis=0) for name in gains)
        table.append(Row(f"{part}: NDCG@10 as measured", float(before.mean()), "", "higher"))
        table.append(Row(f"{part}: NDCG@10 refitted", float(after.mean()), "", "higher"))
        table.append(Row(f"{part}: refitted / measured", float(after.mean() / before.mean()), "x", "higher"))
        table += paired_rows(f"{part}: refitted - measured", after, before)
    for place, part in enumerate(("generator", "dense head")):
        if seconds[0, place]:
            share = seconds[1, place] / seconds[0, place]
            # With --quick, one epoch follows one epoch.
            must = None if quick else 0.5
            table.append(Row(f"{part}: time of the refit / of the training", share, "x", "lower", must=must))
    return f"{dataset.name}, {len(held_out.targets)} users, {split}, {seeds} seeds", table


def training_seconds(parts: TrainedParts) -> list[float]:
    """Of generator and dense heads."""
    of_dense = (
        0.0 if parts.ranked is None else sum(member.progress.seconds for member in parts.ranked.dense_heads.members)
    )
    return [parts.generator.progress.seconds, of_dense]


def flags() -> argparse.ArgumentParser:
    """The data, seeds and settings."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--data", default="demo", help="demo, or a folder of the shared data (default: demo)")
    parser.add_argument("--split", choices=("validation", "test"), default="test", help="whose items are held out")
    parser.add_argument("--seeds", type=int, default=1, help="seeds to average over")
    add_settings_flag(parser)
    return parser


if __name__ == "__main__":
    sys.exit(run_benchmark(rows, flags()))
