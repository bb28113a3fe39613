"""EASE for catalogues whose item-by-item matrix does not fit: each item is solved on its strongest pairs alone.

B of EASE holds, by column, the ridge regression of an item on all others. Here an item is regressed on the `num_pairs`
others with which most users have it, exactly, and all other weights are 0: a sparse approximate inverse of the Gram
matrix with a given pattern. Cost and memory grow with items, and with `num_pairs` cubed per item.

Sources: Steck 2019 (see `ease`); Ning and Karypis 2011, "SLIM", section 4.3, which chooses neighbours before the
regression. Spisak et al. 2023, "Scalable Approximate NonSymmetric Autoencoder" (SANSA), sparsify a factorization of the
same matrix. We differ: a pattern from counts, no iterations. Start at `fit_sparse_ease`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from scipy import sparse

from clairo_core.progress import Progress, silent
from clairo_core.sequences import ItemSequences
from training.counts import strongest_entries
from training.counts.recent_items import weigh_history
from training.counts.sparse_ease_kernels import solve_columns
from training.counts.strongest_entries import is_among_strongest, strongest_of_rows, with_entries
from training.engines.row_pieces import row_pieces
from training.evaluation.choose_settings import Choice, best_on_validation
from training.evaluation.few_scores import FewScores, SharedScores, shared_scores
from training.evaluation.split import EvaluationSplit

NUM_PAIRS = 200
"""With 100, Instruments loses 1.7% of the NDCG@10 of exact EASE instead of .9%; solving takes half the time."""


@dataclass(frozen=True, slots=True)
class SparseEaseSettings:
    """Settings of which validation chooses the first two."""

    regularization: float
    decay: float
    num_pairs: int = NUM_PAIRS


@dataclass(frozen=True, slots=True, eq=False)
class SparseEase:
    """A fitted scorer; items without a weight from the history score 0."""

    weights: sparse.csr_matrix
    """float32. Rows are items of the history, columns the items that they recommend."""
    decay: float
    zeros: SharedScores

    def scores(self, histories: ItemSequences) -> Float64[np.ndarray, "user item"]:
        """The recency-weighted history times the item weights."""
        return self.few_scores(histories).dense()

    def few_scores(self, histories: ItemSequences) -> FewScores:
        """The same, where there are weights."""
        recent = weigh_history(histories, self.weights.shape[0], lambda age: self.decay ** age.astype(np.float64))
        return FewScores((recent @ self.weights).tocsr(), self.zeros)


def fit_sparse_ease(
    together: sparse.csr_matrix,
    users: Float64[np.ndarray, "item"],
    settings: SparseEaseSettings,
    weights_per_item: int,
) -> SparseEase:
    """Solve every item on its strongest pairs, and keep the strongest positive weights of each row.

    Args:
        together: of `pair_counts`.
        users: how many have each item, by squared weight.
        settings: see `SparseEaseSettings`.
        weights_per_item: kept weights of a row.
    """
    weights = sparse_ease_weights(together, users, settings.regularization, settings.num_pairs)
    zeros = shared_scores(np.zeros(len(users)))
    return SparseEase(strongest_of_rows(weights, weights_per_item), settings.decay, zeros)


def choose_sparse_ease(
    together: sparse.csr_matrix,
    users: Float64[np.ndarray, "item"],
    validation: EvaluationSplit,
    grid: tuple[SparseEaseSettings, ...],
    weights_per_item: int,
    progress: Progress = silent,
) -> Choice[SparseEaseSettings]:
    """Choose the settings that rank validation users' next items best, solving once per regularization.

    Args:
        together: see `fit_sparse_ease`.
        users: see `fit_sparse_ease`.
        validation: users whose next items choose.
        grid: candidates; those of one regularization follow one another.
        weights_per_item: see `fit_sparse_ease`.
        progress: over candidates.
    """

    def candidates() -> Iterator[tuple[SparseEaseSettings, SparseEase]]:
        fitted: SparseEase | None = None
        regularization = 0.0
        for settings in grid:
            if fitted is None or settings.regularization != regularization:
                fitted = fit_sparse_ease(together, users, settings, weights_per_item)
                regularization = settings.regularization
            yield settings, SparseEase(fitted.weights, settings.decay, fitted.zeros)

    return best_on_validation(candidates(), len(grid), validation, "ease: settings", progress)


def sparse_ease_weights(
    together: sparse.csr_matrix, users: Float64[np.ndarray, "item"], regularization: float, num_pairs: int
) -> sparse.csr_matrix:
    """Rows are items of the history, columns those that are regressed on them; float32, zero diagonal."""
    together.sort_indices()
    offsets, items = together.indptr.astype(np.int64), together.indices.astype(np.int32)
    diagonal = (users + regularization).astype(np.float32)
    columns = []
    for block in row_pieces(np.diff(together.indptr), strongest_entries.MOST_ENTRIES):
        pairs = together[block]
        pairs = with_entries(pairs, is_among_strongest(pairs, pairs.data, num_pairs))
        weights = pairs.data.astype(np.float32)
        solve_columns(offsets, items, together.data, diagonal, pairs.indptr.astype(np.int64), pairs.indices, weights)
        columns.append(sparse.csr_matrix((weights, pairs.indices, pairs.indptr), pairs.shape))
    solved = sparse.vstack(columns, format="csr") if columns else together
    return solved.T.tocsr()
