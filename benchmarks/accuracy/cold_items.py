"""Recommend items that nobody has bought: PROTOCOL's cold items beside warm ones, together and by each ranker.

    python -m benchmarks.accuracy.cold_items [--data NAME] [--draws N] [--set KEY=VALUE ...] [--json FILE] [--quick]

A twentieth of the items is held out of all training, then described and added by the code of POST /items. Every
user's last item is ranked among all items, seen ones masked. Users whose last item was held out are cold, the others
warm. NAME is a folder of the shared data (default: amazon2018_industrial_recent) or `demo`. Encoders: the built-in
ones. Bundles stay in bundles/, stages in bundles/.stages.
"""

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Bool, Int64

from benchmarks.accuracy.datasets import modalities_of, open_shop
from benchmarks.accuracy.training_runs import (
    BUNDLES,
    DENSE_HEAD,
    GENERATOR,
    QUICK,
    TOGETHER,
    load_trained,
    workbench,
)
from benchmarks.report import Row, add_settings_flag, run_benchmark
from clairo_core.bundle.bundle import Bundle
from clairo_core.bundle.described_items import DescribedItem
from clairo_core.items import Item, UserHistory
from clairo_core.recommendation import RecommendationRequest
from clairo_core.recommender import Recommender
from clairo_core.sequences import ItemSequences
from training.config.load_preset import load_preset
from training.datasets import Dataset
from training.datasets.dataset import build_dataset
from training.evaluation.metrics import rank_in_list
from training.pipeline.run import train_bundle
from training.workbench.progress_bar import progress_bar

COLD_SHARE = 0.05
TOP = 10
TIME_TO_ADD = "time to describe and add one item"
SHARE_SHOWN = "share of cold items among all places: together"
USERS_PER_BATCH = 32
SHOWN_USERS = 500


@dataclass(frozen=True)
class Draw:
    """A bundle trained without the cold items, and its recommenders before and after they are posted."""

    dataset: Dataset
    is_cold: Bool[np.ndarray, "item"]
    bundle: Bundle
    before: Recommender
    after: Recommender
    seconds_to_add: float
    """For one item, from its content to a recommender that can recommend it."""


def rows(*, data: str, draws: int, settings: Sequence[str], quick: bool) -> tuple[str, list[Row]]:
    """Describe the data, and average the figures over draws."""
    dataset, num_draws = open_shop(data), 1 if quick else draws
    measured: dict[str, list[float]] = {}
    for seed in range(num_draws):
        draw = drawn(dataset, seed, [*settings, *(QUICK if quick else ())])
        for label, value in figures_of(draw).items():
            measured.setdefault(label, []).append(value)
    means = {label: float(np.nanmean(values)) for label, values in measured.items()}
    share_shown, time_to_add = means.pop(SHARE_SHOWN), means.pop(TIME_TO_ADD)
    table = [Row(f"{label}, Recall@10", mean, "", "higher") for label, mean in means.items()]
    table += [Row(SHARE_SHOWN, share_shown, "", "higher"), Row(TIME_TO_ADD, time_to_add, "ms", "lower")]
    table += [
        Row(f"{label}: spread over draws", float(np.nanstd(measured[label], ddof=1)), "", "lower")
        for label in ("cold: together", "cold: dense head alone")
        if len(measured[label]) > 1
    ]
    of_dense = means["cold: together"] / max(means["cold: dense head alone"], 1e-9)
    of_unposted = means["warm: together"] / max(means["warm: together, nothing posted"], 1e-9)
    table += [
        Row("cold: together against dense head alone", of_dense, "x", "higher", aim=0.9),
        Row("warm: with the cold items posted against without", of_unposted, "x", "higher", aim=0.99),
    ]
    encoders = ", ".join(f"builtin-{modality}" for modality in modalities_of(dataset))
    return f"{dataset.name}, last item of every user, {num_draws} draws of 5% cold, {encoders}", table


def drawn(dataset: Dataset, seed: int, settings: Sequence[str]) -> Draw:
    """Train without the cold items, then add them as POST /items does."""
    num_items = len(dataset.items)
    is_cold = np.zeros(num_items, dtype=np.bool_)
    is_cold[np.random.default_rng(seed).permutation(num_items)[: round(COLD_SHARE * num_items)]] = True
    modalities = ",".join(modalities_of(dataset))
    preset = load_preset("clairo", [f"encode.modalities={modalities}", "evaluate.max_users=200", *settings])
    bench = workbench(f"draw {seed}", without(dataset, is_cold), preset, seed)
    folder = BUNDLES / f"cold-{dataset.name}-{seed}"
    train_bundle(bench, folder, is_refitted=False)
    bundle, before = load_trained(bench, folder)
    after, _, seconds = with_posted(bundle, before, [dataset.items[row] for row in np.flatnonzero(is_cold)])
    return Draw(dataset, is_cold, bundle, before, after, seconds)


def without(dataset: Dataset, is_cold: Bool[np.ndarray, "item"]) -> Dataset:
    """The dataset without the cold items."""
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
    """Describe and add new items. The seconds are of the last one, added alone."""
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
class LastItems:
    """The last item of every user with three or more."""

    histories: Sequence[UserHistory]
    target_ids: Sequence[str]
    cold: Int64[np.ndarray, "cold"]
    """Users whose last item was held out."""
    warm: Int64[np.ndarray, "warm"]


def last_items(draw: Draw) -> LastItems:
    """Histories and targets that every ranker is measured on."""
    item_ids = [item.item_id for item in draw.dataset.items]
    sequences = [sequence for sequence in draw.dataset.sequences if len(sequence) >= 3]
    histories = [UserHistory(tuple(item_ids[row] for row in sequence[:-1])) for sequence in sequences]
    targets = np.array([sequence[-1] for sequence in sequences])
    is_cold = draw.is_cold[targets]
    return LastItems(histories, [item_ids[row] for row in targets], np.flatnonzero(is_cold), np.flatnonzero(~is_cold))


def figures_of(draw: Draw) -> Mapping[str, float]:
    """Recall@10 by ranker, for cold and warm users."""
    asked = last_items(draw)
    only_cold = np.arange(len(draw.after.catalogue)) >= len(draw.before.catalogue)
    figures = {}
    for ranker, recall_of in {
        TOGETHER: partial(recall, draw.after),
        GENERATOR: partial(recall, draw.after.ranked_by(None)),
        DENSE_HEAD: partial(dense_recall, draw.after),
    }.items():
        figures[f"cold: {ranker}"] = recall_of(asked, asked.cold)
        figures[f"cold, among cold items: {ranker}"] = recall_of(asked, asked.cold, only_cold)
        figures[f"warm: {ranker}"] = recall_of(asked, asked.warm)
    figures["warm: together, nothing posted"] = recall(draw.before, asked, asked.warm)
    figures["cold: popularity"] = 0.0
    figures[SHARE_SHOWN] = share_of_new(draw.before, draw.after, asked.histories)
    figures[TIME_TO_ADD] = 1000 * draw.seconds_to_add
    return figures


def recall(
    recommender: Recommender,
    asked: LastItems,
    users: Int64[np.ndarray, "chosen"],
    is_allowed: Bool[np.ndarray, "item"] | None = None,
) -> float:
    """Share of these users whose target is in the top 10, ties against it; NaN without users."""
    hits = []
    order = sorted(users.tolist(), key=lambda user: len(asked.histories[user].item_ids))
    for start in progress_bar(range(0, len(order), USERS_PER_BATCH), "ranking", -(-len(order) // USERS_PER_BATCH)):
        some = order[start : start + USERS_PER_BATCH]
        answers = recommender.recommend_batch(
            [RecommendationRequest(history=asked.histories[user], limit=TOP, is_allowed=is_allowed) for user in some]
        )
        for user, answer in zip(some, answers, strict=True):
            listed = np.array([recommender.catalogue.row_of(item.item_id) for item in answer.items])
            scores = np.array([item.score for item in answer.items])
            hits.append(rank_in_list(listed, scores, recommender.catalogue.row_of(asked.target_ids[user]), TOP) > 0)
    return float(np.mean(hits)) if hits else float("nan")


def dense_recall(
    recommender: Recommender,
    asked: LastItems,
    users: Int64[np.ndarray, "chosen"],
    is_allowed: Bool[np.ndarray, "item"] | None = None,
) -> float:
    """As `recall`, by the dense head alone; NaN also without a dense head."""
    ranking = recommender.joint_ranking
    if ranking is None:
        return float("nan")
    hits = []
    for user in users.tolist():
        rows = recommender.known_rows(asked.histories[user])
        if not len(rows):
            hits.append(False)
            continue
        scores = ranking.dense_heads.log_probabilities([rows])[0].astype(np.float64)
        scores[rows] = -np.inf
        if is_allowed is not None:
            scores[~is_allowed] = -np.inf
        target = recommender.catalogue.row_of(asked.target_ids[user])
        hits.append(bool(np.isfinite(scores[target])) and int((scores >= scores[target]).sum()) <= TOP)
    return float(np.mean(hits)) if hits else float("nan")


def share_of_new(before: Recommender, after: Recommender, histories: Sequence[UserHistory]) -> float:
    """Share of the places of 500 users that posted items take; a twentieth is their share of the catalogue."""
    first_new, places = len(before.catalogue), []
    for start in range(0, min(SHOWN_USERS, len(histories)), USERS_PER_BATCH):
        some = [
            RecommendationRequest(history=history, limit=TOP) for history in histories[start : start + USERS_PER_BATCH]
        ]
        for answer in after.recommend_batch(some):
            places += [after.catalogue.row_of(item.item_id) >= first_new for item in answer.items]
    return float(np.mean(places))


def draw_flags(data: str, num_draws: int) -> argparse.ArgumentParser:
    """The dataset, the number of draws, and settings; `data` and `num_draws` are the defaults."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--data", default=data, help=f"folder of the shared data, or demo (default: {data})")
    parser.add_argument("--draws", type=int, default=num_draws, help="draws of cold items; --quick takes one")
    add_settings_flag(parser)
    return parser


if __name__ == "__main__":
    sys.exit(run_benchmark(rows, draw_flags("amazon2018_industrial_recent", 5)))
