"""Calibrate how often new items are recommended: in as many places as they have buyers.

Takes a fitted mixture and examples in which some items compete as if they had just been posted. Start at `calibrated`.

A new item ranks where the dense head puts it among the others (`JointRanking`), plus one lift for all. With too small a
lift new items vanish, with too large a lift they flood. The share of first places that they take is matched to the
share of users who want one, unless other users would lose too much.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float64, Int64

from clairo_core.ranking import Mixture
from clairo_core.ranking.joint_ranking import DENSE
from clairo_core.ranking.new_items import log_probabilities
from clairo_core.ranking.quantile_map import QuantileMap, quantile_map
from training.evaluation.metrics import recall_at
from training.ranking.fit_mixture import MixtureExamples, features_of, rows_of

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
    wants_new = examples.target_counts == 0
    if wants_new.all() or not wants_new.any() or not len(examples.scores):
        return replace(mixture, new_item_lift=0.0), None
    totals = totals_of(mixture, examples)
    without = recall(np.where(examples.training_counts == 0, -np.inf, totals), examples, ~wants_new)
    contenders = contenders_of(examples, totals)

    def tried(lift: float) -> NewItemCalibration:
        placed = contenders.placed(lift)
        return NewItemCalibration(
            lift,
            share_of_places(placed, contenders.examples),
            float(wants_new.mean()),
            without,
            recall(placed, contenders.examples, ~wants_new),
            recall(placed, contenders.examples, wants_new),
        )

    def is_too_much(of_lift: NewItemCalibration) -> bool:
        is_flood = of_lift.share_of_places > of_lift.share_of_targets
        return is_flood or of_lift.warm_recall < (1.0 - most_lost) * without

    chosen = tried(LEAST_LIFT)
    for step in STEPS:
        while chosen.lift < MOST_LIFT and not is_too_much(higher := tried(chosen.lift + step)):
            chosen = higher
    return replace(mixture, new_item_lift=chosen.lift), chosen


def totals_of(mixture: Mixture, examples: MixtureExamples) -> Float64[np.ndarray, "candidate"]:
    """Every candidate's total: meaningless for new items."""
    totals = [np.zeros(0)]
    # In blocks: features and hidden units of all users together would take gigabytes.
    for start in range(0, len(examples.num_candidates), USERS_AT_ONCE):
        of_users = examples.of_users(np.arange(len(examples.num_candidates))[start : start + USERS_AT_ONCE])
        totals.append(mixture.totals_of(features_of(of_users, mixture.floors)))
    return np.concatenate(totals)


@dataclass(frozen=True, slots=True, eq=False)
class Contenders:
    """What can take a user's first places, whatever the lift: new items, and the first of the others."""

    examples: MixtureExamples
    totals: Float64[np.ndarray, "candidate"]
    """Meaningless for new items."""
    dense: Float64[np.ndarray, "candidate"]
    """The dense head's log-probabilities."""
    maps: Sequence[QuantileMap]
    """By user, from the dense head's to totals, of all candidates that are not new."""

    def placed(self, lift: float) -> Float64[np.ndarray, "candidate"]:
        """The totals, with new items placed among the others as in `JointRanking`."""
        is_new = self.examples.training_counts == 0
        placed = self.totals.copy()
        for of_user, to_totals in zip(self.examples.slices(), self.maps, strict=True):
            of_new = is_new[of_user]
            placed[of_user][of_new] = to_totals(self.dense[of_user][of_new] + lift)
        return placed


def contenders_of(examples: MixtureExamples, totals: Float64[np.ndarray, "candidate"]) -> Contenders:
    """Leave out what no new item could move into the first places."""
    is_new = examples.training_counts == 0
    dense = log_probabilities(examples.scores[:, examples.components.index(DENSE)].astype(np.float64))
    maps, is_contender = [], is_new.copy()
    for of_user in examples.slices():
        is_other = ~is_new[of_user]
        maps.append(quantile_map(dense[of_user][is_other], totals[of_user][is_other]))
        is_contender[of_user] |= totals[of_user] >= maps[-1].to_scores[-PLACES:].min(initial=np.inf)
    return Contenders(examples.of_candidates(is_contender), totals[is_contender], dense[is_contender], maps)


def share_of_places(totals: Float64[np.ndarray, "candidate"], examples: MixtureExamples) -> float:
    """Share of all first places that new items take."""
    best_first = np.lexsort((-totals, examples.user_of))
    starts = np.cumsum(examples.num_candidates) - examples.num_candidates
    first = best_first[rows_of(starts, np.minimum(examples.num_candidates, PLACES))]
    return float((examples.training_counts[first] == 0).mean())


def recall(
    totals: Float64[np.ndarray, "candidate"], examples: MixtureExamples, users: Bool[np.ndarray, "user"]
) -> float:
    """Share of these users whose target is in the first places."""
    return float(recall_at(target_ranks(totals, examples)[users], PLACES).mean())


def target_ranks(totals: Float64[np.ndarray, "candidate"], examples: MixtureExamples) -> Int64[np.ndarray, "user"]:
    """The rank of each user's target, 0 if it is no candidate. Ties count against it."""
    num_users, user_of = len(examples.num_candidates), examples.user_of
    of_target = np.full(num_users, -np.inf)
    of_target[user_of[examples.is_target]] = totals[examples.is_target]
    ranks = np.bincount(user_of[totals >= of_target[user_of]], minlength=num_users)
    return np.where(np.isfinite(of_target), ranks, 0)
