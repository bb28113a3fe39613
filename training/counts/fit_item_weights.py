"""Turn training sequences into item weights: counts of followers, the strongest weights of EASE, and pair counts."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from jaxtyping import Float32
from scipy import sparse

from clairo_core.progress import Progress
from clairo_core.ranking import ItemWeights, RowScale
from clairo_core.sequences import ItemSequences
from training.config.preset import MixSettings
from training.counts import ease, markov
from training.counts.ease import count_together
from training.evaluation.split import EvaluationSplit

_LEAST_AGE_WEIGHT = 1e-3
"""Below this weight, an item of the history changes no ranking."""


def fit_item_weights(
    training: ItemSequences, num_items: int, validation: EvaluationSplit, settings: MixSettings, progress: Progress
) -> tuple[Mapping[str, ItemWeights], Mapping[str, Mapping[str, float]]]:
    """Item weights and chosen settings by component. EASE is left out above `settings.max_ease_items`."""
    chosen = {"followers": asdict(markov.choose_markov(training, num_items, validation, progress).settings)}
    if num_items <= settings.max_ease_items:
        chosen["ease"] = asdict(ease.choose_ease(training, num_items, validation, progress, grid=EASE_GRID).settings)
    return dict(item_weights_of(training, num_items, chosen, settings.ease_weights_per_item)), chosen


def item_weights_of(
    training: ItemSequences, num_items: int, chosen: Mapping[str, Mapping[str, Any]], ease_weights_per_item: int
) -> Iterator[tuple[str, ItemWeights]]:
    """Each component and its item weights, with chosen settings."""
    for component, settings in chosen.items():
        if component == "followers":
            yield component, of_markov(markov.fit_markov(training, num_items, markov.MarkovSettings(**settings)))
        else:
            fitted = ease.fit_ease(training, num_items, ease.EaseSettings(**settings))
            users = count_together(training, num_items).diagonal().astype(np.float64)
            scale = RowScale(users, settings["regularization"], 1.0)
            yield component, replace(of_ease(fitted, ease_weights_per_item), scale=scale)


EASE_GRID = tuple(
    ease.EaseSettings(regularization, decay) for regularization in (100.0, 300.0) for decay in (0.7, 0.8, 0.9)
)
"""Smaller than the baseline's: the mixture makes up for the difference."""


def of_markov(fitted: markov.Markov) -> ItemWeights:
    """Followers of the last items; the r-th last item weighs 1/r."""
    age_weights = 1.0 / (1.0 + np.arange(fitted.num_recent))
    return ItemWeights(fitted.followers.astype(np.float32).tocsr(), age_weights, fitted.scale)


def of_ease(fitted: ease.Ease, weights_per_item: int) -> ItemWeights:
    """Each item's strongest positive weights; an item of the history weighs decay^age."""
    num_ages = 1000 if fitted.decay >= 1 else int(np.ceil(np.log(_LEAST_AGE_WEIGHT) / np.log(fitted.decay)))
    return ItemWeights(
        strongest(fitted.weights, weights_per_item), fitted.decay ** np.arange(num_ages, dtype=np.float64)
    )


def strongest(weights: Float32[np.ndarray, "item item"], per_row: int) -> sparse.csr_matrix:
    """The `per_row` highest positive weights of each row."""
    per_row = min(per_row, weights.shape[1])
    columns = np.argpartition(-weights, per_row - 1, axis=1)[:, :per_row]
    kept = np.take_along_axis(weights, columns, axis=1)
    rows = np.repeat(np.arange(len(weights)), per_row)
    is_kept = kept.ravel() > 0
    return sparse.csr_matrix(
        (kept.ravel()[is_kept], (rows[is_kept], columns.ravel()[is_kept])), shape=weights.shape, dtype=np.float32
    )


def pair_counts(training: ItemSequences, num_items: int, pairs_per_item: int) -> sparse.csr_matrix:
    """How many users have both items of each pair, by weight, symmetric, zero on the diagonal.

    A pair is kept if it is among the `pairs_per_item` strongest of either item by cosine, count / sqrt(users of each):
    a rare item keeps its link with a bestseller that has hundreds of stronger ones.
    """
    together = count_together(training, num_items)
    users = together.diagonal()
    together.setdiag(0.0)
    together.eliminate_zeros()
    rows = np.repeat(np.arange(num_items), np.diff(together.indptr))
    cosines = together.data / np.sqrt(users[rows] * users[together.indices])
    # Strongest first within each row; ties by column.
    order = np.lexsort((together.indices, -cosines, rows))
    place = np.arange(len(order)) - together.indptr[rows[order]]
    is_kept = np.zeros(len(order), dtype=np.bool_)
    is_kept[order[place < pairs_per_item]] = True
    kept = sparse.csr_matrix(
        (together.data[is_kept], (rows[is_kept], together.indices[is_kept])), shape=together.shape, dtype=np.float32
    )
    # Counts are symmetric, so the larger of both sides is the count.
    return kept.maximum(kept.T).tocsr()
