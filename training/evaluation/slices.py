"""Slice targets by their popularity and their users' history length, and measure how widely a ranker recommends.

Independent of rankers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Int, Real

from training.evaluation.split import EvaluationSplit

EDGES = (0, 5, 10, 20, 50)
"""Lower bounds of the groups of training counts, and of history lengths."""
TAIL = f"<{EDGES[2]}"
"""Targets of the first two groups together: counts below 5 taken as 5. Of a five-core data set every item has 5
interactions, so that a count below 5 only says how many of them are held out."""
COLD = "0"
"""Targets that training lacks. Shown for a split by time alone: in another, no cut makes items new."""


@dataclass(frozen=True, slots=True, eq=False)
class UserSlice:
    """A named group of users; with several targets per user, of targets, and each user counts with his in the group."""

    kind: str
    """`all`, `training count` of the target, or `history length`."""
    label: str
    is_in: Bool[np.ndarray, "target"]


def user_slices(split: EvaluationSplit, training_counts: Int[np.ndarray, "item"]) -> tuple[UserSlice, ...]:
    """Slice into all users, by training count of the target, and by history length; empty slices are left out.

    Slices of a kind are disjoint, except for `COLD` and `TAIL`.
    """
    slices = [UserSlice("all", "all", np.ones(len(split.target_items), dtype=np.bool_))]
    for kind, values in (
        ("training count", training_counts[split.target_items]),
        ("history length", split.histories.lengths[split.users_of_targets]),
    ):
        group_of = np.searchsorted(EDGES, values, side="right") - 1
        slices += [UserSlice(kind, label, group_of == group) for group, label in enumerate(slice_labels())]
        if kind == "training count":
            slices.insert(3, UserSlice(kind, TAIL, values < EDGES[2]))
            if split.all_targets is not None:
                slices.insert(1, UserSlice(kind, COLD, values == 0))
    return tuple(part for part in slices if part.is_in.any())


def slice_labels() -> tuple[str, ...]:
    """Names of the groups, in ascending order.

    >>> slice_labels()
    ('<5', '5-9', '10-19', '20-49', '50+')
    """
    between = [f"{low}-{high - 1}" for low, high in pairwise(EDGES[1:])]
    return (f"<{EDGES[1]}", *between, f"{EDGES[-1]}+")


@dataclass(frozen=True, slots=True)
class Breadth:
    """How widely a ranker recommends, over the first ten places of all users."""

    coverage: float
    """Share of the catalogue that at least one user is shown."""
    gini: float
    """Gini coefficient of times shown per item: 0 if all are shown equally often, near 1 if a few take all places."""
    mean_popularity: float
    """Mean training count over all places. Both are NaN for bundles of older releases, which did not keep them."""


def breadth_of(shown: Int[np.ndarray, "user place"], training_counts: Real[np.ndarray, "item"]) -> Breadth:
    """Measure breadth over the whole catalogue; places without an item (-1) are ignored."""
    items = shown[shown >= 0]
    times_shown = np.bincount(items, minlength=len(training_counts))
    mean_popularity = float(training_counts[items].mean()) if len(items) else 0.0
    return Breadth(float(np.count_nonzero(times_shown) / len(times_shown)), gini(times_shown), mean_popularity)


def mean_breadth(breadths: Sequence[Breadth]) -> Breadth:
    """Mean of each figure over the runs of one ranker."""
    figures = np.array([(breadth.coverage, breadth.gini, breadth.mean_popularity) for breadth in breadths])
    return Breadth(*figures.mean(axis=0).tolist())


def gini(counts: Int[np.ndarray, "item"]) -> float:
    """The Gini coefficient.

    >>> gini(np.array([2, 2, 2])), gini(np.array([0, 0, 0, 8]))
    (0.0, 0.75)
    """
    total = counts.sum()
    if total == 0:
        return 0.0
    ascending = np.sort(counts)
    place = np.arange(1, len(counts) + 1)
    return float(np.sum((2 * place - len(counts) - 1) * ascending) / (len(counts) * total))
