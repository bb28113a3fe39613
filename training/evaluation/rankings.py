"""Rank every user's target among all items, and keep each user's first places. Start at `rank_with_scores`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int32, Int64

from clairo_core.items import UserHistory
from clairo_core.progress import Progress, silent
from clairo_core.ranking import NO_LIFTS, RepeatLifts
from clairo_core.recommendation import RecommendationRequest
from clairo_core.recommender import Recommender
from clairo_core.sequences import ItemSequences
from clairo_core.storage.array_file import find_array, load_arrays, save_arrays
from training.evaluation.few_scores import FewScores
from training.evaluation.item_scorer import ItemScorer
from training.evaluation.metrics import Ranks, TargetRanks, joined_ranks, rank_in_list, ranks_by_scores
from training.evaluation.split import ALLOWED, MASKED, WEIGHED, EvaluationSplit, HeldOut
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

    ranks: Ranks
    """Place of each target, from 1; 0 if it is not in the list."""
    shown: Int32[np.ndarray, "user place"]
    """Item rows of the first places."""


Rankings = dict[str, Ranking]
"""By seen-item mode."""


def rank_with_scores(
    scorer: ItemScorer, targets: HeldOut, label: str, progress: Progress[int] = silent, repeat_lift: float = -np.inf
) -> Rankings:
    """Rank by scores in every mode of `targets`; every tie counts against the target.

    Where repeats are weighed, `repeat_lift` is added to the scores of items of the history; -inf masks them.
    """
    rankings: Rankings = {}
    for first, split in targets.items():
        if first in rankings:
            continue
        # Scores are the same in every mode: each user is scored once.
        modes = [mode for mode, of_mode in targets.items() if of_mode.is_same_as(split)]
        ranks: dict[str, list[Ranks]] = {mode: [] for mode in modes}
        shown: dict[str, list[Int32[np.ndarray, "user place"]]] = {mode: [] for mode in modes}
        for users, histories, scores in scored_blocks(scorer, split.histories, f"{label}, seen {first}", progress):
            # Dislikes belong to the masked mode alone, which leaves them out like seen items.
            seen = histories
            if split.disliked is not None:
                seen = joined(histories, split.disliked.select(np.arange(users.start, users.stop)))
            for mode in modes:
                lift = lift_in(mode, repeat_lift)
                lifted = with_lift(scores, seen, lift)
                allowed, masked = ranks_by_scores(lifted, split.targets_of(users), seen)
                ranks[mode].append(masked if np.isneginf(lift) else allowed)
                shown[mode].append(first_places(lifted))
        for mode in modes:
            rankings[mode] = Ranking(joined_ranks(ranks[mode]), np.concatenate(shown[mode]))
    return {mode: rankings[mode] for mode in targets}


def rank_with_recommender(
    recommender: Recommender,
    item_ids: Sequence[str],
    targets: HeldOut,
    label: str,
    progress: Progress[int],
    repeat_lift: float = -np.inf,
) -> Rankings:
    """Rank by the recommender's lists in every mode of `targets`; a target beyond the end of a list is a miss.

    The recommender's own lifts are left out. Where repeats are weighed, `repeat_lift` takes their place; -inf masks.
    """
    rankings: Rankings = {}
    for mode, split in targets.items():
        lift = lift_in(mode, repeat_lift)
        equal = [ranked for ranked in rankings if lift_in(ranked, repeat_lift) == lift]
        twin = next((ranked for ranked in equal if split.is_same_as(targets[ranked])), None)
        if twin is not None:
            rankings[mode] = rankings[twin]
            continue
        is_masked = np.isneginf(lift)
        lifted = recommender.with_repeat_lifts(NO_LIFTS if is_masked else RepeatLifts(lift, lift, lift))
        ranks, lists = generated_ranks(lifted, item_ids, split, not is_masked, f"{label}, seen {mode}", progress)
        shown = np.full((len(lists), SHOWN), NO_ITEM, dtype=np.int32)
        for user, ranked in enumerate(lists):
            shown[user, : len(ranked[:SHOWN])] = ranked[:SHOWN]
        rankings[mode] = Ranking(ranks, shown)
    return rankings


def lift_in(mode: str, repeat_lift: float) -> float:
    """What is added to the scores of items of the history in this mode; -inf leaves them out."""
    return {ALLOWED: 0.0, WEIGHED: repeat_lift, MASKED: -np.inf}[mode]


def generated_ranks(
    recommender: Recommender,
    item_ids: Sequence[str],
    split: EvaluationSplit,
    include_seen: bool,
    label: str,
    progress: Progress[int] = silent,
    list_length: int = LIST_LENGTH,
) -> tuple[Ranks, list[Int32[np.ndarray, "place"]]]:
    """Rank each user's targets in the recommender's list, ties against them. Returns ranks, and lists of item rows."""
    row_of = {item_id: row for row, item_id in enumerate(item_ids)}
    targets, users_of_targets = split.target_items, split.users_of_targets
    ranks = np.zeros(len(targets), dtype=np.int64)
    first = np.searchsorted(users_of_targets, np.arange(len(split.targets) + 1))
    lists_by_user: dict[int, Int32[np.ndarray, place]] = {}
    for users, histories in batches_by_length(split.histories, item_ids, label, progress):
        answers = recommender.recommend_batch(
            requests_of(split, users, histories, item_ids, list_length, include_seen=include_seen)
        )
        for user, answer in zip(users, answers, strict=True):
            # Items posted after training are not in the dataset, but keep their places.
            ranked = np.array([row_of.get(entry.item_id, NO_ITEM) for entry in answer.items], dtype=np.int32)
            scores = np.array([entry.score for entry in answer.items])
            for place in range(first[user], first[user + 1]):
                ranks[place] = rank_in_list(ranked, scores, int(targets[place]), list_length)
            lists_by_user[int(user)] = ranked
    return split.ranks_from(ranks), [lists_by_user[user] for user in range(len(split.targets))]


def requests_of(
    split: EvaluationSplit,
    users: Int64[np.ndarray, "user"],
    histories: Sequence[UserHistory],
    item_ids: Sequence[str],
    limit: int,
    *,
    include_seen: bool = False,
) -> list[RecommendationRequest]:
    """The requests that the service would make for some users, dislikes included.

    Args:
        split: its dislikes.
        users: rows of the split.
        histories: of these users.
        item_ids: item id per row.
        limit: length of the lists.
        include_seen: whether items of the history may be listed.
    """
    disliked = [() if split.disliked is None else split.disliked[user] for user in users.tolist()]
    return [
        RecommendationRequest(
            history=history, limit=limit, include_seen=include_seen, disliked=[item_ids[row] for row in of_user]
        )
        for history, of_user in zip(histories, disliked, strict=True)
    ]


def first_places(scores: Float[np.ndarray, "user item"] | FewScores) -> Int32[np.ndarray, "user place"]:
    """Item rows of the highest scores, best first; ties in row order; `NO_ITEM` where the score is -inf."""
    if isinstance(scores, FewScores):
        places = np.full((scores.shape[0], SHOWN), NO_ITEM, dtype=np.int32)
        for user, of_user in enumerate(places):
            rows, of_rows = scores.best(user, SHOWN)
            of_user[: len(rows)] = np.where(np.isneginf(of_rows), NO_ITEM, rows)
        return places
    num_places = min(SHOWN, scores.shape[1])
    chosen = np.sort(np.argpartition(-scores, num_places - 1, axis=1)[:, :num_places], axis=1)
    chosen_scores = np.take_along_axis(scores, chosen, axis=1)
    order = np.argsort(-chosen_scores, axis=1, kind="stable")
    best = np.take_along_axis(chosen, order, axis=1).astype(np.int32)
    best[np.isneginf(np.take_along_axis(chosen_scores, order, axis=1))] = NO_ITEM
    return np.pad(best, ((0, 0), (0, SHOWN - num_places)), constant_values=NO_ITEM)


def with_lift(
    scores: Float[np.ndarray, "user item"] | FewScores, histories: ItemSequences, repeat_lift: float
) -> Float[np.ndarray, "user item"] | FewScores:
    """Add `repeat_lift` to the scores of items in each user's history, once each."""
    if isinstance(scores, FewScores):
        return scores.with_lift(histories, repeat_lift)
    lifted = scores.astype(np.float64)
    lifted[np.repeat(np.arange(len(histories)), histories.lengths), histories.items] += repeat_lift
    return lifted


def joined(histories: ItemSequences, disliked: ItemSequences) -> ItemSequences:
    """Each user's items of both."""
    both, users = (histories, disliked), np.arange(len(histories))
    user_of = np.concatenate([np.repeat(users, sequences.lengths) for sequences in both])
    items = np.concatenate([sequences.items for sequences in both])
    return ItemSequences.from_lengths(items[np.argsort(user_of, kind="stable")], histories.lengths + disliked.lengths)


def save_rankings(path: Path, rankings: Rankings) -> None:
    """Write all modes to one .npz file."""
    arrays = {f"shown_{mode}": ranking.shown for mode, ranking in rankings.items()}
    for mode, ranking in rankings.items():
        ranks = ranking.ranks
        if isinstance(ranks, TargetRanks):
            arrays |= {f"ranks_{mode}": ranks.places, f"num_targets_{mode}": ranks.num_targets}
        else:
            arrays[f"ranks_{mode}"] = ranks
    save_arrays(path, modes=np.array(list(rankings)), **arrays)


def load_rankings(path: Path) -> Rankings:
    """Read a file of `save_rankings`."""
    (modes,) = load_arrays(path, "modes")
    rankings: Rankings = {}
    for mode in modes.tolist():
        ranks, shown = load_arrays(path, f"ranks_{mode}", f"shown_{mode}")
        num_targets = find_array(path, f"num_targets_{mode}")
        rankings[mode] = Ranking(ranks if num_targets is None else TargetRanks(ranks, num_targets), shown)
    return rankings
