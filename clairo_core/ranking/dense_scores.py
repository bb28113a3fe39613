"""One history's log-probabilities by the dense heads, of any items, and its best items: exact, or by an index."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from clairo_core.ranking.allowed_items import AllowedItems
from clairo_core.ranking.best_items import best_items, best_of
from clairo_core.ranking.dense_index import DenseIndex

SPARE = 1.25
"""So many times the wanted items are asked of an index, since its 8-bit products err."""

FEW = 0.05
"""A mask of a smaller share of the items is scored item by item."""


class DenseScores(Protocol):
    """Of one history."""

    def of(self, item_rows: Int64[np.ndarray, "some"]) -> Float32[np.ndarray, "some"]:
        """Log-probabilities of these items."""

    def best(
        self, num_of_all: int, num_allowed: int, allowed: AllowedItems, lifts: Float64[np.ndarray, "item"] | None
    ) -> tuple[Int64[np.ndarray, "best_of_all"], Int64[np.ndarray, "best"]]:
        """The best of all items, and of the allowed ones after lifts."""


@dataclass(frozen=True, eq=False)
class ExactScores:
    """Of every item."""

    of_all: Float32[np.ndarray, "item"]

    def of(self, item_rows: Int64[np.ndarray, "some"]) -> Float32[np.ndarray, "some"]:
        """Log-probabilities of these items."""
        of_some: Float32[np.ndarray, "some"] = self.of_all[item_rows]
        return of_some

    def best(
        self, num_of_all: int, num_allowed: int, allowed: AllowedItems, lifts: Float64[np.ndarray, "item"] | None
    ) -> tuple[Int64[np.ndarray, "best_of_all"], Int64[np.ndarray, "best"]]:
        """The best of all items, and of the allowed ones after lifts."""
        listed, of_all = best_items(self.of_all, num_allowed, allowed, num_of_all)
        if lifts is not None:
            listed = best_of(self.of_all + lifts, np.flatnonzero(allowed.by_row()), num_allowed)
        return of_all, listed


@dataclass(frozen=True, eq=False)
class IndexedScores:
    """Of what an index finds, and of items that it does not hold.

    Products are exact. The sum over all items, which only shifts log-probabilities, is that of the found items and an
    estimate of the rest.
    """

    queries: tuple[Float32[np.ndarray, "dim"], ...]
    """By head; divided by their number."""
    vectors: tuple[Float32[np.ndarray, "item dim"], ...]
    index: DenseIndex
    found: Int64[np.ndarray, "found"]
    """What the index finds for these queries."""
    not_indexed: Int64[np.ndarray, "other"]
    """Items posted or changed since."""

    def products(self, item_rows: Int64[np.ndarray, "some"]) -> Float32[np.ndarray, "some"]:
        """Sum over heads."""
        return summed(self.queries, [of_head[item_rows] for of_head in self.vectors])

    @cached_property
    def candidates(self) -> Int64[np.ndarray, "candidate"]:
        """Found items and those not in the index, ascending."""
        return np.union1d(self.found, self.not_indexed)

    @cached_property
    def of_candidates(self) -> Float32[np.ndarray, "candidate"]:
        """Their products."""
        return self.products(self.candidates)

    @cached_property
    def log_sum(self) -> np.float32:
        """Log of the sum of exponentials over all items: of the candidates, and of a sample of the others."""
        is_other = ~np.isin(self.index.sample, self.candidates, assume_unique=True)
        of_others = summed(self.queries, self.index.sampled)[is_other]
        highest = max(self.of_candidates.max(initial=-np.inf), of_others.max(initial=-np.inf))
        num_others = len(self.vectors[0]) - len(self.candidates)
        total = np.exp(self.of_candidates - highest).sum(dtype=np.float64)
        total += num_others / max(len(of_others), 1) * np.exp(of_others - highest).sum(dtype=np.float64)
        return np.float32(highest + np.log(total))

    def of(self, item_rows: Int64[np.ndarray, "some"]) -> Float32[np.ndarray, "some"]:
        """Log-probabilities of these items."""
        log_probabilities: Float32[np.ndarray, "some"] = self.products(item_rows) - self.log_sum
        return log_probabilities

    def best(
        self, num_of_all: int, num_allowed: int, allowed: AllowedItems, lifts: Float64[np.ndarray, "item"] | None
    ) -> tuple[Int64[np.ndarray, "best_of_all"], Int64[np.ndarray, "best"]]:
        """The best of all items, and of the allowed ones after lifts, which take all products."""
        by_product = self.candidates[np.lexsort((self.candidates, -self.of_candidates))]
        if lifts is not None:
            of_all = summed(self.queries, self.vectors) + lifts
            return by_product[:num_of_all], best_of(of_all, np.flatnonzero(allowed.by_row()), num_allowed)
        listed = by_product[allowed.allows(by_product)]
        if len(listed) < num_allowed:
            item_rows = self.within(allowed.by_row(), num_allowed)
            listed = item_rows[np.lexsort((item_rows, -self.products(item_rows)))]
        return by_product[:num_of_all], listed[:num_allowed]

    def within(self, mask: Bool[np.ndarray, "item"], count: int) -> Int64[np.ndarray, "found"]:
        """Items of a mask, its best among them: all if they are few, or if the index finds too few."""
        if np.count_nonzero(mask) > FEW * len(mask):
            (found,) = self.index.nearest(np.concatenate(self.queries)[None], int(SPARE * count), mask)
            if len(found) >= count:
                return np.union1d(found, self.not_indexed[mask[self.not_indexed]])
        return np.flatnonzero(mask)


def summed(
    queries: Sequence[Float32[np.ndarray, "dim"]], vectors: Sequence[Float32[np.ndarray, "item dim"]]
) -> Float32[np.ndarray, "item"]:
    """Products of each head's query and vectors, summed over heads."""
    first, *others = (of_head @ query for query, of_head in zip(queries, vectors, strict=True))
    total: Float32[np.ndarray, "item"] = sum(others, start=first)
    return total
