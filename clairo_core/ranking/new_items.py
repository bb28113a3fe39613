"""Place items that training never saw among the others: where the dense head alone would put them.

Knows totals and the dense head's probabilities; knows nothing of how totals came about. Start at `with_new_placed`.
"""

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
    """The totals of one user's candidates, new items' by their place in the dense head's order of the reference.

    Args:
        totals: of no meaning for new items.
        dense_probabilities: by the dense head, of all candidates.
        is_new: never seen in training.
        is_reference: among which new items are placed; none of them new.
        lift: added to the logarithms of new items' probabilities.
    """
    if not is_new.any():
        return totals
    dense = np.log(np.maximum(dense_probabilities, _LEAST_PROBABILITY))
    placing = quantile_map(dense[is_reference], totals[is_reference])
    return np.where(is_new, placing(dense + lift), totals)
