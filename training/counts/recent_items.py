"""Turn histories into weights of items, the most recent first among them."""

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
    """User times item: what `weight_of_age` says, an item met again counting again.

    The age of a position is 0 for a history's last item, 1 for the one before it, and so on.
    """
    lengths = histories.lengths
    user_of = np.repeat(np.arange(len(histories)), lengths)
    age = np.repeat(histories.offsets[1:], lengths) - 1 - np.arange(len(histories.items))
    weights = weight_of_age(age)
    weighs = weights > 0
    return sparse.csr_matrix(
        (weights[weighs], (user_of[weighs], histories.items[weighs])), shape=(len(histories), num_items)
    )
