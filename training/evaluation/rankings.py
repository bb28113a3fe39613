"""Rank every user's target among all items, and keep each user's first places. Start at `rank_with_scores`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, Int32, Int64

from clairo_core.progress import Progress, silent
from clairo_core.recommender import Recommender
from clairo_core.sequences import ItemSequences
from clairo_core.storage.array_file import load_arrays, save_arrays
from training.evaluation.item_scorer import ItemScorer
from training.evaluation.metrics import rank_in_list, ranks_by_scores
from training.evaluation.split import ALLOWED, MASKED, EvaluationSplit, HeldOut
from training.evaluation.user_batches import batches_by_length, scored_blocks

SHOWN = 10
"""First places kept per user, for coverage and the Gini coefficient."""
LIST_LENGTH = 50
"""Length of a recommender's list: the widest cutoff of the protocol."""
NO_ITEM = -1
"""Fills the places of a shorter list, and of items that are not in the dataset."""


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """One ranker's results for every user in one seen-item mode."""

    ranks: Int64[np.ndarray, "user"]
    """Place of the target, from 1; 0 if it is not in the list."""
    shown: Int32[np.ndarray, "user place"]
    """Item rows of the first places."""


Rankings = dict[str, Ranking]
"""By seen-item mode."""


def rank_with_scores(scorer: ItemScorer, targets: HeldOut, label: str, progress: Progress[int] = silent) -> Rankings:
    """Rank by scores in every mode of `targets`; every tie counts against the target."""
    rankings = {}
    for mode, split in targets.items():
        ranks: list[Int64[np.ndarray, "user"]] = []
        shown: list[Int32[np.ndarray, "user place"]] = []
        for users, histories, scores in scored_blocks(scorer, split.histories, f"{label}, seen {mode}", progress):
            allowed, masked = ranks_by_scores(scores, split.targets[users], histories)
            ranks.append(allowed if mode == ALLOWED else masked)
            shown.append(first_places(without_seen(scores, histories) if mode == MASKED else scores))
        rankings[mode] = Ranking(np.concatenate(ranks), np.concatenate(shown))
    return rankings


def rank_with_recommender(
    recommender: Recommender, item_ids: Sequence[str], targets: HeldOut, label: str, progress: Progress[int]
) -> Rankings:
    """Rank by the recommender's lists in every mode of `targets`; a target beyond the end of a list is a miss."""
    rankings = {}
    for mode, split in targets.items():
        ranks, lists = generated_ranks(recommender, item_ids, split, mode == ALLOWED, f"{label}, seen {mode}", progress)
        shown = np.full((len(lists), SHOWN), NO_ITEM, dtype=np.int32)
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
    """Rank each user's target in the recommender's list, ties against it. Returns the ranks, and lists of item rows."""
    row_of = {item_id: row for row, item_id in enumerate(item_ids)}
    ranks = np.zeros(len(split.targets), dtype=np.int64)
    lists_by_user: dict[int, Int32[np.ndarray, place]] = {}
    for users, histories in batches_by_length(split.histories, item_ids, label, progress):
        answers = recommender.recommend_many(histories, list_length, include_seen=include_seen)
        for user, answer in zip(users, answers, strict=True):
            # Items posted after training are not in the dataset, but keep their places.
            ranked = np.array([row_of.get(entry.item_id, NO_ITEM) for entry in answer.items], dtype=np.int32)
            scores = np.array([entry.score for entry in answer.items])
            ranks[user] = rank_in_list(ranked, scores, int(split.targets[user]), list_length)
            lists_by_user[int(user)] = ranked
    return ranks, [lists_by_user[user] for user in range(len(ranks))]


def first_places(scores: Float[np.ndarray, "user item"]) -> Int32[np.ndarray, "user place"]:
    """Item rows of the highest scores, best first; ties in row order; `NO_ITEM` where the score is -inf."""
    num_places = min(SHOWN, scores.shape[1])
    chosen = np.sort(np.argpartition(-scores, num_places - 1, axis=1)[:, :num_places], axis=1)
    chosen_scores = np.take_along_axis(scores, chosen, axis=1)
    order = np.argsort(-chosen_scores, axis=1, kind="stable")
    best = np.take_along_axis(chosen, order, axis=1).astype(np.int32)
    best[np.isneginf(np.take_along_axis(chosen_scores, order, axis=1))] = NO_ITEM
    return np.pad(best, ((0, 0), (0, SHOWN - num_places)), constant_values=NO_ITEM)


def without_seen(scores: Float[np.ndarray, "user item"], histories: ItemSequences) -> Float[np.ndarray, "user item"]:
    """Set the scores of items in each user's history to -inf."""
    masked = scores.copy()
    masked[np.repeat(np.arange(len(histories)), histories.lengths), histories.items] = -np.inf
    return masked


def save_rankings(path: Path, rankings: Rankings) -> None:
    """Write all modes to one .npz file."""
    arrays = {f"ranks_{mode}": ranking.ranks for mode, ranking in rankings.items()}
    arrays |= {f"shown_{mode}": ranking.shown for mode, ranking in rankings.items()}
    save_arrays(path, modes=np.array(list(rankings)), **arrays)


def load_rankings(path: Path) -> Rankings:
    """Read a file of `save_rankings`."""
    (modes,) = load_arrays(path, "modes")
    return {mode: Ranking(*load_arrays(path, f"ranks_{mode}", f"shown_{mode}")) for mode in modes.tolist()}
