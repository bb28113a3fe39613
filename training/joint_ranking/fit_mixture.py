"""Find how to weigh components: on validation users, by what makes their next items most probable.

Knows candidates, their scores and targets; knows nothing of what components look at. Start at `fit_mixture`.

Multinomial logistic regression among the candidates, pulled slightly towards equal weights. Items that training never
saw are not weighed; `calibrate_new_items` decides on them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64
from scipy import optimize

from clairo_core.errors import TrainingError
from clairo_core.ranking.mixture import COUNT_EDGES, LENGTH_EDGES, Mixture, groups_of, on_log_scale

FLOOR_SHARE = 0.2
"""A component's floor, as a share of its mean score of the candidates: chosen on Instruments' and MovieLens' validation
users, where anything from 0.1 to 0.3 does as well."""
PULL = 1.0
"""Strength of the prior: one user's worth of squared distance from equal weights."""


@dataclass(frozen=True, slots=True, eq=False)
class MixtureExamples:
    """Users whose next item is known, and what competes for their first place. Rows are padded."""

    scores: Float64[np.ndarray, "user candidate component"]
    training_counts: Int64[np.ndarray, "user candidate"]
    is_item: Bool[np.ndarray, "user candidate"]
    is_target: Bool[np.ndarray, "user candidate"]
    history_lengths: Int64[np.ndarray, "user"]
    target_counts: Int64[np.ndarray, "user"]
    """Of each user's next item, which need not be among the candidates."""


def join_examples(parts: Sequence[MixtureExamples]) -> MixtureExamples:
    """All parts' users one after another."""
    width = max(part.is_item.shape[1] for part in parts)

    def wide(array: np.ndarray) -> np.ndarray:
        return np.pad(array, [(0, 0), (0, width - array.shape[1]), *([(0, 0)] * (array.ndim - 2))])

    return MixtureExamples(
        np.concatenate([wide(part.scores) for part in parts]),
        np.concatenate([wide(part.training_counts) for part in parts]),
        np.concatenate([wide(part.is_item) for part in parts]),
        np.concatenate([wide(part.is_target) for part in parts]),
        np.concatenate([part.history_lengths for part in parts]),
        np.concatenate([part.target_counts for part in parts]),
    )


def fit_mixture(components: tuple[str, ...], examples: MixtureExamples) -> Mixture:
    """The weights.

    Raises:
        TrainingError: nobody's next item is among the candidates.
    """
    is_told = examples.is_target.any(axis=1)
    if not is_told.any():
        raise TrainingError("no component finds any validation user's next item; there is nothing to weigh them by")
    mean_scores = np.array([of_one[examples.is_item].mean() for of_one in np.moveaxis(examples.scores, -1, 0)])
    floors = np.maximum(FLOOR_SHARE * mean_scores, 1e-12)
    logs = on_log_scale(examples.scores[is_told], floors)
    count_groups = groups_of(examples.training_counts[is_told], COUNT_EDGES)
    length_groups = groups_of(examples.history_lengths[is_told], LENGTH_EDGES)
    is_item, is_target = examples.is_item[is_told], examples.is_target[is_told]
    num_components, num_counts, num_lengths = len(components), len(COUNT_EDGES), len(LENGTH_EDGES)
    cuts = np.cumsum([num_components * num_counts, num_components * num_lengths])
    prior = np.zeros(cuts[1] + num_counts)
    prior[: cuts[0]] = 1.0

    def parts_of(
        flat: Float64[np.ndarray, "weight"],
    ) -> tuple[
        Float64[np.ndarray, "component group"], Float64[np.ndarray, "component group"], Float64[np.ndarray, "group"]
    ]:
        by_count, by_length, offsets = np.split(flat, cuts)
        return by_count.reshape(num_components, num_counts), by_length.reshape(num_components, num_lengths), offsets

    def loss(flat: Float64[np.ndarray, "weight"]) -> tuple[float, Float64[np.ndarray, "weight"]]:
        by_count, by_length, offsets = parts_of(flat)
        weights = by_count.T[count_groups] + by_length.T[length_groups][:, None, :]
        totals = np.where(is_item, (weights * logs).sum(axis=-1) + offsets[count_groups], -np.inf)
        totals -= totals.max(axis=1, keepdims=True)
        chances = np.exp(totals)
        chances /= chances.sum(axis=1, keepdims=True)
        surprise = -np.log(np.maximum(chances[is_target], 1e-300)).sum()
        off = chances - is_target
        pulled = off[..., None] * logs
        gradient = PULL * 2 * (flat - prior)
        of_counts, of_lengths, of_offsets = parts_of(gradient)
        for component in range(num_components):
            of_counts[component] += np.bincount(count_groups.ravel(), pulled[..., component].ravel(), num_counts)
            of_lengths[component] += np.bincount(length_groups, pulled[..., component].sum(axis=1), num_lengths)
        of_offsets += np.bincount(count_groups.ravel(), off.ravel(), num_counts)
        return float(surprise + PULL * np.sum((flat - prior) ** 2)), gradient

    found = optimize.minimize(loss, prior, jac=True, method="L-BFGS-B", options={"maxiter": 200}).x
    return Mixture(components, floors, *parts_of(found))
