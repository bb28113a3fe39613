"""Rank by training counts, the same for every user.

The published baseline counts interactions. The popular list of a bundle counts users, of late more than of old, so that
one visitor's views top nobody's list.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Float64, Int, Int64

from clairo_core.sequences import ItemSequences
from training.datasets.event_times import MAX_AHEAD_DAYS

HALF_LIFE_DAYS = 90.0
"""A season: what sold last Christmas is no bestseller in spring."""


def count_popularity(training: ItemSequences, num_items: int) -> Int[np.ndarray, "item"]:
    """How often each item occurs in the training sequences."""
    return np.bincount(training.items, minlength=num_items).astype(np.int64)


def user_popularity(
    training: ItemSequences,
    num_items: int,
    whole: ItemSequences,
    days: Float32[np.ndarray, "interaction"] | None,
    today: float,
) -> Float64[np.ndarray, "item"]:
    """How many users have each item in training; a user counts half for every `HALF_LIFE_DAYS` since the last time.

    Args:
        training: sequences, one per user.
        num_items: length of the result.
        whole: the same users' sequences that `days` belong to.
        days: since 1970; None counts every user fully.
        today: in days since 1970. An event further ahead counts as the newest of the others.
    """
    pairs = np.unique(_pairs(training, num_items))
    if days is None or not len(days):
        weights = np.ones(len(pairs))
    else:
        known, last = _last_days(whole, num_items, days)
        is_ahead = days > today + MAX_AHEAD_DAYS
        newest = float(days[~is_ahead].max()) if not is_ahead.all() else float(days.max())
        ages = np.maximum(newest - last[np.searchsorted(known, pairs)].astype(np.float64), 0.0)
        weights = 0.5 ** (ages / HALF_LIFE_DAYS)
    popularity: Float64[np.ndarray, "item"] = np.bincount(pairs % num_items, weights=weights, minlength=num_items)
    return popularity


def _pairs(sequences: ItemSequences, num_items: int) -> Int64[np.ndarray, "interaction"]:
    """One number per pair of user and item."""
    users = np.repeat(np.arange(len(sequences)), sequences.lengths)
    pairs: Int64[np.ndarray, "interaction"] = users * num_items + sequences.items
    return pairs


def _last_days(
    whole: ItemSequences, num_items: int, days: Float32[np.ndarray, "interaction"]
) -> tuple[Int64[np.ndarray, "pair"], Float32[np.ndarray, "pair"]]:
    """All pairs, ascending, and the day of each one's last interaction."""
    pairs = _pairs(whole, num_items)
    order = np.lexsort((days, pairs))
    is_last = np.append(pairs[order][1:] != pairs[order][:-1], True)
    return pairs[order][is_last], days[order][is_last]


def popularity_scores(
    training_counts: Int[np.ndarray, "item"], histories: ItemSequences
) -> Float[np.ndarray, "user item"]:
    """Each item's training count, once per user."""
    return np.broadcast_to(training_counts.astype(np.float64), (len(histories), len(training_counts)))


@dataclass(frozen=True, slots=True, eq=False)
class Popularity:
    """Training counts as a scorer."""

    training_counts: Int[np.ndarray, "item"]

    def scores(self, histories: ItemSequences) -> Float[np.ndarray, "user item"]:
        """The same for every user."""
        return popularity_scores(self.training_counts, histories)
