"""Decide how readily items that nobody has used are recommended: in as many places as they have buyers.

Knows a fitted mixture and examples in which some items compete as if posted just now; knows nothing of what components
look at. Start at `calibrated`.

A new item stands where the dense head puts it among the others (`JointRanking`), lifted by the same amount for all.
With too little of it new items vanish, with too much they flood: the share of first places that they take is made the
share of users who want one, unless the users who want something else would lose too much.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float64

from clairo_core.ranking import Mixture
from clairo_core.ranking.joint_ranking import DENSE_COLUMN
from clairo_core.ranking.new_items import with_new_placed
from training.ranking.fit_mixture import MixtureExamples, features_of

PLACES = 10
LEAST_LIFT, MOST_LIFT = -3.0, 3.0
"""Added to the dense head's logarithms of probabilities."""
STEPS = (0.5, 0.1, 0.02)
"""Upwards, the next one from where one of the last would have been too much."""


@dataclass(frozen=True, slots=True)
class NewItemCalibration:
    """What was chosen, and what it brings on the users that it was chosen on."""

    lift: float
    share_of_places: float
    """Of the first ten of everybody, those that hold a new item."""
    share_of_targets: float
    """Of everybody's next items, those that are new."""
    warm_recall_without: float
    """Recall@10 of targets that were used in training, if no new item competed."""
    warm_recall: float
    cold_recall: float


def calibrated(
    mixture: Mixture, examples: MixtureExamples, most_lost: float
) -> tuple[Mixture, NewItemCalibration | None]:
    """The mixture with the largest lift that is no flood and costs the others at most `most_lost` of their Recall@10.

    Args:
        mixture: fitted where no item was new.
        examples: of the same users, some items competing as if posted just now.
        most_lost: a share of the recall that the others have where no new item competes.

    Returns:
        The mixture, and what was chosen; None, and no lift, if no user's target is a new item.
    """
    is_new = examples.is_item & (examples.training_counts == 0)
    wants_new = examples.target_counts == 0
    if wants_new.all() or not wants_new.any():
        return replace(mixture, new_item_lift=0.0), None
    totals = totals_of(mixture, examples)
    without = recall(np.where(is_new, -np.inf, totals), examples.is_target, ~wants_new)

    def tried(lift: float) -> NewItemCalibration:
        placed = placed_as_served(examples, totals, lift)
        return NewItemCalibration(
            lift,
            share_of_places(placed, is_new),
            float(wants_new.mean()),
            without,
            recall(placed, examples.is_target, ~wants_new),
            recall(placed, examples.is_target, wants_new),
        )

    def is_too_much(of_lift: NewItemCalibration) -> bool:
        is_flood = of_lift.share_of_places > of_lift.share_of_targets
        return is_flood or of_lift.warm_recall < (1.0 - most_lost) * without

    chosen = tried(LEAST_LIFT)
    for step in STEPS:
        while chosen.lift < MOST_LIFT and not is_too_much(higher := tried(chosen.lift + step)):
            chosen = higher
    return replace(mixture, new_item_lift=chosen.lift), chosen


def totals_of(mixture: Mixture, examples: MixtureExamples) -> Float64[np.ndarray, "user candidate"]:
    """Every candidate's total, of no meaning for new items; -inf for padding."""
    totals = mixture.totals_of(features_of(examples, mixture.floors))
    padded: Float64[np.ndarray, "user candidate"] = np.where(examples.is_item, totals, -np.inf)
    return padded


def placed_as_served(
    examples: MixtureExamples, totals: Float64[np.ndarray, "user candidate"], lift: float
) -> Float64[np.ndarray, "user candidate"]:
    """The totals, new items' as `JointRanking` places them among the others."""
    placed = totals.copy()
    for user, (is_item, is_known_of_all) in enumerate(zip(examples.is_item, examples.is_known, strict=True)):
        is_known = is_known_of_all[is_item]
        dense = examples.scores[user, is_item, DENSE_COLUMN]
        placed[user, is_item] = with_new_placed(totals[user, is_item], dense, ~is_known, is_known, lift)
    return placed


def share_of_places(totals: Float64[np.ndarray, "user candidate"], is_new: Bool[np.ndarray, "user candidate"]) -> float:
    """How much of everybody's first places new items take."""
    first = np.argsort(-totals, axis=1, kind="stable")[:, :PLACES]
    return float(np.take_along_axis(is_new, first, axis=1).mean())


def recall(
    totals: Float64[np.ndarray, "user candidate"],
    is_target: Bool[np.ndarray, "user candidate"],
    users: Bool[np.ndarray, "user"],
) -> float:
    """Share of these users whose target is in the first places; ties count against it."""
    of_target = np.where(is_target[users], totals[users], -np.inf).max(axis=1, keepdims=True)
    rank = (totals[users] >= of_target).sum(axis=1)
    return float((np.isfinite(of_target[:, 0]) & (rank <= PLACES)).mean())
