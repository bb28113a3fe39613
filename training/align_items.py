"""Fit the matrix that turns content into behaviour, and place every item by both.

Knows content embeddings and behaviour vectors; knows nothing of encoders, codes or files. Start at `align_items`.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int
from sklearn.linear_model import RidgeCV

from clairo_core.fusion.aligned import of_unit_length
from clairo_core.sequences import ItemSequences
from training.behaviour import behaviour_vectors
from training.config import AlignSettings

_PENALTIES = np.logspace(0, 5, 11)
"""Tried for the regression, on inputs of unit variance; chosen by its leave-one-out error."""


@dataclass(frozen=True, slots=True, eq=False)
class AlignedItems:
    """What `align_items` gives."""

    alignment: Float32[np.ndarray, "content dim"]
    """Content to behaviour, without intercept: both sides are centred."""
    item_embeddings: Float32[np.ndarray, "item dim"]
    explained: float
    """Share of the behaviour vectors' spread that content predicts, on the items it was fitted on."""


def can_align(counts: Int[np.ndarray, "item"], settings: AlignSettings) -> bool:
    """Whether enough items occur twice or more for the regression to say anything."""
    return settings.dim > 0 and int((counts >= 2).sum()) >= 2 * settings.dim


def align_items(
    content: Float32[np.ndarray, "item content"],
    is_training: Bool[np.ndarray, "item"],
    training: ItemSequences,
    settings: AlignSettings,
    seed: int,
) -> AlignedItems:
    """Place items where their content and, the more often they were used, their behaviour puts them.

    An item that occurs n times in training stands n parts of its way at its behaviour vector and
    `prior_interactions` parts at what its content predicts: a new item moves on as it is used, without a jump.
    """
    num_items = len(content)
    counts = np.bincount(training.items, minlength=num_items)
    behaviour = behaviour_vectors(training, num_items, dim=settings.dim, window=settings.window, seed=seed)
    has_behaviour = is_training & (np.abs(behaviour).max(axis=1) > 0)
    behaviour = centred(behaviour, has_behaviour)
    trust = counts / (counts + settings.prior_interactions)
    trust[~has_behaviour] = 0.0
    # At unit variance the penalties mean the same for any number of components.
    scale = content[is_training].std()
    regression = RidgeCV(_PENALTIES, fit_intercept=False).fit(
        content[has_behaviour] / scale, behaviour[has_behaviour], sample_weight=trust[has_behaviour]
    )
    alignment = np.ascontiguousarray(regression.coef_.T / scale, dtype=np.float32)
    predicted = (content @ alignment).astype(np.float64)
    placed = trust[:, None] * behaviour + (1 - trust[:, None]) * predicted
    left_over = np.square(behaviour - predicted)[has_behaviour].sum()
    explained = 1.0 - float(left_over / np.square(behaviour[has_behaviour]).sum())
    return AlignedItems(alignment, of_unit_length(placed.astype(np.float32)), explained)


def centred(
    vectors: Float64[np.ndarray, "item dim"], counted: Bool[np.ndarray, "item"]
) -> Float64[np.ndarray, "item dim"]:
    """The counted rows around their mean, at a mean squared length of 1; the others stay zeros."""
    moved = np.where(counted[:, None], vectors - vectors[counted].mean(axis=0), 0.0)
    energy = np.square(moved[counted]).sum(axis=1).mean()
    return np.asarray(moved / np.sqrt(energy))
