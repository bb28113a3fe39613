"""What counts that live are worth: products posted after training, recommended as their first buyers come.

    python -m benchmarks.accuracy.live_counts [--data NAME] [--draws N] [--set KEY=VALUE ...] [--json FILE] [--quick]

A tenth of the items is posted when three fifths of all interactions have happened. A bundle learns what came before,
without these items. All later interactions are replayed in order of time: each is the next item of its user, ranked
among all items, seen ones masked, and then counted. One recommender knows the counts, the other does not. Differences
are paired by user. NAME is a folder of the shared data with times, or `demo` (default).
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Int64

from benchmarks.accuracy.cold_items import draw_flags, with_posted
from benchmarks.accuracy.datasets import modalities_of, open_shop
from benchmarks.accuracy.paired_rows import paired_rows
from benchmarks.accuracy.training_runs import BUNDLES, QUICK, load_trained, workbench
from benchmarks.report import Row, run_benchmark
from clairo_core.items import UserHistory
from clairo_core.ranking import UserActions, increments_of
from clairo_core.recommendation import RecommendationRequest
from clairo_core.recommender import Recommender
from clairo_core.sequences import ItemSequences
from training.config.load_preset import load_preset
from training.datasets.dataset import Dataset, build_dataset
from training.evaluation.metrics import ndcg_at, rank_in_list
from training.pipeline.run import train_bundle
from training.workbench.progress_bar import progress_bar

POSTED_SHARE, TRAINED_SHARE = 0.1, 0.6
TOP = 10
STEPS = 40
"""Counts are folded in this often while the later interactions are replayed."""
ENOUGH_BUYERS = 5
OTHERS_RANKED = 8
"""Of the interactions with other items, one in so many is ranked; all are counted."""


@dataclass(frozen=True, slots=True, eq=False)
class Replay:
    """All interactions in order of time; the first ones were trained on."""

    users: Int[np.ndarray, "event"]
    items: Int[np.ndarray, "event"]
    """Rows of the catalogue, posted items last."""
    num_trained: int


@dataclass(frozen=True, slots=True, eq=False)
class Replayed:
    """For each ranked interaction: the ranks of its item, 0 for a miss."""

    users: Int64[np.ndarray, "event"]
    is_posted: Bool[np.ndarray, "event"]
    """Whether the item was posted after training."""
    buyers: Int64[np.ndarray, "event"]
    """Counted interactions with the item since."""
    ranks: Int64[np.ndarray, "way event"]
    """With live counts, and without."""


def rows(*, data: str, draws: int, settings: Sequence[str], quick: bool) -> tuple[str, list[Row]]:
    """Describe the data, and compare both over all draws of posted items."""
    dataset, num_draws = open_shop(data), 1 if quick else draws
    if dataset.days is None:
        sys.exit(f"{data} has no times; choose another --data")
    replayed = [replay_draw(dataset, draw, [*settings, *(QUICK if quick else ())]) for draw in range(num_draws)]
    is_posted = np.concatenate([one.is_posted for one in replayed])
    buyers = np.concatenate([one.buyers for one in replayed])
    users = np.concatenate([one.users for one in replayed])
    ranks = np.concatenate([one.ranks for one in replayed], axis=1)
    table = []
    for label, chosen in {
        "posted items": is_posted,
        "posted items without a buyer": is_posted & (buyers == 0),
        f"posted items with {ENOUGH_BUYERS} buyers": is_posted & (buyers >= ENOUGH_BUYERS),
        "other items": ~is_posted,
    }.items():
        live, still = (by_user(users[chosen], ndcg_at(of_way[chosen], TOP)) for of_way in ranks)
        table += [
            Row(f"{label}: interactions", float(chosen.sum()), "", "higher"),
            Row(f"{label}: NDCG@10 with live counts", float(live.mean()), "", "higher"),
            Row(f"{label}: NDCG@10 without", float(still.mean()), "", "higher"),
            Row(f"{label}: ratio", float(live.mean() / max(still.mean(), 1e-9)), "x", "higher"),
            *paired_rows(f"{label}: with - without", live, still, low_aim=0.0 if label == "posted items" else None),
        ]
    return f"{dataset.name}, {num_draws} draws of 10% posted, {len(users):,} interactions ranked", table


def by_user(users: Int64[np.ndarray, "event"], gains: Float[np.ndarray, "event"]) -> Float[np.ndarray, "user"]:
    """The mean gain of each user."""
    _, place = np.unique(users, return_inverse=True)
    means: Float[np.ndarray, "user"] = np.bincount(place, weights=gains) / np.bincount(place)
    return means


def replay_draw(dataset: Dataset, draw: int, settings: Sequence[str]) -> Replayed:
    """Train without the posted items, post them, and replay."""
    num_items = len(dataset.items)
    is_posted = np.zeros(num_items, dtype=np.bool_)
    is_posted[np.random.default_rng(draw).permutation(num_items)[: round(POSTED_SHARE * num_items)]] = True
    replay = in_order_of_time(dataset, is_posted)
    preset = load_preset(
        "clairo", [f"encode.modalities={','.join(modalities_of(dataset))}", "evaluate.max_users=200", *settings]
    )
    bench = workbench(f"draw {draw}", trained_part(dataset, is_posted, replay), preset, draw)
    folder = BUNDLES / f"live-counts-{dataset.name}-{draw}"
    train_bundle(bench, folder)
    bundle, before = load_trained(bench, folder)
    recommender, _, _ = with_posted(bundle, before, [dataset.items[row] for row in np.flatnonzero(is_posted)])
    return replayed_by(recommender, replay, num_items - int(is_posted.sum()))


def in_order_of_time(dataset: Dataset, is_posted: Bool[np.ndarray, "item"]) -> Replay:
    """Interactions by time; those with a posted item before it was posted never happened."""
    row_of = np.empty(len(is_posted), dtype=np.int64)
    row_of[np.concatenate([np.flatnonzero(~is_posted), np.flatnonzero(is_posted)])] = np.arange(len(is_posted))
    order = np.argsort(np.asarray(dataset.days), kind="stable")
    users = np.repeat(np.arange(len(dataset.sequences)), dataset.sequences.lengths)[order]
    items, num_before = dataset.sequences.items[order], round(TRAINED_SHARE * len(order))
    happened = ~is_posted[items] | (np.arange(len(order)) >= num_before)
    return Replay(users[happened], row_of[items[happened]], int(happened[:num_before].sum()))


def trained_part(dataset: Dataset, is_posted: Bool[np.ndarray, "item"], replay: Replay) -> Dataset:
    """The items that were there, and their interactions."""
    users, items = replay.users[: replay.num_trained], replay.items[: replay.num_trained]
    known = np.unique(users)
    return build_dataset(
        f"{dataset.name}-before",
        tuple(item for item, posted in zip(dataset.items, is_posted, strict=True) if not posted),
        tuple(dataset.user_ids[user] for user in known),
        ItemSequences.from_lists([items[users == user].astype(np.int32) for user in known]),
        picture_origin=None if dataset.picture_origin is None else dataset.picture_origin.of_items(~is_posted),
    )


def replayed_by(recommender: Recommender, replay: Replay, num_trained_items: int) -> Replayed:
    """Rank the items of later interactions with a history, before they are counted and without."""
    live, still = recommender, recommender
    item_ids = recommender.catalogue.item_ids
    histories: dict[int, list[int]] = {}
    bought = np.zeros(len(item_ids), dtype=np.int64)
    measured: list[tuple[int, bool, int]] = []
    ranks: list[tuple[int, int]] = []
    for user, item in zip(replay.users[: replay.num_trained], replay.items[: replay.num_trained], strict=True):
        histories.setdefault(int(user), []).append(int(item))
    steps = np.array_split(np.arange(replay.num_trained, len(replay.items)), STEPS)
    for step in progress_bar(steps, "replaying", len(steps)):
        requests, targets, num_before = [], [], dict[int, int]()
        for event in step.tolist():
            user, item = int(replay.users[event]), int(replay.items[event])
            history = histories.setdefault(user, [])
            num_before.setdefault(user, len(history))
            is_ranked = item >= num_trained_items or event % OTHERS_RANKED == 0
            if is_ranked and history and item not in history:
                request = UserHistory(tuple(item_ids[row] for row in history))
                requests.append(RecommendationRequest(history=request, limit=TOP))
                targets.append(item)
                measured.append((user, item >= num_trained_items, int(bought[item])))
            history.append(item)
        ranks += zip(ranks_of(live, requests, targets), ranks_of(still, requests, targets), strict=True)
        np.add.at(bought, replay.items[step], 1)
        actions = [actions_of(histories[user], num_counted) for user, num_counted in num_before.items()]
        live = live.with_counts(increments_of(actions, len(item_ids)))
    users, is_posted, buyers = (np.array(column) for column in zip(*measured, strict=True))
    return Replayed(users, is_posted, buyers, np.array(ranks).T)


def actions_of(history: list[int], num_counted: int) -> UserActions:
    """A user's interactions, all of one type."""
    return UserActions(np.array(history), np.ones(len(history)), np.ones(len(history), dtype=np.bool_), num_counted)


def ranks_of(recommender: Recommender, requests: Sequence[RecommendationRequest], targets: Sequence[int]) -> list[int]:
    """The rank of each target in its list of 10; 0 for a miss."""
    ranks = []
    for answer, target in zip(recommender.recommend_batch(requests), targets, strict=True):
        listed = np.array([recommender.catalogue.row_of(item.item_id) for item in answer.items])
        scores = np.array([item.score for item in answer.items])
        ranks.append(rank_in_list(listed, scores, target, TOP))
    return ranks


if __name__ == "__main__":
    sys.exit(run_benchmark(rows, draw_flags("demo", 2)))
