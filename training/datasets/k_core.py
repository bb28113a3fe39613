"""Keep only users and items with enough interactions, repeated until none falls below."""

import numpy as np
from jaxtyping import Bool, Int


def k_core(
    users: Int[np.ndarray, "interaction"], items: Int[np.ndarray, "interaction"], min_interactions: int
) -> Bool[np.ndarray, "interaction"]:
    """Mark the interactions of the largest subset in which every user and every item has `min_interactions`.

    Users and items are numbered from 0. Repeated interactions all count.

    >>> k_core(np.array([0, 0, 1, 1, 2]), np.array([0, 1, 0, 1, 1]), 2).tolist()
    [True, True, True, True, False]
    """
    is_kept = np.ones(len(users), dtype=np.bool_)
    kept = np.arange(len(users))
    while kept.size:
        user_counts = np.bincount(users[kept])
        item_counts = np.bincount(items[kept])
        has_enough = (user_counts[users[kept]] >= min_interactions) & (item_counts[items[kept]] >= min_interactions)
        if has_enough.all():
            break
        is_kept[kept[~has_enough]] = False
        kept = kept[has_enough]
    return is_kept
