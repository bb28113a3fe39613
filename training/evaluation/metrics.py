"""Turn the ranks of users' targets into Recall and NDCG with bootstrap intervals.

A rank is 1 for the first place, and 0 for a target that is not in the list. Independent of models.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float, Int

from clairo_core.sequences import ItemSequences

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


def recall_at(ranks: Int[np.ndarray, "user"], cutoff: int) -> Float[np.ndarray, "user"]:
    """1 where the target is among the first `cutoff`, else 0; with one target per user, Recall is the hit rate."""
    is_hit: Float[np.ndarray, "user"] = ((ranks >= 1) & (ranks <= cutoff)).astype(np.float64)
    return is_hit


def ndcg_at(ranks: Int[np.ndarray, "user"], cutoff: int) -> Float[np.ndarray, "user"]:
    """1 / log2(1 + rank) where the target is among the first `cutoff`, else 0.

    >>> ndcg_at(np.array([1, 3, 0, 11]), 10).round(3).tolist()
    [1.0, 0.5, 0.0, 0.0]
    """
    hit = recall_at(ranks, cutoff)
    discounted: Float[np.ndarray, "user"] = hit / np.log2(1.0 + np.maximum(ranks, 1))
    return discounted


METRICS: dict[str, Callable[[Int[np.ndarray, "user"]], Float[np.ndarray, "user"]]] = {
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
    scores: Float[np.ndarray, "user item"], targets: Int[np.ndarray, "user"], histories: ItemSequences
) -> tuple[Int[np.ndarray, "user"], Int[np.ndarray, "user"]]:
    """Rank each user's target among all items, seen items allowed, then masked.

    Every tie counts against the target; a masked target has rank 0.
    """
    users = np.arange(len(targets))
    is_before = scores >= scores[users, targets][:, None]
    allowed = np.count_nonzero(is_before, axis=1)
    is_before[np.repeat(users, histories.lengths), histories.items] = False
    masked = np.count_nonzero(is_before, axis=1) * is_before[users, targets]
    return allowed, masked


def summarize(ranks: Int[np.ndarray, "user"], num_resamples: int, seed: int = 0) -> list[Metric]:
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
