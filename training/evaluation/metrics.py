"""Turn the ranks of users' targets into Recall and NDCG with intervals.

Knows ranks and users; knows nothing of models. A rank is 1 for the first place and 0 for "not in the list".
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Bool, Float, Int

from clairo_core.sequences import ItemSequences

RECALL_CUTOFFS = (5, 10, 20, 50)
NDCG_CUTOFFS = (5, 10, 20)
RESAMPLES_A_BLOCK = 100
"""Resamples whose draws are held at once: 14 MB with 17,000 users."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure: the mean over users and its 95% bootstrap interval."""

    name: str
    value: float
    low: float
    high: float


def recall_at(ranks: Int[np.ndarray, "user"], cutoff: int) -> Float[np.ndarray, "user"]:
    """1 where the target is among the first `cutoff`, else 0 (one target a user, so Recall is the hit rate)."""
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
"""Every metric of the protocol, from ranks to a value for each user."""


def rank_in_list(ranked_rows: Int[np.ndarray, "place"], target: int) -> int:
    """Place of `target` in a best-first list, from 1; 0 if it is not there."""
    places = np.flatnonzero(ranked_rows == target)
    return int(places[0]) + 1 if len(places) else 0


def rank_by_score(scores: Float[np.ndarray, "item"], target: int, is_allowed: Bool[np.ndarray, "item"]) -> int:
    """Place of `target` among the allowed items, every tie counted against it; 0 if it is not allowed."""
    if not is_allowed[target]:
        return 0
    return int(np.count_nonzero(is_allowed & (scores >= scores[target])))


def ranks_by_scores(
    scores: Float[np.ndarray, "user item"], targets: Int[np.ndarray, "user"], histories: ItemSequences
) -> tuple[Int[np.ndarray, "user"], Int[np.ndarray, "user"]]:
    """`rank_by_score` of every user at once: seen items allowed, then masked."""
    users = np.arange(len(targets))
    is_before = scores >= scores[users, targets][:, None]
    allowed = np.count_nonzero(is_before, axis=1)
    is_before[np.repeat(users, histories.lengths), histories.items] = False
    # A target that is masked itself is a miss.
    masked = np.count_nonzero(is_before, axis=1) * is_before[users, targets]
    return allowed, masked


def summarize(ranks: Int[np.ndarray, "user"], num_resamples: int, seed: int = 0) -> list[Metric]:
    """Recall and NDCG at every cutoff of the protocol, users resampled with replacement for the intervals."""
    columns = {name: metric(ranks) for name, metric in METRICS.items()}
    lows, highs = bootstrap_interval(np.stack(list(columns.values()), axis=1), num_resamples, seed)
    return [
        Metric(name, float(values.mean()), float(low), float(high))
        for (name, values), low, high in zip(columns.items(), lows, highs, strict=True)
    ]


def bootstrap_interval(
    values: Float[np.ndarray, "user column"], num_resamples: int, seed: int
) -> tuple[Float[np.ndarray, "column"], Float[np.ndarray, "column"]]:
    """The 2.5% and 97.5% points of the columns' means over users resampled with replacement."""
    random = np.random.default_rng(seed)
    num_users = len(values)
    means = np.empty((num_resamples, values.shape[1]))
    for start in range(0, num_resamples, RESAMPLES_A_BLOCK):
        block = means[start : start + RESAMPLES_A_BLOCK]
        # How often each user is drawn, not which: one matrix product gives every resampled mean.
        draws = random.multinomial(num_users, np.full(num_users, 1.0 / num_users), size=len(block))
        block[:] = draws.astype(np.float64) @ values / num_users
    return np.quantile(means, 0.025, axis=0), np.quantile(means, 0.975, axis=0)


def paired_difference(
    better: Float[np.ndarray, "user"], worse: Float[np.ndarray, "user"], num_resamples: int, seed: int = 0
) -> Metric:
    """Mean difference over the same users, with its interval: clear of zero means that it is no accident."""
    difference = better - worse
    low, high = bootstrap_interval(difference[:, None], num_resamples, seed)
    return Metric("difference", float(difference.mean()), float(low[0]), float(high[0]))


def value_of(metrics: Sequence[Metric], name: str) -> float:
    """The figure called `name`."""
    return next(metric.value for metric in metrics if metric.name == name)
