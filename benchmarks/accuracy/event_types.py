"""What the types of events are worth: learning the right ones by weight, beside all events alike.

    python -m benchmarks.accuracy.event_types [--data NAME] [--seeds N] [--set KEY=VALUE ...] [--json FILE] [--quick]

Two systems of one preset learn the same users' events before each user's newest target, and predict that target, seen
items masked. One knows the types: it learns targets alone, by weight. The other takes all events alike. Differences are
paired by user, with seeds averaged for each.

    made         a shop where views are noise and purchases follow taste: purchases are targets, views weigh 0.2
    movielens    ratings of at least 4 are targets, of at least 3 weigh 0.2, and below are dislikes

In the made shop both have the same histories, without the views that led to a purchase. Of MovieLens, the other system
reads all earlier ratings.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from jaxtyping import Float

from benchmarks.accuracy.datasets import MOVIELENS
from benchmarks.accuracy.paired_rows import paired_rows
from benchmarks.accuracy.training_runs import QUICK, STAGES, ranks_by_part, workbench
from benchmarks.report import Row, add_settings_flag, run_benchmark
from clairo_core.events import Condition, EventType, InteractionRules
from clairo_core.items import Item
from clairo_core.sequences import ItemSequences
from training.config.load_preset import load_preset
from training.datasets.dataset import Dataset, build_dataset
from training.datasets.described_dataset import load_described_dataset
from training.datasets.shared_folders import describe_shared_folder
from training.datasets.user_sequences import Dislikes, Interactions, build_sequences
from training.evaluation.metrics import ndcg_at
from training.evaluation.split import EvaluationSplit, sequences_before_test, some_users, test_split
from training.pipeline.run import train_parts
from training.workbench.progress_bar import progress_bar

MADE, OF_MOVIELENS = "made", "movielens"
CUTOFF = 10
LIGHT = 0.2
"""Weight of what is not a target."""
NUM_TASTES, ITEMS_OF_TASTE = 20, 20
USERS, QUICK_USERS = 1500, 400
VIEWS_PER_PURCHASE = 4.0
SHOP_RULES = InteractionRules(types={"purchase": EventType(), "view": EventType(weight=LIGHT)}, targets=("purchase",))
RATING_RULES = InteractionRules(
    types={
        "liked": EventType(when=Condition("rating", ">=", 4.0)),
        "fair": EventType(weight=LIGHT, when=Condition("rating", ">=", 3.0)),
        "disliked": EventType(meaning="negative", when=Condition("rating", "<", 3.0)),
    },
    targets=("liked",),
)


@dataclass(frozen=True, slots=True, eq=False)
class System:
    """What one of the two learns, and the targets after the histories that it reads."""

    learned: Dataset
    split: EvaluationSplit


def rows(*, data: str, seeds: int, settings: Sequence[str], quick: bool) -> tuple[str, list[Row]]:
    """Describe the data, and compare both systems."""
    by_type, alike = made_shop(QUICK_USERS if quick else USERS) if data == MADE else movielens()
    of_data = ["encode.modalities=text", *(["encode.text_dim=32"] if data == MADE else [])]
    preset = load_preset("clairo", [*of_data, *(QUICK if quick else ()), *settings])
    max_users = QUICK_USERS if quick else preset.evaluate.max_users
    gains: dict[str, list[list[Float[np.ndarray, "user"]]]] = {}
    for system, label in ((by_type, "by type"), (alike, "all alike")):
        split = some_users(system.split, max_users, seed=0)
        for seed in range(seeds):
            bench = workbench(f"{label}, seed {seed}", system.learned, preset, seed, stages=STAGES)
            ranks = ranks_by_part(train_parts(bench).recommender, system.learned, split, f"{label}, seed {seed}")
            for part, of_part in ranks.items():
                gains.setdefault(f"{part}: {label}", []).append([ndcg_at(of_part, CUTOFF)])
    means = {name: np.mean(of_seeds, axis=(0, 1)) for name, of_seeds in gains.items()}
    table = []
    for name in [name.removesuffix(": by type") for name in means if name.endswith(": by type")]:
        ours, theirs = means[f"{name}: by type"], means[f"{name}: all alike"]
        table += [
            Row(f"{name}: NDCG@10 by type", float(ours.mean()), "", "higher"),
            Row(f"{name}: NDCG@10 all alike", float(theirs.mean()), "", "higher"),
            *paired_rows(f"{name}: by type - all alike", ours, theirs, low_aim=0.0),
        ]
    return f"{data}, {len(ours)} users' newest targets, {seeds} seeds", table


def made_shop(num_users: int, seed: int = 0) -> tuple[System, System]:
    """Purchases walk around the items of one taste, with views of items that draw clicks between them."""
    random = np.random.default_rng(seed)
    num_items = NUM_TASTES * ITEMS_OF_TASTE
    appeal = random.permutation(1.0 / (1.0 + np.arange(num_items)))
    appeal /= appeal.sum()
    events: list[tuple[int, int, int]] = []
    for user in range(num_users):
        taste, place = random.integers(NUM_TASTES), int(random.integers(ITEMS_OF_TASTE))
        for _ in range(random.integers(4, 9)):
            views = random.choice(num_items, size=random.poisson(VIEWS_PER_PURCHASE), p=appeal)
            events += [(user, int(item), 1) for item in views]
            place = (place + int(random.integers(1, 4))) % ITEMS_OF_TASTE
            bought = int(taste) * ITEMS_OF_TASTE + place
            events += [(user, bought, 1)] * int(random.integers(2)) + [(user, bought, 0)]
    users, items, types = (np.array(column, dtype=np.int32) for column in zip(*events, strict=True))
    user_ids = pa.array([f"user-{user}" for user in range(num_users)], pa.large_string())
    interactions = Interactions(user_ids, users, items, np.arange(len(users)), tuple(SHOP_RULES.types), types)
    built = build_sequences(
        interactions, np.ones(num_items, dtype=np.bool_), SHOP_RULES, source_name=MADE, is_time=False
    )
    catalogue = tuple(
        Item(item_id=f"item-{row}", texts={"title": f"taste{row // ITEMS_OF_TASTE} thing{row}"})
        for row in range(num_items)
    )
    dataset = build_dataset(MADE, catalogue, built.user_ids, built.sequences, rules=SHOP_RULES)
    split, learned = test_split(dataset), sequences_before_test(dataset)
    return (
        System(with_sequences(dataset, learned), split),
        System(with_sequences(dataset, ItemSequences(learned.items, learned.offsets)), split),
    )


def movielens() -> tuple[System, System]:
    """Ratings by type, and alike; both of all films with a poster."""
    if not MOVIELENS.is_dir():
        sys.exit(f"{MOVIELENS} is missing; set CLAIRO_SHARED to the folder that holds data/")
    described = describe_shared_folder(MOVIELENS)
    dataset, everything = (
        load_described_dataset(replace(described, rules=rules), progress_bar)
        for rules in (RATING_RULES, InteractionRules())
    )
    split = test_split(dataset)
    row_of = {user_id: row for row, user_id in enumerate(everything.user_ids)}
    rows = np.array([row_of[dataset.user_ids[user]] for user in split.user_rows])
    places = np.array(
        [
            int(np.flatnonzero(everything.sequences[row] == target)[0])
            for row, target in zip(rows, split.targets, strict=True)
        ]
    )
    ends = everything.sequences.lengths
    ends[rows] = places
    begins = everything.sequences.offsets[:-1]
    histories = everything.sequences.take(begins[rows], places)
    return (
        System(with_sequences(dataset, sequences_before_test(dataset)), split),
        System(
            with_sequences(everything, everything.sequences.take(begins, ends)),
            EvaluationSplit(histories, split.targets, rows.astype(np.int32)),
        ),
    )


def with_sequences(dataset: Dataset, learned: ItemSequences) -> Dataset:
    """The dataset as it was before the targets, without times. A dislike counts after what came before it."""
    dislikes = None
    if dataset.dislikes is not None and dataset.dislike_places is not None:
        dislikes = Dislikes(dataset.dislikes, dataset.dislike_places)
    return build_dataset(dataset.name, dataset.items, dataset.user_ids, learned, rules=dataset.rules, dislikes=dislikes)


def flags() -> argparse.ArgumentParser:
    """The data, seeds and settings."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--data", choices=(MADE, OF_MOVIELENS), default=MADE, help=f"the data (default: {MADE})")
    parser.add_argument("--seeds", type=int, default=1, help="seeds to average over")
    add_settings_flag(parser)
    return parser


if __name__ == "__main__":
    sys.exit(run_benchmark(rows, flags()))
