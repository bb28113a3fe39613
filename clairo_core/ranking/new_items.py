"""Place items that training never saw among the others, where the dense head or the counts alone would put them."""

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
    count_scores: Float64[np.ndarray, "item component"] | None = None,
) -> Float64[np.ndarray, "item"]:
    """Replace new items' totals by those of the reference items at the same place of one component's order.

    That is the dense head's order, or that of a count model which scores the item since users have come to it,
    whichever puts it higher.

    Args:
        totals: of one user's candidates; those of new items are ignored.
        dense_probabilities: of all candidates.
        is_new: never seen in training.
        is_reference: candidates among which new items are placed; none of them new.
        lift: added to the dense head's log-probabilities of new items.
        count_scores: by count model; 0 where it links no item of the history to the candidate. None: nowhere.
    """
    if not is_new.any():
        return totals
    dense = log_probabilities(dense_probabilities)
    placed = quantile_map(dense[is_reference], totals[is_reference])(dense + lift)
    for scores in () if count_scores is None else count_scores.T:
        by_counts = quantile_map(scores[is_reference], totals[is_reference])(scores)
        placed = np.where(scores > 0, np.maximum(placed, by_counts), placed)
    return np.where(is_new, placed, totals)


def log_probabilities(dense_probabilities: Float64[np.ndarray, "item"]) -> Float64[np.ndarray, "item"]:
    """The dense head's log-probabilities, finite for every item."""
    logs: Float64[np.ndarray, "item"] = np.log(np.maximum(dense_probabilities, _LEAST_PROBABILITY))
    return logs
