"""Rank the generator's items, and all that training never saw, by the dense head alone. Start at `reranked_for_one`.

Source: Yang et al. 2024, "Unifying Generative and Dense Retrieval for Sequential Recommendation" (LIGER). We differ:
the dense head is a network of its own, and boosted items compete too.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, Float64

from clairo_core.errors import MixtureError
from clairo_core.ranking.candidates import Generated, Penalty, RankedItems
from clairo_core.storage.array_folder import load_kind, save_array_folder

_PART, _KIND = "mixture", "dense-reranks"
"""In place of a mixture's."""


def reranked_for_one(
    dense: Float32[np.ndarray, "item"],
    generated: Generated,
    is_untrained: Bool[np.ndarray, "item"],
    is_allowed: Bool[np.ndarray, "item"],
    num_places: int,
    penalty: Penalty | None = None,
    lifts: Float64[np.ndarray, "item"] | None = None,
) -> RankedItems:
    """Rank one user's `num_places` best allowed candidates; ties are in the order of item rows.

    Args:
        dense: the dense head's log-probability of every item.
        generated: the generator's items.
        is_untrained: whether training never saw the item.
        is_allowed: whether the item may be listed.
        num_places: length of the list.
        penalty: lowers candidates; None lowers none.
        lifts: a lifted item is a candidate; the penalty holds its lift.
    """
    is_candidate = is_untrained.copy()
    is_candidate[generated.item_rows] = True
    if lifts is not None:
        is_candidate |= lifts > 0
    item_rows = np.flatnonzero(is_candidate & is_allowed)
    scores = dense[item_rows].astype(np.float64)
    if penalty is not None:
        scores = scores - penalty(item_rows)
    best = np.lexsort((item_rows, -scores))[:num_places]
    item_rows = item_rows[best]
    return RankedItems(item_rows, scores[best], ~np.isin(item_rows, generated.item_rows))


def save_dense_reranking(folder: Path) -> None:
    """Write that no mixture is fitted, because the dense head reranks."""
    save_array_folder(folder, _PART, _KIND, {})


def is_dense_reranking(folder: Path) -> bool:
    """Whether `save_dense_reranking` wrote the folder.

    Raises:
        MixtureError: the folder's header is missing or damaged.
    """
    return load_kind(folder, _PART, MixtureError) == _KIND
