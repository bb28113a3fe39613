"""Pairs of items whose codes agree: all of them, or a uniform sample. Start at `pairs_within`."""

import numpy as np
from jaxtyping import Int, Int64

MOST_PAIRS = 50_000
"""Enough for an error of a third of a percent of a share of one half."""


def pairs_within(
    groups: Int[np.ndarray, "item"], random: np.random.Generator, most: int = MOST_PAIRS
) -> tuple[Int64[np.ndarray, "pair"], Int64[np.ndarray, "pair"]]:
    """Rows of both items of pairs in the same group: every pair once, or `most` drawn uniformly with replacement.

    >>> [rows.tolist() for rows in pairs_within(np.array([7, 3, 7, 7]), np.random.default_rng(0))]
    [[0, 0, 2], [2, 3, 3]]
    """
    order = np.argsort(groups, kind="stable")
    _, starts, sizes = np.unique(groups[order], return_index=True, return_counts=True)
    start, size = np.repeat(starts, sizes), np.repeat(sizes, sizes)
    place = np.arange(len(order)) - start
    later = size - 1 - place
    if later.sum() <= most:
        first = np.repeat(np.arange(len(order)), later)
        ahead = np.arange(len(first)) - np.repeat(np.cumsum(later) - later, later)
        return order[first], order[first + 1 + ahead]
    # An item is in size - 1 pairs; the other item is one of as many.
    cumulated = np.cumsum(size - 1)
    chosen = np.searchsorted(cumulated, random.integers(cumulated[-1], size=most), side="right")
    steps = 1 + random.integers(size[chosen] - 1)
    return order[chosen], order[start[chosen] + (place[chosen] + steps) % size[chosen]]


def num_pairs(groups: Int[np.ndarray, "item"]) -> int:
    """How many pairs of items are in the same group."""
    sizes = np.bincount(groups).astype(np.int64)
    return int((sizes * (sizes - 1) // 2).sum())
