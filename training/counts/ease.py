"""Rank by the best linear map from a history to itself with a zero diagonal. Start at `fit_ease`.

Source: Steck 2019, "Embarrassingly Shallow Autoencoders for Sparse Data": with the Gram matrix G of users' training
items, P = (G + lambda I)^-1 and B = I - P / diag(P). We differ in scoring: the histories are weighted, decay^age,
age 0 for the last item. Lambda and decay are chosen on validation.

B is dense: 4 bytes times the square of the number of items (0.6 GB for 12,000), and as much again to find it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64
from scipy import linalg, sparse

from clairo_core.progress import Progress, silent
from clairo_core.sequences import ItemSequences
from training.counts.popularity import heaviest_of_each, pairs_of
from training.counts.recent_items import weigh_history
from training.evaluation.choose_settings import Choice, best_on_validation
from training.evaluation.split import EvaluationSplit


@dataclass(frozen=True, slots=True)
class EaseSettings:
    """Settings that validation chooses."""

    regularization: float
    decay: float


ROWS_AT_ONCE = 256

GRID = tuple(
    EaseSettings(regularization, decay)
    for regularization in (30.0, 100.0, 300.0, 1000.0)
    for decay in (0.5, 0.7, 0.8, 0.9, 1.0)
)


@dataclass(frozen=True, slots=True, eq=False)
class Ease:
    """A fitted EASE scorer."""

    weights: Float32[np.ndarray, "item item"]
    """Rows are items of the history, columns the items that they recommend."""
    decay: float

    def scores(self, histories: ItemSequences) -> Float32[np.ndarray, "user item"]:
        """The recency-weighted history times the item weights."""
        recent = weigh_history(histories, len(self.weights), lambda age: self.decay ** age.astype(np.float64))
        scores: Float32[np.ndarray, "user item"] = recent.astype(np.float32) @ self.weights
        return scores


def fit_ease(training: ItemSequences, num_items: int, settings: EaseSettings) -> Ease:
    """The closed form, from the users' items in training."""
    return Ease(ease_weights(count_together(training, num_items).toarray(), settings.regularization), settings.decay)


def choose_ease(
    training: ItemSequences,
    num_items: int,
    validation: EvaluationSplit,
    progress: Progress = silent,
    grid: tuple[EaseSettings, ...] = GRID,
) -> Choice[EaseSettings]:
    """Choose the settings that rank validation users' next items best, with one inversion per regularization."""
    together = count_together(training, num_items).toarray()

    def candidates() -> Iterator[tuple[EaseSettings, Ease]]:
        for regularization in dict.fromkeys(settings.regularization for settings in grid):
            weights = ease_weights(together, regularization)
            for settings in grid:
                if settings.regularization == regularization:
                    yield settings, Ease(weights, settings.decay)

    return best_on_validation(candidates(), len(grid), validation, "ease: settings", progress)


def count_together(training: ItemSequences, num_items: int) -> sparse.csr_matrix:
    """The number of users with both items in training, float32; on the diagonal, with the item.

    A user counts as the product of the weights of both items, each that of his heaviest interaction with it.
    """
    has = users_by_items(training, num_items)
    return (has.T @ has).tocsr()


def users_by_items(training: ItemSequences, num_items: int) -> sparse.csr_matrix:
    """The weight of each user's heaviest interaction with each item in training, float32."""
    # Repeated purchases count once.
    pairs, weights = heaviest_of_each(pairs_of(training, num_items), training.each_weight)
    return sparse.csr_matrix((weights.astype(np.float32), np.divmod(pairs, num_items)), (len(training), num_items))


def count_users(training: ItemSequences, num_items: int) -> Float64[np.ndarray, "item"]:
    """The diagonal of `count_together`."""
    return users_of(users_by_items(training, num_items))


def users_of(has: sparse.csr_matrix) -> Float64[np.ndarray, "item"]:
    """Each item's users, by squared weight."""
    users: Float64[np.ndarray, "item"] = np.bincount(has.indices, weights=has.data**2, minlength=has.shape[1])
    return users


def ease_weights(together: Float32[np.ndarray, "item item"], regularization: float) -> Float32[np.ndarray, "item item"]:
    """B of the paper: -P[i, j] / P[j, j], zero on the diagonal."""
    diagonal = np.diag_indices(len(together))
    regularized = together.copy()
    regularized[diagonal] += np.float32(regularization)
    try:
        weights = inverse_in_place(regularized)
    except linalg.LinAlgError:
        # In float32, counts beyond some hundred million leave rounding errors above the regularization.
        precise = together.astype(np.float64)
        precise[diagonal] += regularization
        weights = linalg.inv(precise, overwrite_a=True, check_finite=False).astype(np.float32)
    weights /= -weights[diagonal]
    weights[diagonal] = 0.0
    return weights


def inverse_in_place(matrix: Float32[np.ndarray, "item item"]) -> Float32[np.ndarray, "item item"]:
    """The inverse of a symmetric positive definite matrix, in its memory: half the work of any matrix's, and no copy.

    Raises:
        LinAlgError: it is not positive definite. `matrix` is lost.
    """
    # LAPACK stores columns one after another: the transpose is the same matrix, and needs no copy.
    factor, fault = linalg.lapack.spotrf(matrix.T, lower=True, overwrite_a=True, clean=False)
    if not fault:
        inverse, fault = linalg.lapack.spotri(factor, lower=True, overwrite_c=True)
    if fault:
        raise linalg.LinAlgError(f"the matrix of {len(matrix)} rows is not positive definite")
    rows: Float32[np.ndarray, "item item"] = inverse.T
    # Its upper triangle is filled; the lower one is mirrored in blocks that stay in the cache.
    for start in range(0, len(rows), ROWS_AT_ONCE):
        stop = start + ROWS_AT_ONCE
        upper = np.triu(rows[start:stop, start:stop])
        rows[start:stop, start:stop] = upper + np.triu(upper, 1).T
        rows[stop:, start:stop] = rows[start:stop, stop:].T
    return rows
