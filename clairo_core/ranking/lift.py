"""Find items bought together more often than their popularity explains. Start at `lifts`."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int, Int64
from scipy import sparse

PRIOR_USERS = 5.0
"""Added to both sides of a lift, so that one shared user of two rare items proves little."""


@dataclass(frozen=True, slots=True, eq=False)
class Lifts:
    """What some items' users share with every item."""

    support: Float64[np.ndarray, "item"]
    """Users who have both, by weight, summed over the given items."""
    lift: Float64[np.ndarray, "item"]
    """(support + `PRIOR_USERS`) / (expected + `PRIOR_USERS`); 1 is as often as by chance."""


def lifts(
    together: sparse.csr_matrix, interactions: Int64[np.ndarray, "item"], item_rows: Int[np.ndarray, "given"]
) -> Lifts:
    """Compare the support of each pair with the support by chance.

    By chance, items i and j share interactions_i * interactions_j / N users. N is chosen such that all pairs together
    have as much support as by chance: busy users, who have many items, explain none of it.

    Args:
        together: how many users have both items of each pair; symmetric, zero on the diagonal.
        interactions: by item.
        item_rows: given items, each once; those past the end of the counts have no pair.
    """
    given = np.asarray(item_rows)[np.asarray(item_rows) < len(interactions)]
    support = np.asarray(together[given].sum(axis=0), dtype=np.float64).ravel()
    total = float(interactions.sum())
    num_users = total**2 / max(total + float(together.sum()), 1.0)
    expected = float(interactions[given].sum()) * interactions / max(num_users, 1.0)
    return Lifts(support, (support + PRIOR_USERS) / (expected + PRIOR_USERS))
