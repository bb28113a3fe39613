"""Rank by training counts, the same for every user.

The published baseline counts interactions. The popular list of a bundle counts users, of late more than of old, so that
one visitor's views top nobody's list. Both count by weight.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Float32, Float64, Int64, Real
from scipy import sparse

from clairo_core.sequences import ItemSequences
from training.datasets.event_times import MAX_AHEAD_DAYS
from training.datasets.user_sequences import UnreadEvents
from training.evaluation.few_scores import FewScores, SharedScores, shared_scores

HALF_LIFE_DAYS = 90.0
"""A season: what sold last Christmas is no bestseller in spring."""


def count_interactions(training: ItemSequences, num_items: int) -> Int64[np.ndarray, "item"]:
    """How often each item occurs in the training sequences."""
    return np.bincount(training.items, minlength=num_items).astype(np.int64)


def count_popularity(training: ItemSequences, num_items: int) -> Real[np.ndarray, "item"]:
    """The weight of each item's interactions in the training sequences: their number where none are weighted."""
    if training.weights is None:
        return count_interactions(training, num_items)
    return np.bincount(training.items, weights=training.weights, minlength=num_items)


def user_popularity(
    training: ItemSequences,
    num_items: int,
    whole: ItemSequences,
    days: Float32[np.ndarray, "interaction"] | None,
    today: float,
    unread: UnreadEvents | None = None,
) -> Float64[np.ndarray, "item"]:
    """How many users have each item in training; a user counts half for every `HALF_LIFE_DAYS` since the last time.

    A user counts as much as his heaviest interaction with the item.

    Args:
        training: sequences, one per user.
        num_items: length of the result.
        whole: the same users' sequences that `days` belong to.
        days: since 1970; None counts every user fully.
        today: in days since 1970. An event further ahead counts as the newest of the others.
        unread: further events, of these users first. They count unless the user's others on the item are held out.
    """
    all_pairs, all_weights = pairs_of(training, num_items), training.each_weight
    whole_pairs = pairs_of(whole, num_items)
    if unread is not None:
        unread_pairs = pairs_of(unread.items, num_items)
        counts = ~np.isin(unread_pairs, whole_pairs) | np.isin(unread_pairs, all_pairs)
        all_pairs = np.concatenate([all_pairs, unread_pairs[counts]])
        all_weights = np.concatenate([all_weights, unread.items.each_weight[counts]])
        whole_pairs = np.concatenate([whole_pairs, unread_pairs])
        days = None if days is None or unread.days is None else np.concatenate([days, unread.days])
    pairs, weights = heaviest_of_each(all_pairs, all_weights)
    if days is not None and len(days):
        known, last = _last_days(whole_pairs, days)
        is_ahead = days > today + MAX_AHEAD_DAYS
        newest = float(days[~is_ahead].max()) if not is_ahead.all() else float(days.max())
        ages = np.maximum(newest - last[np.searchsorted(known, pairs)].astype(np.float64), 0.0)
        weights = weights * 0.5 ** (ages / HALF_LIFE_DAYS)
    popularity: Float64[np.ndarray, "item"] = np.bincount(pairs % num_items, weights=weights, minlength=num_items)
    return popularity


def heaviest_of_each(
    pairs: Int64[np.ndarray, "interaction"], weights: Float64[np.ndarray, "interaction"]
) -> tuple[Int64[np.ndarray, "pair"], Float64[np.ndarray, "pair"]]:
    """Each pair once, ascending, and its largest weight."""
    order = np.lexsort((weights, pairs))
    is_last = np.append(pairs[order][1:] != pairs[order][:-1], True)[: len(pairs)]
    return pairs[order][is_last], weights[order][is_last]


def pairs_of(sequences: ItemSequences, num_items: int) -> Int64[np.ndarray, "interaction"]:
    """One number per pair of user and item."""
    users = np.repeat(np.arange(len(sequences)), sequences.lengths)
    pairs: Int64[np.ndarray, "interaction"] = users * num_items + sequences.items
    return pairs


def _last_days(
    pairs: Int64[np.ndarray, "interaction"], days: Float32[np.ndarray, "interaction"]
) -> tuple[Int64[np.ndarray, "pair"], Float32[np.ndarray, "pair"]]:
    """All pairs, ascending, and the day of each one's last interaction."""
    order = np.lexsort((days, pairs))
    is_last = np.append(pairs[order][1:] != pairs[order][:-1], True)
    return pairs[order][is_last], days[order][is_last]


@dataclass(frozen=True, eq=False)
class Popularity:
    """Training counts as a scorer."""

    training_counts: Real[np.ndarray, "item"]

    def scores(self, histories: ItemSequences) -> Float[np.ndarray, "user item"]:
        """The same for every user."""
        return np.broadcast_to(self.training_counts.astype(np.float64), (len(histories), len(self.training_counts)))

    def few_scores(self, histories: ItemSequences) -> FewScores:
        """The same: no user has own scores."""
        return FewScores(sparse.csr_matrix((len(histories), len(self.training_counts))), self._shared)

    @cached_property
    def _shared(self) -> SharedScores:
        return shared_scores(self.training_counts.astype(np.float64))
