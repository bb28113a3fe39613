"""Rank by scores of a few items per user, where all others score the same for everybody. Start at `FewScores.ranks`.

A place is the number of items that score as much or more: a user's own scores are counted one by one, all others found
in the order that is sorted once. Cost and memory follow the own scores, not users x items. Results equal those of
`ranks_by_scores`, `with_lift` and `first_places` on `dense`.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64, Int64
from scipy import sparse

from clairo_core.sequences import ItemSequences
from training.evaluation.few_scores_kernels import count_before
from training.evaluation.item_scorer import ItemScorer


@dataclass(frozen=True, slots=True, eq=False)
class SharedScores:
    """What every item scores for a user without an own score of it."""

    values: Float64[np.ndarray, "item"]
    ascending: Float64[np.ndarray, "item"]
    best_first: Int64[np.ndarray, "item"]
    """Item rows; ties in row order."""


def shared_scores(values: Float64[np.ndarray, "item"]) -> SharedScores:
    """Sort the scores, once for all users."""
    best_first = np.argsort(-values, kind="stable")
    return SharedScores(values, values[best_first[::-1]], best_first)


@dataclass(frozen=True, slots=True, eq=False)
class FewScores:
    """Scores of all items for some users."""

    own: sparse.csr_matrix
    """Each user's own scores, float64. An item without an entry has its shared score."""
    shared: SharedScores

    @property
    def shape(self) -> tuple[int, int]:
        """Users, items."""
        num_users, num_items = self.own.shape
        return num_users, num_items

    def dense(self) -> Float64[np.ndarray, "user item"]:
        """The same, users by items."""
        scores = np.tile(self.shared.values, (self.own.shape[0], 1))
        scores[_rows_of(self.own), self.own.indices] = self.own.data
        return scores

    def with_lift(self, histories: ItemSequences, repeat_lift: float) -> "FewScores":
        """Add `repeat_lift` to the scores of items in each user's history, once each."""
        if repeat_lift == 0:
            return self
        num_users, num_items = self.shape
        seen = np.unique(np.repeat(np.arange(num_users), histories.lengths) * num_items + histories.items)
        self.own.sort_indices()
        keys = _rows_of(self.own) * num_items + self.own.indices
        places = np.searchsorted(keys, seen)
        is_own = places < len(keys)
        is_own[is_own] = keys[places[is_own]] == seen[is_own]
        scores = self.own.data.copy()
        scores[places[is_own]] += repeat_lift
        users, items = np.divmod(seen[~is_own], num_items)
        own = sparse.csr_matrix(
            (
                np.insert(scores, places[~is_own], self.shared.values[items] + repeat_lift),
                np.insert(self.own.indices, places[~is_own], items),
                self.own.indptr + np.concatenate([[0], np.cumsum(np.bincount(users, minlength=num_users))]),
            ),
            self.shape,
        )
        return FewScores(own, self.shared)

    def ranks(
        self, targets: ItemSequences, histories: ItemSequences
    ) -> tuple[Int64[np.ndarray, "target"], Int64[np.ndarray, "target"]]:
        """Place each user's targets among all items: seen items allowed, then masked.

        Every tie counts against the target; a masked target has rank 0.
        """
        allowed, masked = np.zeros((2, len(targets.items)), dtype=np.int64)
        count_before(
            self.own.indptr.astype(np.int64),
            self.own.indices.astype(np.int32),
            self.own.data,
            self.shared.values,
            self.shared.ascending,
            targets.offsets,
            targets.items,
            histories.offsets,
            histories.items,
            allowed,
            masked,
        )
        return allowed, masked

    def best(self, user: int, count: int) -> tuple[Int64[np.ndarray, "place"], Float64[np.ndarray, "place"]]:
        """Item rows of the user's highest scores, best first, and the scores; ties in row order."""
        begin, end = self.own.indptr[user], self.own.indptr[user + 1]
        rows, scores = self.own.indices[begin:end].astype(np.int64), self.own.data[begin:end]
        others = self.shared.best_first[: count + len(rows)]
        others = others[~np.isin(others, rows, assume_unique=True)][:count]
        if len(rows) > count:
            is_high = scores >= np.partition(scores, len(scores) - count)[len(scores) - count]
            rows, scores = rows[is_high], scores[is_high]
        rows, scores = np.concatenate([rows, others]), np.concatenate([scores, self.shared.values[others]])
        best_first = np.lexsort((rows, -scores))[:count]
        return rows[best_first], scores[best_first]


@runtime_checkable
class FewItemsScorer(ItemScorer, Protocol):
    """A scorer with own scores of few items per user."""

    def few_scores(self, histories: ItemSequences) -> FewScores:
        """What `scores` gives, as own and shared scores."""
        ...


def scores_above(own: sparse.csr_matrix, shared: SharedScores) -> FewScores:
    """Add each user's own summands to the shared scores; `own` is changed."""
    own.data = own.data + shared.values[own.indices]
    return FewScores(own, shared)


def _rows_of(matrix: sparse.csr_matrix) -> Int64[np.ndarray, "entry"]:
    return np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
