"""Place items that training never saw among the others, where the dense head alone would put them."""

import numpy as np
from jaxtyping import Bool, Float64

from clairo_core.ranking.quantile_map import quantile_map

_LEAST_PROBABILITY = 1e-300


def with_new_placed(
    totals: Float64[np.ndarray, "item"],
    dense_probabilities: Float64[np.ndarray, "item"],
    is_new: Bool[np.ndarray, "item"],
    is_reference: Bool[np.ndarray, "item"],
    lift: float,
) -> Float64[np.ndarray, "item"]:
    """Replace new items' totals by those of the reference items at the same place of the dense head's order.

    Args:
        totals: of one user's candidates; those of new items are ignored.
        dense_probabilities: of all candidates.
        is_new: never seen in training.
        is_reference: candidates among which new items are placed; none of them new.
        lift: added to new items' log-probabilities.
    """
    if not is_new.any():
        return totals
    dense = np.log(np.maximum(dense_probabilities, _LEAST_PROBABILITY))
    placing = quantile_map(dense[is_reference], totals[is_reference])
    return np.where(is_new, placing(dense + lift), totals)
