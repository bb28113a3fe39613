"""Fit the matrix from content to behaviour, and embed every item by both. Start at `align_items`."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64
from sklearn.linear_model import RidgeCV

from clairo_core.fusion.row_blocks import row_blocks
from clairo_core.sequences import ItemSequences
from training.config.preset import GRAPH, AlignSettings
from training.engines.engine import IN_THIS_PROCESS, Engine
from training.items.behaviour import behaviour_vectors, has_neighbour
from training.items.fitted_items import sampled_items
from training.items.graph import graph_vectors

_PENALTIES = np.logspace(0, 5, 11)
"""Ridge penalties for inputs of unit variance, chosen by leave-one-out error."""


@dataclass(frozen=True, slots=True, eq=False)
class AlignedItems:
    """Item embeddings, and the matrix that gives new items theirs."""

    alignment: Float32[np.ndarray, "content dim"]
    """Maps content to the embedding of an item without behaviour. No intercept: both sides are centred."""
    item_embeddings: Float32[np.ndarray, "item dim"]
    explained: float
    """Share of the behaviour vectors' variance that content predicts, on the items it was fitted on."""


def can_align(training: ItemSequences, num_items: int, settings: AlignSettings) -> bool:
    """Whether enough items occur twice or more, and beside others, to fit the regression."""
    if settings.dim == 0:
        return False
    is_used = np.bincount(training.items, minlength=num_items) >= 2
    return int((is_used & has_neighbour(training, num_items, settings.window)).sum()) >= 2 * settings.dim


def align_items(
    content: Float32[np.ndarray, "item content"],
    is_training: Bool[np.ndarray, "item"],
    training: ItemSequences,
    settings: AlignSettings,
    seed: int,
    is_held_out: Bool[np.ndarray, "item"],
    engine: Engine = IN_THIS_PROCESS,
) -> AlignedItems:
    """Embed items by content and, the more often they were used, by behaviour.

    An item that occurs n times in training is the mean of its behaviour vector, with weight n, and the prediction from
    its content, with weight `prior_interactions`: a new item moves without a jump as it is used. Its content is
    appended with `content_weight`, so items that are used alike still get codes of their own. The principal components
    of both are the item embedding.

    Held-out items are embedded like all others, but the regression is fitted without them.
    """
    num_items = len(content)
    counts = np.bincount(training.items, minlength=num_items)
    behaviour = _behaviour(content, training, settings, seed, is_held_out, engine)
    has_behaviour = is_training & (np.abs(behaviour).max(axis=1) > 0)
    behaviour = centred(behaviour, has_behaviour)
    trust = np.where(has_behaviour, counts / np.maximum(counts + settings.prior_interactions, 1.0), 0.0)
    # Unit variance makes the penalties independent of the number of components. Constant content has no variance.
    scale = content[is_training].std() or 1.0
    teaches = sampled_items(has_behaviour & ~is_held_out, seed)
    regression = RidgeCV(_PENALTIES, fit_intercept=False).fit(
        content[teaches] / scale, behaviour[teaches], sample_weight=trust[teaches]
    )
    # Of a single dimension, scikit-learn gives a vector.
    prediction = np.atleast_2d(regression.coef_).T / scale
    energy = np.square(content[is_training]).sum(axis=1).mean() or 1.0
    weight = settings.content_weight / np.sqrt(energy)

    def placed(rows: slice) -> Float64[np.ndarray, "row behaviour+content"]:
        predicted = content[rows] @ prediction
        by_both = trust[rows, None] * behaviour[rows] + (1 - trust[rows, None]) * predicted
        return np.hstack([by_both, weight * content[rows]])

    blocks = row_blocks(num_items)
    moments = sum(second_moments(placed(rows)[is_training[rows]]) for rows in blocks)
    components = principal_axes(np.asarray(moments), settings.dim)
    item_embeddings = np.empty((num_items, settings.dim), np.float32)
    for rows in blocks:
        item_embeddings[rows] = placed(rows) @ components
    left_over = np.square(behaviour[teaches] - content[teaches] @ prediction).sum()
    spread = np.square(behaviour[teaches]).sum()
    return AlignedItems(
        alignment=(np.hstack([prediction, weight * np.eye(content.shape[1])]) @ components).astype(np.float32),
        item_embeddings=item_embeddings,
        explained=1.0 - float(left_over / spread) if spread else 0.0,
    )


def _behaviour(
    content: Float32[np.ndarray, "item content"],
    training: ItemSequences,
    settings: AlignSettings,
    seed: int,
    is_held_out: Bool[np.ndarray, "item"],
    engine: Engine,
) -> Float[np.ndarray, "item behaviour"]:
    if settings.kind == GRAPH:
        # Held-out items receive, but their content reaches no item that teaches.
        sent = np.where(is_held_out[:, None], 0.0, content)
        return graph_vectors(training, sent, dim=settings.dim, num_layers=settings.num_layers, seed=seed)
    return behaviour_vectors(training, len(content), dim=settings.dim, window=settings.window, seed=seed, engine=engine)


def second_moments(vectors: Float64[np.ndarray, "item dim"]) -> Float64[np.ndarray, "dim dim"]:
    """Products of every two columns, summed over the items."""
    return np.asarray(vectors.T @ vectors)


def principal_axes(moments: Float64[np.ndarray, "dim dim"], num_axes: int) -> Float64[np.ndarray, "dim axis"]:
    """The directions of the largest spread around the origin, as columns, padded with zeros."""
    axes = np.zeros((len(moments), num_axes))
    _, directions = np.linalg.eigh(moments)
    found = directions[:, ::-1][:, :num_axes]
    # The sign of a direction is arbitrary. A positive largest entry makes it the same on every machine.
    found = found * np.sign(found[np.abs(found).argmax(axis=0), np.arange(found.shape[1])])
    axes[:, : found.shape[1]] = found
    return axes


def centred(vectors: Float[np.ndarray, "item dim"], counted: Bool[np.ndarray, "item"]) -> Float[np.ndarray, "item dim"]:
    """Centre the counted rows and scale them to a mean squared length of 1. The others become zeros.

    Rows that are all alike, as vectors of one dimension may be, become zeros too.
    """
    mean = vectors[counted].mean(axis=0, dtype=np.float64).astype(vectors.dtype)
    moved = np.where(counted[:, None], vectors - mean, 0.0)
    energy = np.square(moved[counted]).sum(axis=1).mean()
    return np.asarray(moved / np.sqrt(energy or 1.0))
