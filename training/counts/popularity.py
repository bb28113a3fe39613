"""Rank by training counts, the same for every user."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from clairo_core.sequences import ItemSequences


def count_popularity(training: ItemSequences, num_items: int) -> Int[np.ndarray, "item"]:
    """How often each item occurs in the training sequences."""
    return np.bincount(training.items, minlength=num_items).astype(np.int64)


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
