"""Choose the items to fit on: all, or a sample where more would take memory and change little. Start at `fitted_items`.

Everything that is fitted here has some hundred dimensions: means, principal components, regressions, codebooks.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool

from clairo_core.encoders import ModalityEmbeddings

MOST_FITTED_ITEMS = 100_000


def sampled_items(is_chosen: Bool[np.ndarray, "item"], seed: int) -> Bool[np.ndarray, "item"]:
    """At most `MOST_FITTED_ITEMS` of the chosen items, drawn by seed; all of them if they are not more."""
    rows = np.flatnonzero(is_chosen)
    if len(rows) <= MOST_FITTED_ITEMS:
        return is_chosen
    is_drawn = np.zeros_like(is_chosen)
    is_drawn[np.random.default_rng(seed).choice(rows, MOST_FITTED_ITEMS, replace=False)] = True
    return is_drawn


def fitted_items(
    embeddings: Mapping[str, ModalityEmbeddings], is_chosen: Bool[np.ndarray, "item"], seed: int
) -> Bool[np.ndarray, "item"]:
    """Chosen items to fit a fusion on. A sample draws for each modality, so rare ones keep their items."""
    if np.count_nonzero(is_chosen) <= MOST_FITTED_ITEMS:
        return is_chosen
    is_fitted = np.zeros_like(is_chosen)
    for given in embeddings.values():
        is_fitted |= sampled_items(is_chosen & given.is_present, seed)
    return is_fitted
