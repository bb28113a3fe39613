"""Map one ranker's scores to another's scale by quantiles: best to best, second best to second best."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64


@dataclass(frozen=True, slots=True, eq=False)
class QuantileMap:
    """Two rankers' scores of the same items, each ascending."""

    from_scores: Float64[np.ndarray, "item"]
    to_scores: Float64[np.ndarray, "item"]

    def __call__(self, scores: Float[np.ndarray, "other"]) -> Float64[np.ndarray, "other"]:
        """Interpolate between a score's neighbours; beyond the ends, keep the distance to the end.

        >>> QuantileMap(np.array([0.0, 1.0, 2.0]), np.array([10.0, 20.0, 40.0]))(np.array([1.5, 3.0]))
        array([30., 41.])
        """
        scores = np.asarray(scores, dtype=np.float64)
        if not len(self.from_scores):
            return scores
        inside = np.interp(scores, self.from_scores, self.to_scores)
        above = np.maximum(scores - self.from_scores[-1], 0.0)
        below = np.minimum(scores - self.from_scores[0], 0.0)
        mapped: Float64[np.ndarray, "other"] = inside + above + below
        return mapped


def quantile_map(from_scores: Float[np.ndarray, "item"], to_scores: Float[np.ndarray, "item"]) -> QuantileMap:
    """Build the map from two rankers' scores of the same items."""
    return QuantileMap(np.sort(from_scores.astype(np.float64)), np.sort(to_scores.astype(np.float64)))
