"""Keep the best items of several histories whose scores come in blocks of items, never all at once."""

import numpy as np
import torch
from jaxtyping import Float32, Int64

from clairo_core.ranking.score_kernels import best_rows, keep_best

_LEAST_SCORE = -1e30
"""Finite, so that differences of it are."""


class BestOfBlocks:
    """The `count` best of each history, and the sum of the exponentials of all its scores."""

    def __init__(self, num_histories: int, count: int) -> None:
        self._count, self._num_items = count, 0
        num_places = 2 * count + 64
        self._rows = np.empty((num_histories, num_places), dtype=np.int64)
        self._scores = np.empty((num_histories, num_places), dtype=np.float32)
        self._num_kept = np.zeros(num_histories, dtype=np.int64)
        self._least = np.full(num_histories, -np.inf, dtype=np.float32)
        self._highest = np.full(num_histories, _LEAST_SCORE, dtype=np.float32)
        self._sums = np.zeros(num_histories, dtype=np.float64)
        """Of exponentials of what each score is above the highest."""

    def add(self, scores: Float32[np.ndarray, "item history"]) -> None:
        """Add the next items. Those of score -inf are left out."""
        before = self._highest.copy()
        keep_best(
            scores,
            self._num_items,
            self._count,
            self._rows,
            self._scores,
            self._num_kept,
            self._least,
            self._highest,
        )
        self._num_items += len(scores)
        added = torch.from_numpy(scores).sub(torch.from_numpy(self._highest)).exp_().sum(dim=0)
        self._sums = self._sums * np.exp(before - self._highest) + added.numpy()

    def best(self, history: int) -> tuple[Int64[np.ndarray, "best"], Float32[np.ndarray, "best"]]:
        """Rows and scores, best first; ties are in the order of rows."""
        kept = slice(0, int(self._num_kept[history]))
        rows, scores = self._rows[history, kept], self._scores[history, kept]
        best = best_rows(scores, self._count)
        return rows[best], scores[best]

    def log_sum(self, history: int) -> np.float32:
        """Log of the sum of the exponentials of all scores."""
        return np.float32(self._highest[history] + np.log(self._sums[history]))
