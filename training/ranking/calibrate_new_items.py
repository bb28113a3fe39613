"""Calibrate how often new items are recommended: in as many places as they have buyers.

Takes a fitted mixture and examples in which some items compete as if they had just been posted. Start at `calibrated`.

A new item ranks where the dense head puts it among the others (`JointRanking`), plus one lift for all. With too small a
lift new items vanish, with too large a lift they flood. The share of first places that they take is matched to the
share of users who want one, unless other users would lose too much.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float64

from clairo_core.ranking import Mixture
from clairo_core.ranking.joint_ranking import DENSE
from clairo_core.ranking.new_items import with_new_placed
from training.ranking.fit_mixture import MixtureExamples, features_of

PLACES = 10
LEAST_LIFT, MOST_LIFT = -3.0, 3.0
"""Added to the dense head's log-probabilities."""
USERS_AT_ONCE = 256
STEPS = (0.5, 0.1, 0.02)
"""Steps upwards: the search takes a finer one where the last would go too far."""


@dataclass(frozen=True, slots=True)
class NewItemCalibration:
    """The chosen lift and its effect on the users that it was chosen on."""

    lift: float
    share_of_places: float
    """Share of all first ten places that hold a new item."""
    share_of_targets: float
    """Share of all next items that are new."""
    warm_recall_without: float
    """Recall@10 of targets seen in training, with no new item competing."""
    warm_recall: float
    cold_recall: float


def calibrated(
    mixture: Mixture, examples: MixtureExamples, most_lost: float
) -> tuple[Mixture, NewItemCalibration | None]:
    """Choose the largest lift that floods no list and costs other targets at most `most_lost` of their Recall@10.

    Args:
        mixture: fitted on examples without new items.
        examples: of the same users, some items competing as if they had just been posted.
        most_lost: share of the recall without new items.

    Returns:
        The mixture with its lift, and the calibration. Without candidates, or both new and other targets: no lift,
        and None.
    """
    is_new = examples.is_item & (examples.training_counts == 0)
    wants_new = examples.target_counts == 0
    if wants_new.all() or not wants_new.any() or not examples.is_item.any():
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
    """Every candidate's total: meaningless for new items, -inf for padding."""
    totals = np.full(examples.is_item.shape, -np.inf)
    # In blocks: features and hidden units of all users together would take gigabytes.
    for start in range(0, len(totals), USERS_AT_ONCE):
        users = slice(start, start + USERS_AT_ONCE)
        of_users = mixture.totals_of(features_of(examples, mixture.floors, users))
        np.copyto(totals[users], of_users, where=examples.is_item[users])
    return totals


def placed_as_served(
    examples: MixtureExamples, totals: Float64[np.ndarray, "user candidate"], lift: float
) -> Float64[np.ndarray, "user candidate"]:
    """The totals, with new items placed among the others as in `JointRanking`."""
    placed, dense_column = totals.copy(), examples.components.index(DENSE)
    for user, (is_item, is_known_of_all) in enumerate(zip(examples.is_item, examples.is_known, strict=True)):
        is_known = is_known_of_all[is_item]
        dense = examples.scores[user, is_item, dense_column].astype(np.float64)
        placed[user, is_item] = with_new_placed(totals[user, is_item], dense, ~is_known, is_known, lift)
    return placed


def share_of_places(totals: Float64[np.ndarray, "user candidate"], is_new: Bool[np.ndarray, "user candidate"]) -> float:
    """Share of all first places that new items take."""
    first = np.argsort(-totals, axis=1, kind="stable")[:, :PLACES]
    return float(np.take_along_axis(is_new, first, axis=1).mean())


def recall(
    totals: Float64[np.ndarray, "user candidate"],
    is_target: Bool[np.ndarray, "user candidate"],
    users: Bool[np.ndarray, "user"],
) -> float:
    """Share of these users whose target is in the first places. Ties count against it."""
    of_target = np.where(is_target[users], totals[users], -np.inf).max(axis=1, keepdims=True)
    rank = (totals[users] >= of_target).sum(axis=1)
    return float((np.isfinite(of_target[:, 0]) & (rank <= PLACES)).mean())
