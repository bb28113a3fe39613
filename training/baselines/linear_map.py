"""Solve linear maps from the items of a history to those that come next, and choose among them on validation.

A map scores as EASE does: the history, its items weighted decay^age, times the map.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np
from jaxtyping import Float32
from scipy import linalg, sparse

from clairo_core.progress import Progress
from training.counts.ease import Ease
from training.evaluation.choose_settings import Choice, best_on_validation
from training.evaluation.split import EvaluationSplit


class LinearMapSettings(Protocol):
    """A dataclass with the decay in scoring beside the settings of the map."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def decay(self) -> float:
        """In scoring, an item of age a weighs decay^a."""
        ...


Settings = TypeVar("Settings", bound=LinearMapSettings)


def solve_ridge(
    sources: sparse.csr_matrix, targets: sparse.csr_matrix, regularization: float
) -> Float32[np.ndarray, "item item"]:
    """The map B with (sources + regularization I) B = targets, from products of sources with themselves and targets.

    Dense: 8 bytes times the square of the number of items, for both sides.
    """
    regularized = sources.astype(np.float32).toarray()
    regularized[np.diag_indices(len(regularized))] += np.float32(regularization)
    weights: Float32[np.ndarray, "item item"] = linalg.solve(
        regularized,
        targets.astype(np.float32).toarray(),
        assume_a="pos",
        overwrite_a=True,
        overwrite_b=True,
        check_finite=False,
    )
    return weights


def choose_linear_map(
    name: str,
    solve: Callable[[Settings], Float32[np.ndarray, "item item"]],
    grid: tuple[Settings, ...],
    validation: EvaluationSplit,
    progress: Progress,
) -> Choice[Settings]:
    """Choose the settings that rank validation users' next items best, solving once for neighbours in `grid` that
    differ in their decay alone.
    """

    def candidates() -> Iterator[tuple[Settings, Ease]]:
        solved: Settings | None = None
        for settings in grid:
            if solved is None or replace(solved, decay=settings.decay) != settings:
                weights, solved = solve(settings), settings
            yield settings, Ease(weights, settings.decay)

    return best_on_validation(candidates(), len(grid), validation, f"{name}: settings", progress)
