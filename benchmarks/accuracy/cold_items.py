"""Recommend items that nobody has bought: PROTOCOL's cold items, beside warm ones, by each ranker alone and together.

    python -m benchmarks.accuracy.cold_items [--data NAME] [--draws N] [--set KEY=VALUE ...] [--json FILE] [--quick]

A twentieth of the items is held out of all fitting and training, then described and added by the same code as POST
/items, and every user's last item is ranked among all items, seen ones masked. Users whose last item was held out are
cold, the others warm. NAME is a folder of the shared data (amazon2018_industrial_recent unless said otherwise), or
`demo`. Encoders: the built-in ones. Bundles are kept in bundles/, stages in bundles/.stages.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int64

from benchmarks.report import Row, run_benchmark
from benchmarks.repository import REPOSITORY
from clairo_core.bundle.bundle import Bundle
from clairo_core.bundle.described_items import DescribedItem
from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.generation.t5.generator import choose_device
from clairo_core.items import Item, UserHistory
from clairo_core.recommendation import RecommendationRequest
from clairo_core.recommender import Recommender
from clairo_core.sequences import ItemSequences
from training.config.load_preset import load_preset
from training.config.preset import DatasetSettings
from training.datasets import Dataset
from training.datasets.open_dataset import open_dataset
from training.datasets.tables import build_dataset
from training.demo_shop import write_demo_shop
from training.pipeline.run import train_bundle
from training.workbench.progress_bar import progress_bar
from training.workbench.stage_cache import StageCache
from training.workbench.workbench import Workbench

SHARED = Path(os.environ.get("CLAIRO_SHARED", REPOSITORY.parent / "shared"))
COLD_SHARE = 0.05
TOP = 10
AT_ONCE = 32
QUICK = ("fit.max_epochs=1", "fit.examples_per_epoch=5000", "dense.max_epochs=4")


@dataclass(frozen=True)
class Draw:
    """One bundle that never saw the cold items, and the recommenders before and after they were posted."""

    dataset: Dataset
    is_cold: Bool[np.ndarray, "item"]
    bundle: Bundle
    before: Recommender
    after: Recommender
    seconds_to_add: float
    """For one item, from its content to a recommender that may answer with it."""


def rows_of(name: str, num_draws: int, settings: Sequence[str], quick: bool) -> tuple[str, list[Row]]:
    """What was measured on, and the table."""
    folder = shop_folder(name)
    dataset = open_dataset(folder, DatasetSettings(), ("text", "image"), progress_bar)
    measured: dict[str, list[float]] = {}
    for seed in range(1 if quick else num_draws):
        draw = drawn(dataset, seed, [*settings, *(QUICK if quick else ())])
        for label, value in figures_of(draw).items():
            measured.setdefault(label, []).append(value)
    means = {label: float(np.nanmean(values)) for label, values in measured.items()}
    table = [
        Row(f"{label}, Recall@10" if "add" not in label else label, mean, unit_of(label), better_of(label))
        for label, mean in means.items()
    ]
    table += [
        Row(f"{label}: spread over draws", float(np.nanstd(measured[label], ddof=1)), "", "lower")
        for label in ("cold: together", "cold: dense head alone")
        if len(measured[label]) > 1
    ]
    table += [
        Row(
            "cold: together against dense head alone",
            means["cold: together"] / max(means["cold: dense head alone"], 1e-9),
            "x",
            "higher",
            aim=0.9,
        ),
        Row(
            "warm: with the cold items posted against without",
            means["warm: together"] / max(means["warm: together, nothing posted"], 1e-9),
            "x",
            "higher",
            aim=0.99,
        ),
    ]
    encoders = ", ".join(f"builtin-{modality}" for modality in modalities_of(dataset))
    return (
        f"{dataset.name}, last item of every user, {num_draws if not quick else 1} draws of 5% cold, {encoders}",
        table,
    )


def unit_of(label: str) -> str:
    """Milliseconds for times."""
    return "ms" if "add" in label else ""


def better_of(label: str) -> str:
    """Times are better when low."""
    return "lower" if "add" in label else "higher"


def shop_folder(name: str) -> Path:
    """The dataset's folder; the demo shop is written if it is not there, nothing goes on without another one."""
    if name != "demo":
        folder = SHARED / "data" / name
        if not folder.is_dir():
            sys.exit(f"{folder} is not there; set CLAIRO_SHARED to the folder that holds data/")
        return folder
    folder = REPOSITORY / "demo" / "shop"
    if not (folder / "dataset.toml").is_file():
        write_demo_shop(folder, progress=progress_bar)
    return folder


def modalities_of(dataset: Dataset) -> tuple[str, ...]:
    """What its items are described by."""
    return tuple(modality for modality in dataset.modalities if modality in ("text", "image"))


def shop_with_pictures(name: str) -> Dataset:
    """A dataset whose items have pictures beside their words; nothing goes on without them."""
    dataset = open_dataset(shop_folder(name), DatasetSettings(), ("text", "image"), progress_bar)
    if set(modalities_of(dataset)) != {"text", "image"}:
        sys.exit(f"{name} has no pictures beside its words, so neither can be taken away; choose another --data")
    return dataset


def drawn(dataset: Dataset, seed: int, settings: Sequence[str]) -> Draw:
    """Train without the cold items, then add them as POST /items does."""
    num_items = len(dataset.items)
    is_cold = np.zeros(num_items, dtype=np.bool_)
    is_cold[np.random.default_rng(seed).permutation(num_items)[: round(COLD_SHARE * num_items)]] = True
    modalities = ",".join(modalities_of(dataset))
    preset = load_preset("clairo", [f"encode.modalities={modalities}", "evaluate.max_users=200", *settings])

    def report(message: str) -> None:
        print(f"[draw {seed}] {message}", file=sys.stderr)

    stages = StageCache(REPOSITORY / "bundles" / ".stages", report)
    bench = Workbench(without(dataset, is_cold), preset, seed, choose_device("cpu"), stages, progress_bar, report)
    folder = REPOSITORY / "bundles" / f"cold-{dataset.name}-{seed}"
    train_bundle(bench, folder)
    bundle = load_bundle(folder)
    before = bundle.recommender("cpu", num_views=preset.evaluate.num_views, num_beams=preset.evaluate.num_beams)
    after, _, seconds = with_posted(bundle, before, [dataset.items[row] for row in np.flatnonzero(is_cold)])
    return Draw(dataset, is_cold, bundle, before, after, seconds)


def without(dataset: Dataset, is_cold: Bool[np.ndarray, "item"]) -> Dataset:
    """The dataset as if the cold items did not exist."""
    new_row = np.cumsum(~is_cold) - 1
    sequences = [new_row[sequence[~is_cold[sequence]]] for sequence in dataset.sequences]
    kept = [place for place, sequence in enumerate(sequences) if len(sequence)]
    return build_dataset(
        f"{dataset.name}-without-cold",
        tuple(item for item, cold in zip(dataset.items, is_cold, strict=True) if not cold),
        tuple(dataset.user_ids[place] for place in kept),
        ItemSequences.from_lists([sequences[place] for place in kept]),
        picture_origin=dataset.picture_origin,
    )


def with_posted(
    bundle: Bundle, before: Recommender, items: Sequence[Item]
) -> tuple[Recommender, list[DescribedItem], float]:
    """Describe and add new items; the last one alone, and timed."""
    recommender, all_described = before, []
    seconds = 0.0
    for some in (items[:-1], items[-1:]):
        started = time.perf_counter()
        described, taken = [], {tuple(features) for features in recommender.catalogue.feature_sets.tolist()}
        for item in progress_bar(some, "posting", len(some)):
            described.append(bundle.describe(item, taken))
            taken.add(described[-1].feature_set)
        catalogue = recommender.catalogue.with_items(
            [item.item_id for item in some],
            [item.feature_set for item in described],
            recommender.tokenizer,
        )
        recommender = recommender.with_catalogue(catalogue, np.stack([item.item_embedding for item in described]))
        seconds = time.perf_counter() - started
        all_described += described
    return recommender, all_described, seconds


@dataclass(frozen=True)
class Questions:
    """The last item of every user who has three or more."""

    histories: Sequence[UserHistory]
    targets: Int64[np.ndarray, "user"]
    cold: Int64[np.ndarray, "cold"]
    """Users whose last item was held out."""
    warm: Int64[np.ndarray, "warm"]


def questions_of(draw: Draw) -> Questions:
    """What is asked of every ranker."""
    item_ids = [item.item_id for item in draw.dataset.items]
    sequences = [sequence for sequence in draw.dataset.sequences if len(sequence) >= 3]
    histories = [UserHistory(tuple(item_ids[row] for row in sequence[:-1])) for sequence in sequences]
    targets = np.array([sequence[-1] for sequence in sequences])
    is_cold = draw.is_cold[targets]
    return Questions(histories, targets, np.flatnonzero(is_cold), np.flatnonzero(~is_cold))


def figures_of(draw: Draw) -> Mapping[str, float]:
    """Recall@10 by ranker, cold and warm."""
    item_ids = [item.item_id for item in draw.dataset.items]
    asked = questions_of(draw)
    histories, targets, cold, warm = asked.histories, asked.targets, asked.cold, asked.warm
    catalogue = draw.after.catalogue
    only_cold = np.zeros(len(catalogue), dtype=np.bool_)
    only_cold[len(draw.before.catalogue) :] = True
    rankers = {
        "together": draw.after,
        "generator alone": draw.after.ranked_by(None),
    }
    figures = {}
    for label, ranker in rankers.items():
        figures[f"cold: {label}"] = recall(ranker, histories, targets, item_ids, cold, None)
        figures[f"cold, among cold items: {label}"] = recall(ranker, histories, targets, item_ids, cold, only_cold)
        figures[f"warm: {label}"] = recall(ranker, histories, targets, item_ids, warm, None)
    for label, users, allowed in (
        ("cold: dense head alone", cold, None),
        ("cold, among cold items: dense head alone", cold, only_cold),
        ("warm: dense head alone", warm, None),
    ):
        figures[label] = dense_recall(draw.after, histories, targets, item_ids, users, allowed)
    figures["warm: together, nothing posted"] = recall(draw.before, histories, targets, item_ids, warm, None)
    figures["cold: popularity"] = 0.0
    shown = share_of_new(draw.before, draw.after, histories)
    figures["share of cold items among all places: together"] = shown
    figures["time to describe and add one item"] = 1000 * draw.seconds_to_add
    return figures


def recall(
    recommender: Recommender,
    histories: Sequence[UserHistory],
    targets: Int64[np.ndarray, "user"],
    item_ids: Sequence[str],
    users: Int64[np.ndarray, "chosen"],
    is_allowed: Bool[np.ndarray, "item"] | None,
) -> float:
    """Share of these users whose target is in the first ten places."""
    hits = []
    order = sorted(users.tolist(), key=lambda user: len(histories[user].item_ids))
    for start in progress_bar(range(0, len(order), AT_ONCE), "ranking", -(-len(order) // AT_ONCE)):
        some = order[start : start + AT_ONCE]
        answers = recommender.recommend_batch(
            [RecommendationRequest(history=histories[user], limit=TOP, is_allowed=is_allowed) for user in some]
        )
        for user, answer in zip(some, answers, strict=True):
            hits.append(item_ids[targets[user]] in {item.item_id for item in answer.items})
    return float(np.mean(hits)) if hits else float("nan")


def dense_recall(
    recommender: Recommender,
    histories: Sequence[UserHistory],
    targets: Int64[np.ndarray, "user"],
    item_ids: Sequence[str],
    users: Int64[np.ndarray, "chosen"],
    is_allowed: Bool[np.ndarray, "item"] | None,
) -> float:
    """The same by the dense head's own order."""
    ranking = recommender.joint_ranking
    if ranking is None:
        return float("nan")
    hits = []
    for user in users.tolist():
        rows = recommender.known_rows(histories[user])
        if not len(rows):
            hits.append(False)
            continue
        scores = ranking.dense_head.log_probabilities([rows])[0].astype(np.float64)
        scores[rows] = -np.inf
        if is_allowed is not None:
            scores[~is_allowed] = -np.inf
        target = recommender.catalogue.row_of(item_ids[targets[user]])
        hits.append(bool(np.isfinite(scores[target])) and int((scores >= scores[target]).sum()) <= TOP)
    return float(np.mean(hits)) if hits else float("nan")


def share_of_new(before: Recommender, after: Recommender, histories: Sequence[UserHistory]) -> float:
    """How much of what 500 users are shown was posted just now: about a twentieth is neither a flood nor nothing."""
    first_new, places = len(before.catalogue), []
    for start in range(0, min(500, len(histories)), AT_ONCE):
        some = [RecommendationRequest(history=history, limit=TOP) for history in histories[start : start + AT_ONCE]]
        for answer in after.recommend_batch(some):
            places += [after.catalogue.row_of(item.item_id) >= first_new for item in answer.items]
    return float(np.mean(places))


def run_on_draws(
    rows_of: Callable[[str, int, Sequence[str], bool], tuple[str, list[Row]]], data: str, num_draws: int
) -> int:
    """Take our own flags off the command line; the rest is every benchmark's.

    Args:
        rows_of: takes the dataset's name, the number of draws, settings, and whether to be quick.
        data: unless the command line names another.
        num_draws: likewise.
    """
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--data", default=data)
    parser.add_argument("--draws", type=int, default=num_draws)
    parser.add_argument("--set", action="append", default=[], dest="settings")
    own, rest = parser.parse_known_args()

    @wraps(rows_of)  # whose module says what --help prints
    def measure(quick: bool) -> tuple[str, list[Row]]:
        return rows_of(own.data, own.draws, own.settings, quick)

    return run_benchmark(measure, rest)


if __name__ == "__main__":
    sys.exit(run_on_draws(rows_of, "amazon2018_industrial_recent", 5))
