"""Train again when shoppers have gone on: from nothing, or from the bundle that is served; what each costs and gives.

    python -m benchmarks.accuracy.retraining [--items N] [--users N] [--set KEY=VALUE ...] [--json FILE] [--quick]

The demo shop as it was when every shopper's last three purchases had not been made gives the bundle that is served.
Then it is trained again on all of it, three times: anew; warm, from the bundle's features, tokens and weights, with a
third of the epochs; and warm with a larger vocabulary. All rank every shopper's last purchase, seen items masked.
Seconds are a processor's, of the whole run: other work on the machine does not count.
"""

import argparse
import dataclasses
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.report import Row, run_benchmark
from clairo_core.bundle.bundle import Bundle
from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.generation.t5.generator import choose_device
from clairo_core.recommender import Recommender
from clairo_core.sequences import ItemSequences
from training.config.load_preset import load_preset
from training.config.preset import DatasetSettings, Preset
from training.datasets import Dataset
from training.datasets.open_dataset import open_dataset
from training.datasets.tables import build_dataset
from training.demo_shop import write_demo_shop
from training.evaluation.metrics import ndcg_at
from training.evaluation.rankings import generated_ranks
from training.evaluation.split import some_users, test_split
from training.pipeline.run import train_bundle
from training.pipeline.warm_start import WarmStart, preset_of
from training.workbench.progress_bar import progress_bar
from training.workbench.stage_cache import StageCache
from training.workbench.workbench import Workbench

SEED = 0
PURCHASES_SINCE = 3
LEAST_PURCHASES = 3
ADDED_SHARE = 0.1
"""Of the items, as tokens more: what the preset gives a catalogue at first."""
QUICK = ("fit.max_epochs=3", "fit.examples_per_epoch=3000", "dense.max_epochs=4", "evaluate.max_users=300")


def rows_of(num_items: int, num_users: int, settings: Sequence[str], quick: bool) -> tuple[str, list[Row]]:
    """What was measured on, and the table."""
    if quick:
        num_items, num_users = min(num_items, 200), min(num_users, 500)
    preset = load_preset("clairo", [*(QUICK if quick else ()), *settings])
    epochs = max(1, preset.fit.max_epochs // 3)
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_demo_shop(folder / "shop", num_items, num_users, SEED, progress=progress_bar)
        now = open_dataset(folder / "shop", DatasetSettings(), preset.encode.modalities, progress_bar)
        before, _ = trained(folder, "before", as_it_was(now), preset)
        serving = load_bundle(folder / "before")
        figures = {"not trained again": (ndcg(before, now, preset), 0.0)}
        runs: list[tuple[str, Preset, WarmStart | None]] = [("anew", preset, None)]
        for label, added in (("warm", 0), ("warm, more tokens", max(1, round(ADDED_SHARE * num_items)))):
            go_on = WarmStart(serving, added)
            runs.append((label, with_epochs(preset_of(go_on, preset), epochs), go_on))
        for label, chosen, start in runs:
            recommender, seconds = trained(folder, label.replace(", ", "-").replace(" ", "-"), now, chosen, start)
            figures[label] = (ndcg(recommender, now, chosen), seconds)
    anew_ndcg, anew_seconds = figures["anew"]
    table = []
    for label, (value, seconds) in figures.items():
        table.append(Row(f"{label}: NDCG@10", value, "", "higher"))
        if seconds:
            table.append(Row(f"{label}: time", seconds, "s", "lower"))
        if label.startswith("warm"):
            table.append(Row(f"{label}: NDCG@10 against anew", value / max(anew_ndcg, 1e-9), "x", "higher"))
            table.append(Row(f"{label}: time against anew", seconds / anew_seconds, "x", "lower"))
    return (
        f"demo shop, {num_items} items, {num_users} shoppers, {preset.fit.max_epochs} epochs anew, {epochs} warm",
        table,
    )


def with_epochs(preset: Preset, epochs: int) -> Preset:
    """The preset with another number of epochs of the generator."""
    return dataclasses.replace(preset, fit=dataclasses.replace(preset.fit, max_epochs=epochs))


def as_it_was(dataset: Dataset) -> Dataset:
    """The dataset without every shopper's last purchases; nobody is left with fewer than three."""
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
    folder: Path, name: str, dataset: Dataset, preset: Preset, start: WarmStart | None = None
) -> tuple[Recommender, float]:
    """A bundle's recommender, and the processor's seconds that training took."""
    stages = StageCache(folder / ".stages", lambda message: print(f"[{name}] {message}", file=sys.stderr))
    bench = Workbench(dataset, preset, SEED, choose_device("cpu"), stages, progress_bar, stages.report)
    started = time.process_time()
    train_bundle(bench, folder / name, start=start)
    seconds = time.process_time() - started
    return recommender_of(load_bundle(folder / name), preset), seconds


def recommender_of(bundle: Bundle, preset: Preset) -> Recommender:
    """As the preset evaluates."""
    return bundle.recommender("cpu", num_views=preset.evaluate.num_views, num_beams=preset.evaluate.num_beams)


def ndcg(recommender: Recommender, dataset: Dataset, preset: Preset) -> float:
    """NDCG@10 on every shopper's last purchase, seen items masked."""
    split = some_users(test_split(dataset), preset.evaluate.max_users, SEED)
    item_ids = [item.item_id for item in dataset.items]
    ranks, _ = generated_ranks(recommender, item_ids, split, False, "last purchases", progress_bar, list_length=10)
    return float(ndcg_at(ranks, 10).mean())


def main() -> int:
    """Take our own flags off the command line; the rest is every benchmark's."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--items", type=int, default=1000)
    parser.add_argument("--users", type=int, default=3000)
    parser.add_argument("--set", action="append", default=[], dest="settings")
    own, rest = parser.parse_known_args()
    return run_benchmark(lambda quick: rows_of(own.items, own.users, own.settings, quick), rest)


if __name__ == "__main__":
    sys.exit(main())
