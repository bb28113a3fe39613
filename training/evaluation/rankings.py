"""Rank every user's target among all items, and keep who was shown what. Start at `rank_with_scores`.

Knows scores, lists and the two seen-item modes; knows nothing of how scores come about, or of intervals.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, Int32, Int64

from clairo_core.items import UserHistory
from clairo_core.progress import Progress, silent
from clairo_core.recommender import Recommender
from clairo_core.sequences import ItemSequences
from clairo_core.storage.array_file import load_arrays, save_arrays
from training.evaluation.choose_settings import USERS_A_BLOCK
from training.evaluation.item_scorer import ItemScorer
from training.evaluation.metrics import rank_in_list, ranks_by_scores
from training.evaluation.split import EvaluationSplit

SEEN_ITEMS = ("allowed", "masked")
"""As published rivals do, and as a shop does."""
SHOWN = 10
"""First places that are kept: what coverage and its like are measured on."""
LIST_LENGTH = 50
"""Places of a recommender's list that are looked at: the widest cutoff of the protocol."""
USERS_A_BATCH = 32
NOBODY = -1
"""Stands where a list is shorter, or where an item is not the dataset's."""


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """What one ranker did for every user in one seen-item mode."""

    ranks: Int64[np.ndarray, "user"]
    """The target's place from 1; 0 if it is not in the list."""
    shown: Int32[np.ndarray, "user place"]
    """The first places, rows of the dataset's items."""


Rankings = dict[str, Ranking]
"""By seen-item mode."""


def rank_with_scores(
    scorer: ItemScorer, split: EvaluationSplit, label: str, progress: Progress[int] = silent
) -> Rankings:
    """Both modes from one pass over the users; every tie counts against the target."""
    ranks: dict[str, list[Int64[np.ndarray, "user"]]] = {mode: [] for mode in SEEN_ITEMS}
    shown: dict[str, list[Int32[np.ndarray, "user place"]]] = {mode: [] for mode in SEEN_ITEMS}
    starts = range(0, len(split.targets), USERS_A_BLOCK)
    for start in progress(starts, label, len(starts)):
        users = np.arange(start, min(start + USERS_A_BLOCK, len(split.targets)))
        histories = split.histories.select(users)
        scores = scorer.scores(histories)
        for mode, of_mode in zip(SEEN_ITEMS, ranks_by_scores(scores, split.targets[users], histories), strict=True):
            ranks[mode].append(of_mode)
        shown["allowed"].append(first_places(scores))
        shown["masked"].append(first_places(without_seen(scores, histories)))
    return {mode: Ranking(np.concatenate(ranks[mode]), np.concatenate(shown[mode])) for mode in SEEN_ITEMS}


def rank_with_recommender(
    recommender: Recommender, item_ids: Sequence[str], split: EvaluationSplit, label: str, progress: Progress[int]
) -> Rankings:
    """Both modes from the lists that the recommender returns; a target beyond their end is a miss."""
    rankings = {}
    for mode in SEEN_ITEMS:
        ranks, lists = generated_ranks(
            recommender, item_ids, split, mode == "allowed", f"{label}, seen {mode}", progress
        )
        shown = np.full((len(lists), SHOWN), NOBODY, dtype=np.int32)
        for user, ranked in enumerate(lists):
            shown[user, : len(ranked[:SHOWN])] = ranked[:SHOWN]
        rankings[mode] = Ranking(ranks, shown)
    return rankings


def generated_ranks(
    recommender: Recommender,
    item_ids: Sequence[str],
    split: EvaluationSplit,
    include_seen: bool,
    label: str,
    progress: Progress[int] = silent,
    list_length: int = LIST_LENGTH,
) -> tuple[Int[np.ndarray, "user"], list[Int32[np.ndarray, "place"]]]:
    """The rank of each user's target in the recommender's list, and the lists as rows of the dataset's items."""
    row_of = {item_id: row for row, item_id in enumerate(item_ids)}
    num_users = len(split.targets)
    ranks = np.zeros(num_users, dtype=np.int64)
    # Histories of one length together: a batch is padded to its longest.
    order = np.argsort(split.histories.lengths, kind="stable")
    lists_by_user: dict[int, Int32[np.ndarray, place]] = {}
    starts = range(0, num_users, USERS_A_BATCH)
    for start in progress(starts, label, len(starts)):
        users = order[start : start + USERS_A_BATCH]
        histories = [UserHistory(tuple(item_ids[row] for row in split.histories[user])) for user in users]
        answers = recommender.recommend_many(histories, list_length, include_seen=include_seen)
        for user, answer in zip(users, answers, strict=True):
            # An item posted to the bundle since it was trained is in no dataset: it holds its place as row -1.
            ranked = np.array([row_of.get(entry.item_id, -1) for entry in answer.items], dtype=np.int32)
            ranks[user] = rank_in_list(ranked, int(split.targets[user]))
            lists_by_user[int(user)] = ranked
    return ranks, [lists_by_user[user] for user in range(num_users)]


def first_places(scores: Float[np.ndarray, "user item"]) -> Int32[np.ndarray, "user place"]:
    """The items of the highest scores, best first; equals in the order of their rows; nobody where it is -inf."""
    num_places = min(SHOWN, scores.shape[1])
    chosen = np.sort(np.argpartition(-scores, num_places - 1, axis=1)[:, :num_places], axis=1)
    chosen_scores = np.take_along_axis(scores, chosen, axis=1)
    order = np.argsort(-chosen_scores, axis=1, kind="stable")
    best = np.take_along_axis(chosen, order, axis=1).astype(np.int32)
    best[np.isneginf(np.take_along_axis(chosen_scores, order, axis=1))] = NOBODY
    return np.pad(best, ((0, 0), (0, SHOWN - num_places)), constant_values=NOBODY)


def without_seen(scores: Float[np.ndarray, "user item"], histories: ItemSequences) -> Float[np.ndarray, "user item"]:
    """The scores with -inf for what each user has in the history."""
    masked = scores.copy()
    masked[np.repeat(np.arange(len(histories)), histories.lengths), histories.items] = -np.inf
    return masked


def save_rankings(path: Path, rankings: Rankings) -> None:
    """Write both modes to one .npz file."""
    arrays = {f"ranks_{mode}": rankings[mode].ranks for mode in SEEN_ITEMS}
    save_arrays(path, **arrays, **{f"shown_{mode}": rankings[mode].shown for mode in SEEN_ITEMS})


def load_rankings(path: Path) -> Rankings:
    """Read what `save_rankings` wrote."""
    return {mode: Ranking(*load_arrays(path, f"ranks_{mode}", f"shown_{mode}")) for mode in SEEN_ITEMS}
