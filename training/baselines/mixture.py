"""Add scorers up in item space, each weighed by how popular the item and how long the history is.

Knows scorers and training counts; knows nothing of what a scorer looks at. Start at `fit_mixture`.

An item's score is the sum over components of weight * log(1 + score / floor), and an offset for the item's popularity.
A component's weight is one of the item's training-count group plus one of the history's length group. All are found at
once on validation users: they maximise the softmax likelihood of what came next among the items that any component
places high, pulled slightly towards equal weights (multinomial logistic regression).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Int, Int64
from scipy import optimize

from clairo_core.errors import TrainingError
from clairo_core.progress import Progress, silent
from clairo_core.sequences import ItemSequences
from training.baselines.choose_settings import USERS_A_BLOCK
from training.baselines.scorer import ItemScorer
from training.datasets.split import EvaluationSplit
from training.slices import EDGES

NUM_CANDIDATES = 50
"""Places of each component that compete in fitting."""
MAX_USERS = 4000
"""Validation users that weights are fitted on; a seeded sample of more."""
FLOOR_SHARE = 0.2
"""A component's floor, as a share of its mean score of the candidates: chosen on Instruments' and MovieLens' validation
users, where anything from 0.1 to 0.3 does as well."""
PULL = 1.0
"""Strength of the prior: one user's worth of squared distance from equal weights."""
NUM_GROUPS = len(EDGES)


@dataclass(frozen=True, slots=True, eq=False)
class Mixture:
    """Components and how to weigh them."""

    components: tuple[ItemScorer, ...]
    floors: tuple[float, ...]
    item_groups: Int64[np.ndarray, "item"]
    by_popularity: Float64[np.ndarray, "component group"]
    by_history: Float64[np.ndarray, "component group"]
    offsets: Float64[np.ndarray, "group"]

    def scores(self, histories: ItemSequences) -> Float64[np.ndarray, "user item"]:
        """The weighted sum; components score every item."""
        history_groups = groups_of(histories.lengths)
        total = np.broadcast_to(self.offsets[self.item_groups], (len(histories), len(self.item_groups))).copy()
        for place, (component, floor) in enumerate(zip(self.components, self.floors, strict=True)):
            weights = self.by_history[place, history_groups][:, None] + self.by_popularity[place, self.item_groups]
            total += weights * on_log_scale(component.scores(histories), floor)
        return total


def groups_of(counts: Int[np.ndarray, "count"]) -> Int64[np.ndarray, "count"]:
    """The slice that each count falls into, as the tables cut them."""
    return np.searchsorted(EDGES, counts, side="right") - 1


def on_log_scale(scores: Float[np.ndarray, "user item"], floor: float) -> Float64[np.ndarray, "user item"]:
    """log(1 + score / floor): 0 for what a component has nothing to say of."""
    logs: Float64[np.ndarray, "user item"] = np.log1p(np.maximum(scores, 0.0) / floor, dtype=np.float64)
    return logs


def fit_mixture(
    components: Sequence[ItemScorer],
    training_counts: Int[np.ndarray, "item"],
    validation: EvaluationSplit,
    seed: int = 0,
    progress: Progress[int] = silent,
) -> Mixture:
    """Find weights on validation users; components must have been fitted without them.

    Raises:
        TrainingError: no validation user's next item is among the candidates.
    """
    num_users = min(MAX_USERS, len(validation.targets))
    users = np.sort(np.random.default_rng(seed).permutation(len(validation.targets))[:num_users])
    item_groups = groups_of(training_counts)
    raw, items, is_item, is_target = _candidates(components, validation, users, progress)
    if not is_target.any():
        raise TrainingError(
            "no component places any validation user's next item high; there is nothing to weigh them by"
        )
    floors = tuple(
        float(max(FLOOR_SHARE * np.maximum(raw[..., place], 0.0)[is_item].mean(), 1e-12))
        for place in range(len(components))
    )
    history_groups = groups_of(validation.histories.lengths[users])
    logs = np.stack([on_log_scale(raw[..., place], floor) for place, floor in enumerate(floors)], axis=-1)
    parts = _fit(logs, item_groups[items], history_groups, is_item, is_target)
    return Mixture(tuple(components), floors, item_groups, *parts)


def _candidates(
    components: Sequence[ItemScorer],
    validation: EvaluationSplit,
    users: Int[np.ndarray, "user"],
    progress: Progress[int],
) -> tuple[
    Float64[np.ndarray, "user candidate component"],
    Int64[np.ndarray, "user candidate"],
    Bool[np.ndarray, "user candidate"],
    Bool[np.ndarray, "user candidate"],
]:
    """What every component says of the unseen items that any of them places high."""
    width = NUM_CANDIDATES * len(components)
    raw = np.zeros((len(users), width, len(components)))
    items = np.zeros((len(users), width), dtype=np.int64)
    is_item = np.zeros((len(users), width), dtype=np.bool_)
    starts = range(0, len(users), USERS_A_BLOCK)
    for start in progress(starts, "mixture: candidates", len(starts)):
        block = users[start : start + USERS_A_BLOCK]
        histories = validation.histories.select(block)
        seen = (np.repeat(np.arange(len(block)), histories.lengths), histories.items)
        all_scores = [np.array(component.scores(histories), dtype=np.float64) for component in components]
        tops = []
        for scores in all_scores:
            scores[seen] = -np.inf
            num_places = min(NUM_CANDIDATES, scores.shape[1])
            tops.append(np.argpartition(-scores, num_places - 1, axis=1)[:, :num_places])
        for row, placed in enumerate(np.concatenate(tops, axis=1)):
            chosen = np.unique(placed)
            chosen = chosen[np.isfinite(all_scores[0][row, chosen])]
            items[start + row, : len(chosen)] = chosen
            is_item[start + row, : len(chosen)] = True
            raw[start + row, : len(chosen)] = np.stack([scores[row, chosen] for scores in all_scores], axis=-1)
    is_target = is_item & (items == validation.targets[users][:, None])
    return raw, items, is_item, is_target


def _fit(
    logs: Float64[np.ndarray, "user candidate component"],
    item_groups: Int64[np.ndarray, "user candidate"],
    history_groups: Int64[np.ndarray, "user"],
    is_item: Bool[np.ndarray, "user candidate"],
    is_target: Bool[np.ndarray, "user candidate"],
) -> tuple[
    Float64[np.ndarray, "component group"], Float64[np.ndarray, "component group"], Float64[np.ndarray, "group"]
]:
    """Multinomial logistic regression over the users whose target is a candidate."""
    is_told = is_target.any(axis=1)
    logs, item_groups, history_groups = logs[is_told], item_groups[is_told], history_groups[is_told]
    is_item, is_target = is_item[is_told], is_target[is_told]
    num_components = logs.shape[-1]
    size = num_components * NUM_GROUPS
    prior = np.zeros(2 * size + NUM_GROUPS)
    prior[:size] = 1.0

    def loss(flat: Float64[np.ndarray, "weight"]) -> tuple[float, Float64[np.ndarray, "weight"]]:
        by_popularity = flat[:size].reshape(num_components, NUM_GROUPS)
        by_history = flat[size : 2 * size].reshape(num_components, NUM_GROUPS)
        weights = by_popularity.T[item_groups] + by_history.T[history_groups][:, None, :]
        scores = np.where(is_item, (weights * logs).sum(axis=-1) + flat[2 * size :][item_groups], -np.inf)
        scores -= scores.max(axis=1, keepdims=True)
        chances = np.exp(scores)
        chances /= chances.sum(axis=1, keepdims=True)
        surprise = -np.log(np.maximum(chances[is_target], 1e-300)).sum()
        off = chances - is_target
        pulled = off[..., None] * logs
        gradient = PULL * 2 * (flat - prior)
        for component in range(num_components):
            at = component * NUM_GROUPS
            gradient[at : at + NUM_GROUPS] += np.bincount(
                item_groups.ravel(), pulled[..., component].ravel(), NUM_GROUPS
            )
            at += size
            gradient[at : at + NUM_GROUPS] += np.bincount(
                history_groups, pulled[..., component].sum(axis=1), NUM_GROUPS
            )
        gradient[2 * size :] += np.bincount(item_groups.ravel(), off.ravel(), NUM_GROUPS)
        return float(surprise + PULL * np.sum((flat - prior) ** 2)), gradient

    found = optimize.minimize(loss, prior, jac=True, method="L-BFGS-B", options={"maxiter": 200}).x
    return (
        found[:size].reshape(num_components, NUM_GROUPS),
        found[size : 2 * size].reshape(num_components, NUM_GROUPS),
        found[2 * size :],
    )
