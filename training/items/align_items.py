"""Fit the matrix that turns content into behaviour, and place every item by both.

Knows content embeddings and behaviour vectors; knows nothing of encoders, codes or files. Start at `align_items`.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64
from sklearn.linear_model import RidgeCV

from clairo_core.sequences import ItemSequences
from training.config.preset import AlignSettings
from training.items.behaviour import behaviour_vectors, neighbour_counts

_PENALTIES = np.logspace(0, 5, 11)
"""Tried for the regression, on inputs of unit variance; chosen by its leave-one-out error."""


@dataclass(frozen=True, slots=True, eq=False)
class AlignedItems:
    """What `align_items` gives."""

    alignment: Float32[np.ndarray, "content dim"]
    """What an item of content alone is multiplied by; without intercept, as both sides are centred."""
    item_embeddings: Float32[np.ndarray, "item dim"]
    explained: float
    """Share of the behaviour vectors' spread that content predicts, on the items it was fitted on."""


def can_align(training: ItemSequences, num_items: int, settings: AlignSettings) -> bool:
    """Whether enough items occur twice or more, and beside others, for the regression to say anything."""
    if settings.dim == 0:
        return False
    has_neighbour = np.diff(neighbour_counts(training, num_items, settings.window).indptr) > 0
    is_used = np.bincount(training.items, minlength=num_items) >= 2
    return int((is_used & has_neighbour).sum()) >= 2 * settings.dim


def align_items(
    content: Float32[np.ndarray, "item content"],
    is_training: Bool[np.ndarray, "item"],
    training: ItemSequences,
    settings: AlignSettings,
    seed: int,
    is_held_out: Bool[np.ndarray, "item"],
) -> AlignedItems:
    """Place items where their content and, the more often they were used, their behaviour puts them.

    Held-out items are placed as all others, but what content says of behaviour is learned without them.

    An item that occurs n times in training stands n parts of its way at its behaviour vector and
    `prior_interactions` parts at what its content predicts: a new item moves on as it is used, without a jump. The
    content itself stands beside that with `content_weight`, so that items which are used alike still get codes of
    their own; the principal components of both are the item embedding.
    """
    num_items = len(content)
    counts = np.bincount(training.items, minlength=num_items)
    behaviour = behaviour_vectors(training, num_items, dim=settings.dim, window=settings.window, seed=seed)
    has_behaviour = is_training & (np.abs(behaviour).max(axis=1) > 0)
    behaviour = centred(behaviour, has_behaviour)
    trust = np.where(has_behaviour, counts / np.maximum(counts + settings.prior_interactions, 1.0), 0.0)
    # At unit variance the penalties mean the same for any number of components; content that is all alike has none.
    scale = content[is_training].std() or 1.0
    teaches = has_behaviour & ~is_held_out
    regression = RidgeCV(_PENALTIES, fit_intercept=False).fit(
        content[teaches] / scale, behaviour[teaches], sample_weight=trust[teaches]
    )
    prediction = regression.coef_.T / scale
    predicted = content @ prediction
    placed = trust[:, None] * behaviour + (1 - trust[:, None]) * predicted
    energy = np.square(content[is_training]).sum(axis=1).mean() or 1.0
    weight = settings.content_weight / np.sqrt(energy)
    components = principal_axes(np.hstack([placed, weight * content])[is_training], settings.dim)
    left_over = np.square(behaviour - predicted)[teaches].sum()
    return AlignedItems(
        alignment=(np.hstack([prediction, weight * np.eye(content.shape[1])]) @ components).astype(np.float32),
        item_embeddings=(np.hstack([placed, weight * content]) @ components).astype(np.float32),
        explained=1.0 - float(left_over / np.square(behaviour[teaches]).sum()),
    )


def principal_axes(vectors: Float64[np.ndarray, "item dim"], num_axes: int) -> Float64[np.ndarray, "dim axis"]:
    """The directions of the largest spread around the origin, as columns; zeros beyond the directions there are."""
    axes = np.zeros((vectors.shape[1], num_axes))
    _, directions = np.linalg.eigh(vectors.T @ vectors)
    found = directions[:, ::-1][:, :num_axes]
    # The sign of a direction is arbitrary: with its largest entry positive it is the same wherever it is fitted.
    found = found * np.sign(found[np.abs(found).argmax(axis=0), np.arange(found.shape[1])])
    axes[:, : found.shape[1]] = found
    return axes


def centred(
    vectors: Float64[np.ndarray, "item dim"], counted: Bool[np.ndarray, "item"]
) -> Float64[np.ndarray, "item dim"]:
    """The counted rows around their mean, at a mean squared length of 1; the others stay zeros."""
    moved = np.where(counted[:, None], vectors - vectors[counted].mean(axis=0), 0.0)
    energy = np.square(moved[counted]).sum(axis=1).mean()
    return np.asarray(moved / np.sqrt(energy))
