"""TALE: the linear map from the items before any one to that one, solved in closed form. Start at `choose_tale`.

Source: Park et al. 2025, "Temporal Linear Item-Item Model for Sequential Recommendation" (TALE). With rows of sources S
and single targets T, B = (S'S + lambda I)^-1 S'T; old sources weigh less, and popular items are damped. We differ:
intervals are places of a sequence, since histories hold no times, and have no least weight; popularity is that of all
training events, not of those around each event. Up to 20,000 items: B is dense.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32
from scipy import sparse

from clairo_core.progress import Progress, silent
from clairo_core.sequences import ItemSequences
from training.baselines.decayed_pairs import next_item_products, source_products
from training.baselines.linear_map import choose_linear_map, solve_ridge
from training.counts.ease import Ease
from training.counts.popularity import count_popularity
from training.evaluation.choose_settings import Choice
from training.evaluation.split import EvaluationSplit


@dataclass(frozen=True, slots=True)
class TaleSettings:
    """Settings that validation chooses."""

    regularization: float
    source_decay: float
    """In training, a source of age a weighs source_decay^a."""
    damping: float
    """Sources and targets are divided by their training count, plus 1, to this power."""
    decay: float
    """In scoring, an item of age a weighs decay^a."""


GRID = tuple(
    TaleSettings(regularization, source_decay, damping, decay)
    for regularization in (100.0, 300.0)
    for source_decay, damping in ((0.5, 0.0), (0.8, 0.0), (0.8, 0.25))
    for decay in (0.5, 0.8)
)


def fit_tale(training: ItemSequences, num_items: int, settings: TaleSettings) -> Ease:
    """Solve the closed form. The result scores as EASE does: the weighted history times B."""
    return Ease(_weights(training, num_items, settings), settings.decay)


def choose_tale(
    training: ItemSequences,
    num_items: int,
    validation: EvaluationSplit,
    progress: Progress = silent,
    grid: tuple[TaleSettings, ...] = GRID,
) -> Choice[TaleSettings]:
    """Choose the settings that rank validation users' next items best."""
    return choose_linear_map(
        "tale", lambda settings: _weights(training, num_items, settings), grid, validation, progress
    )


def _weights(training: ItemSequences, num_items: int, settings: TaleSettings) -> Float32[np.ndarray, "item item"]:
    damped = sparse.diags((1.0 + count_popularity(training, num_items)) ** -settings.damping)
    sources = source_products(training, num_items, settings.source_decay)
    targets = next_item_products(training, num_items, settings.source_decay)
    solved = solve_ridge(damped @ sources @ damped, damped @ targets @ damped, settings.regularization)
    weights: Float32[np.ndarray, "item item"] = damped.astype(np.float32) @ solved
    return weights
