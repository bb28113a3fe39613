"""Turn histories into item weights by recency."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float64, Int64
from scipy import sparse

from clairo_core.sequences import ItemSequences


def weigh_history(
    histories: ItemSequences,
    num_items: int,
    weight_of_age: Callable[[Int64[np.ndarray, "position"]], Float64[np.ndarray, "position"]],
) -> sparse.csr_matrix:
    """Weights by user and item. Repeated items add up.

    Args:
        histories: oldest item first.
        num_items: number of columns.
        weight_of_age: age -> weight. A history's last item has age 0, the one before it 1, and so on.
    """
    lengths = histories.lengths
    user_of = np.repeat(np.arange(len(histories)), lengths)
    age = np.repeat(histories.offsets[1:], lengths) - 1 - np.arange(len(histories.items))
    weights = weight_of_age(age)
    weighs = weights > 0
    return sparse.csr_matrix(
        (weights[weighs], (user_of[weighs], histories.items[weighs])), shape=(len(histories), num_items)
    )
