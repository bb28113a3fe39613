"""Choose the best items by the scores of all. Start at `best_items`."""

import numpy as np
from jaxtyping import Float, Float32, Int64

from clairo_core.ranking.allowed_items import AllowedItems
from clairo_core.ranking.score_kernels import best_rows


def best_items(
    scores: Float32[np.ndarray, "item"], count: int, allowed: AllowedItems | None, num_of_all: int = 0
) -> tuple[Int64[np.ndarray, "best"], Int64[np.ndarray, "best_of_all"]]:
    """Choose the `count` best allowed items, and the `num_of_all` best of all; mostly one pass over the scores.

    Best first; ties are in the order of rows.
    """
    if allowed is None:
        found = best_rows(scores, max(count, num_of_all))
        return found[:count], found[:num_of_all]
    found = best_rows(scores, max(count, num_of_all) + len(allowed.left_out))
    best = found[allowed.allows(found)]
    if len(best) < count and len(found) < len(scores):
        item_rows = np.flatnonzero(allowed.by_row())
        best = item_rows[best_rows(scores[item_rows], count)]
    return best[:count], found[:num_of_all]


def best_of(
    scores: Float[np.ndarray, "item"], item_rows: Int64[np.ndarray, "some"], count: int
) -> Int64[np.ndarray, "best"]:
    """The `count` given items with the highest scores, in any order."""
    if len(item_rows) <= count:
        return item_rows
    return item_rows[np.argpartition(-scores[item_rows], count - 1)[:count]]
