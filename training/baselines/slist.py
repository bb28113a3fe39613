"""SLIST: one linear map for items of a history and for what followed them, solved in closed form. See `choose_slist`.

Source: Choi et al. 2021, "Session-aware Linear Item-Item Models for Session-based Recommendation". With the whole
histories X, and sources S and targets T of every cut of a history,
B = (alpha X'X + (1 - alpha) S'S + lambda I)^-1 (alpha X'X + (1 - alpha) S'T); B may have a diagonal, for repeats. We
differ: sessions are whole histories, so none is too old to weigh fully, and one decay weighs both sources and targets.
Up to 20,000 items: B is dense.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from clairo_core.progress import Progress, silent
from clairo_core.sequences import ItemSequences
from training.baselines.decayed_pairs import following_products, source_products
from training.baselines.linear_map import choose_linear_map, solve_ridge
from training.counts.ease import Ease, count_together
from training.evaluation.choose_settings import Choice
from training.evaluation.split import EvaluationSplit


@dataclass(frozen=True, slots=True)
class SlistSettings:
    """Settings that validation chooses."""

    regularization: float
    similarity: float
    """Alpha: the share of items of the same history, beside what followed."""
    part_decay: float
    """In training, items weigh part_decay^places from the cut."""
    decay: float
    """In scoring, an item of age a weighs decay^a."""


GRID = tuple(
    SlistSettings(regularization, similarity, 0.7, decay)
    for regularization in (100.0, 300.0)
    for similarity in (0.2, 0.5, 0.8)
    for decay in (0.5, 0.8)
)


def fit_slist(training: ItemSequences, num_items: int, settings: SlistSettings) -> Ease:
    """Solve the closed form. The result scores as EASE does: the weighted history times B."""
    return Ease(_weights(training, num_items, settings), settings.decay)


def choose_slist(
    training: ItemSequences,
    num_items: int,
    validation: EvaluationSplit,
    progress: Progress = silent,
    grid: tuple[SlistSettings, ...] = GRID,
) -> Choice[SlistSettings]:
    """Choose the settings that rank validation users' next items best."""
    return choose_linear_map(
        "slist", lambda settings: _weights(training, num_items, settings), grid, validation, progress
    )


def _weights(training: ItemSequences, num_items: int, settings: SlistSettings) -> Float32[np.ndarray, "item item"]:
    alpha, decay = settings.similarity, settings.part_decay
    together = alpha * count_together(training, num_items)
    return solve_ridge(
        together + (1.0 - alpha) * source_products(training, num_items, decay),
        together + (1.0 - alpha) * following_products(training, num_items, decay),
        settings.regularization,
    )
