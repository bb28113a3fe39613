"""Train again on newer purchases, from scratch or warm from the serving bundle: cost and accuracy of each.

    python -m benchmarks.accuracy.retraining [--items N] [--users N] [--set KEY=VALUE ...] [--json FILE] [--quick]

The demo shop without every shopper's last three purchases gives the serving bundle. The whole shop is then trained
three times: from scratch; warm, from the bundle's features, tokens and weights, with a third of the epochs; and warm
with a larger vocabulary. All rank every shopper's last purchase, seen items masked. Times are processor seconds of the
whole run, so other work on the machine does not count.
"""

import argparse
import dataclasses
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.accuracy.training_runs import load_trained, workbench
from benchmarks.report import Row, add_settings_flag, run_benchmark
from clairo_core.bundle.bundle import Bundle
from clairo_core.recommender import Recommender
from clairo_core.sequences import ItemSequences
from training.config.load_preset import load_preset
from training.config.preset import DatasetSettings, Preset
from training.datasets import Dataset
from training.datasets.dataset import build_dataset
from training.datasets.open_dataset import open_dataset
from training.demo_shop import write_demo_shop
from training.evaluation.metrics import ndcg_at
from training.evaluation.rankings import generated_ranks
from training.evaluation.split import some_users, test_split
from training.pipeline.run import train_bundle
from training.pipeline.warm_start import WarmStart, preset_of
from training.workbench.progress_bar import progress_bar

SEED = 0
SCRATCH = "from scratch"
PURCHASES_SINCE = 3
LEAST_PURCHASES = 3
ADDED_SHARE = 0.1
"""Tokens added per item: as many as the preset gives a catalogue at first."""
QUICK = ("fit.max_epochs=3", "fit.examples_per_epoch=3000", "dense.max_epochs=4", "evaluate.max_users=300")


def rows(*, items: int, users: int, settings: Sequence[str], quick: bool) -> tuple[str, list[Row]]:
    """Describe the data, and compare the three trainings."""
    num_items, num_users = (min(items, 200), min(users, 500)) if quick else (items, users)
    preset = load_preset("clairo_token", [*(QUICK if quick else ()), *settings])
    epochs = max(1, preset.fit.max_epochs // 3)
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_demo_shop(folder / "shop", num_items, num_users, SEED, progress=progress_bar)
        now = open_dataset(folder / "shop", DatasetSettings(), preset.encode.modalities, progress_bar)
        serving, before, _ = trained(folder / "before", as_it_was(now), preset)
        figures = {"not trained again": (ndcg(before, now, preset), 0.0)}
        runs: list[tuple[str, Preset, WarmStart | None]] = [(SCRATCH, preset, None)]
        for label, added in (("warm", 0), ("warm, more tokens", max(1, round(ADDED_SHARE * num_items)))):
            start = WarmStart(serving, added)
            runs.append((label, with_epochs(preset_of(start, preset), epochs), start))
        for label, chosen, start_of_run in runs:
            run_folder = folder / label.replace(", ", "-").replace(" ", "-")
            _, recommender, seconds = trained(run_folder, now, chosen, start_of_run)
            figures[label] = (ndcg(recommender, now, chosen), seconds)
    scratch_ndcg, scratch_seconds = figures[SCRATCH]
    table = []
    for label, (value, seconds) in figures.items():
        table.append(Row(f"{label}: NDCG@10", value, "", "higher"))
        if seconds:
            table.append(Row(f"{label}: time", seconds, "s", "lower"))
        if label.startswith("warm"):
            table.append(Row(f"{label}: NDCG@10 against scratch", value / max(scratch_ndcg, 1e-9), "x", "higher"))
            table.append(Row(f"{label}: time against scratch", seconds / scratch_seconds, "x", "lower"))
    num_epochs = f"{preset.fit.max_epochs} epochs from scratch, {epochs} warm"
    return f"demo shop, {num_items} items, {num_users} shoppers, {num_epochs}", table


def with_epochs(preset: Preset, epochs: int) -> Preset:
    """The preset with another number of generator epochs."""
    return dataclasses.replace(preset, fit=dataclasses.replace(preset.fit, max_epochs=epochs))


def as_it_was(dataset: Dataset) -> Dataset:
    """The dataset without every shopper's last purchases; at least three remain."""
    whole = [sequence.tolist() for sequence in dataset.sequences]
    sequences = [sequence[: max(len(sequence) - PURCHASES_SINCE, LEAST_PURCHASES)] for sequence in whole]
    return build_dataset(
        f"{dataset.name}-before",
        dataset.items,
        dataset.user_ids,
        ItemSequences.from_lists(sequences),
        picture_origin=dataset.picture_origin,
    )


def trained(
    folder: Path, dataset: Dataset, preset: Preset, start: WarmStart | None = None
) -> tuple[Bundle, Recommender, float]:
    """Train into `folder`; returns bundle, recommender, and processor seconds of the training."""
    bench = workbench(folder.name, dataset, preset, SEED, stages=folder.parent / ".stages")
    started = time.process_time()
    train_bundle(bench, folder, start=start, is_refitted=False)
    seconds = time.process_time() - started
    return *load_trained(bench, folder), seconds


def ndcg(recommender: Recommender, dataset: Dataset, preset: Preset) -> float:
    """NDCG@10 on every shopper's last purchase, seen items masked."""
    split = some_users(test_split(dataset), preset.evaluate.max_users, SEED)
    item_ids = [item.item_id for item in dataset.items]
    ranks, _ = generated_ranks(recommender, item_ids, split, False, "last purchases", progress_bar, list_length=10)
    return float(ndcg_at(ranks, 10).mean())


def flags() -> argparse.ArgumentParser:
    """The shop's size, and settings."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--items", type=int, default=1000, help="items of the shop (--quick: at most 200)")
    parser.add_argument("--users", type=int, default=3000, help="shoppers (--quick: at most 500)")
    add_settings_flag(parser)
    return parser


if __name__ == "__main__":
    sys.exit(run_benchmark(rows, flags()))
