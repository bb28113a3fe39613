"""Turn the ranks of users' targets into Recall and NDCG with bootstrap intervals.

A rank is 1 for the first place, and 0 for a target that is not in the list. A user with several targets counts once.
Independent of models.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Int, Int64

from clairo_core.sequences import ItemSequences
from training.evaluation.few_scores import FewScores

RECALL_CUTOFFS = (5, 10, 20, 50)
NDCG_CUTOFFS = (5, 10, 20)
FEWEST_TARGETS = 20
"""With fewer, luck decides which ranker is better, and an interval says nothing."""
RESAMPLES_PER_BLOCK = 100
"""Bounds the memory of the draws: 14 MB with 17,000 users."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure: the mean over users and its 95% bootstrap interval."""

    name: str
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, eq=False)
class TargetRanks:
    """The ranks of several targets per user, at least one."""

    places: Int64[np.ndarray, "target"]
    """One user's targets after another's."""
    num_targets: Int64[np.ndarray, "user"]

    def __len__(self) -> int:
        return len(self.num_targets)

    def __getitem__(self, is_kept: Bool[np.ndarray, "target"]) -> "TargetRanks":
        """The ranks of some targets, and the users who have one of them."""
        users = np.repeat(np.arange(len(self)), self.num_targets)[is_kept]
        return TargetRanks(self.places[is_kept], np.unique(users, return_counts=True)[1])

    def sums(self, values: Float[np.ndarray, "target"]) -> Float[np.ndarray, "user"]:
        """The sum over each user's targets."""
        users = np.repeat(np.arange(len(self)), self.num_targets)
        summed: Float[np.ndarray, "user"] = np.bincount(users, weights=values, minlength=len(self))
        return summed


Ranks: TypeAlias = Int64[np.ndarray, "user"] | TargetRanks
"""Of one target per user, or of several."""


def recall_at(ranks: Ranks, cutoff: int) -> Float[np.ndarray, "user"]:
    """The share of a user's targets among the first `cutoff`; with one target per user, the hit rate."""
    if isinstance(ranks, TargetRanks):
        found: Float[np.ndarray, "user"] = ranks.sums(recall_at(ranks.places, cutoff)) / ranks.num_targets
        return found
    is_hit: Float[np.ndarray, "user"] = ((ranks >= 1) & (ranks <= cutoff)).astype(np.float64)
    return is_hit


def ndcg_at(ranks: Ranks, cutoff: int) -> Float[np.ndarray, "user"]:
    """1 / log2(1 + rank) where the target is among the first `cutoff`, else 0.

    Of several targets: the sum, divided by that of the best list, which has min(cutoff, targets) of them in front.

    >>> ndcg_at(np.array([1, 3, 0, 11]), 10).round(3).tolist()
    [1.0, 0.5, 0.0, 0.0]
    >>> ndcg_at(TargetRanks(np.array([1, 2, 1, 0]), np.array([2, 2])), 10).round(3).tolist()
    [1.0, 0.613]
    """
    if isinstance(ranks, TargetRanks):
        best = np.cumsum(ndcg_at(np.arange(1, cutoff + 1), cutoff))
        gained: Float[np.ndarray, "user"] = ranks.sums(ndcg_at(ranks.places, cutoff))
        gained /= best[np.minimum(ranks.num_targets, cutoff) - 1]
        return gained
    hit = recall_at(ranks, cutoff)
    discounted: Float[np.ndarray, "user"] = hit / np.log2(1.0 + np.maximum(ranks, 1))
    return discounted


def places_of(ranks: Ranks) -> Int64[np.ndarray, "target"]:
    """The rank of every target, one user's after another's."""
    return ranks.places if isinstance(ranks, TargetRanks) else ranks


def joined_ranks(parts: Sequence[Ranks]) -> Ranks:
    """The ranks of all parts' users, in order."""
    places = np.concatenate([places_of(part) for part in parts])
    several = [part.num_targets for part in parts if isinstance(part, TargetRanks)]
    return TargetRanks(places, np.concatenate(several)) if several else places


METRICS: dict[str, Callable[[Ranks], Float[np.ndarray, "user"]]] = {
    **{f"recall@{cutoff}": partial(recall_at, cutoff=cutoff) for cutoff in RECALL_CUTOFFS},
    **{f"ndcg@{cutoff}": partial(ndcg_at, cutoff=cutoff) for cutoff in NDCG_CUTOFFS},
}
"""Every metric of the protocol: ranks to one value per user."""


def rank_in_list(
    ranked_rows: Int[np.ndarray, "place"], scores: Float[np.ndarray, "place"], target: int, list_length: int
) -> int:
    """Place of `target` in a best-first list, from 1, behind all items of equal score; 0 if it is not there.

    A list of `list_length` items may end inside a tie: a target in that tie counts as beyond the end.

    >>> rank_in_list(np.array([5, 3, 8]), np.array([0.5, 0.2, 0.2]), 3, list_length=10)
    3
    >>> rank_in_list(np.array([5, 3, 8]), np.array([0.5, 0.2, 0.2]), 3, list_length=3)
    0
    """
    places = np.flatnonzero(ranked_rows == target)
    if not len(places):
        return 0
    differs = np.flatnonzero(scores[places[0] :] != scores[places[0]])
    last = places[0] + (differs[0] if len(differs) else len(ranked_rows) - places[0]) - 1
    is_tied = last > places[0] or (places[0] > 0 and scores[places[0] - 1] == scores[places[0]])
    return 0 if is_tied and last == list_length - 1 else int(last) + 1


def ranks_by_scores(
    scores: Float[np.ndarray, "user item"] | FewScores,
    targets: Int[np.ndarray, "user"] | ItemSequences,
    histories: ItemSequences,
) -> tuple[Ranks, Ranks]:
    """Rank each user's target, or all targets of each user, among all items, seen items allowed, then masked.

    Every tie counts against the target; a masked target has rank 0.
    """
    if isinstance(scores, FewScores):
        if not isinstance(targets, ItemSequences):
            return scores.ranks(ItemSequences.from_lengths(targets, np.ones(len(targets), dtype=np.int64)), histories)
        of_modes = scores.ranks(targets, histories)
        return TargetRanks(of_modes[0], targets.lengths), TargetRanks(of_modes[1], targets.lengths)
    if isinstance(targets, ItemSequences):
        return _ranks_of_several(scores, targets, histories)
    users = np.arange(len(targets))
    is_before = scores >= scores[users, targets][:, None]
    allowed = np.count_nonzero(is_before, axis=1)
    is_before[np.repeat(users, histories.lengths), histories.items] = False
    masked = np.count_nonzero(is_before, axis=1) * is_before[users, targets]
    return allowed, masked


def _ranks_of_several(
    scores: Float[np.ndarray, "user item"], targets: ItemSequences, histories: ItemSequences
) -> tuple[TargetRanks, TargetRanks]:
    allowed, masked = np.zeros(len(targets.items), dtype=np.int64), np.zeros(len(targets.items), dtype=np.int64)
    for user, wanted in enumerate(targets):
        of_user = slice(targets.offsets[user], targets.offsets[user + 1])
        own, seen = scores[user, wanted], np.unique(histories[user])
        # As many items score lower as stand before the first equal one in ascending order.
        allowed[of_user] = scores.shape[1] - np.searchsorted(np.sort(scores[user]), own)
        num_seen_before = len(seen) - np.searchsorted(np.sort(scores[user, seen]), own)
        masked[of_user] = (allowed[of_user] - num_seen_before) * ~np.isin(wanted, seen)
    return TargetRanks(allowed, targets.lengths), TargetRanks(masked, targets.lengths)


def summarize(ranks: Ranks, num_resamples: int, seed: int = 0) -> list[Metric]:
    """Recall and NDCG at every cutoff of the protocol, with bootstrap intervals over users."""
    columns = {name: metric(ranks) for name, metric in METRICS.items()}
    lows, highs = bootstrap_interval(np.stack(list(columns.values()), axis=1), num_resamples, seed)
    return [
        Metric(name, float(values.mean()), float(low), float(high))
        for (name, values), low, high in zip(columns.items(), lows, highs, strict=True)
    ]


def bootstrap_interval(
    values: Float[np.ndarray, "user column"], num_resamples: int, seed: int
) -> tuple[Float[np.ndarray, "column"], Float[np.ndarray, "column"]]:
    """The 2.5% and 97.5% quantiles of the column means, users resampled with replacement."""
    random = np.random.default_rng(seed)
    num_users = len(values)
    means = np.empty((num_resamples, values.shape[1]))
    for start in range(0, num_resamples, RESAMPLES_PER_BLOCK):
        block = means[start : start + RESAMPLES_PER_BLOCK]
        # Draw counts per user instead of users: one matrix product then gives all resampled means.
        draws = random.multinomial(num_users, np.full(num_users, 1.0 / num_users), size=len(block))
        block[:] = draws.astype(np.float64) @ values / num_users
    return np.quantile(means, 0.025, axis=0), np.quantile(means, 0.975, axis=0)


def paired_difference(
    better: Float[np.ndarray, "user"], worse: Float[np.ndarray, "user"], num_resamples: int, seed: int = 0
) -> Metric:
    """Mean difference over the same users, with its interval: significant if the interval excludes zero."""
    difference = better - worse
    low, high = bootstrap_interval(difference[:, None], num_resamples, seed)
    return Metric("difference", float(difference.mean()), float(low[0]), float(high[0]))
