"""Decide how readily items that nobody has used are recommended: as much as the others can bear.

Knows a fitted mixture and examples in which some items compete as if posted just now; knows nothing of what components
look at. Start at `calibrated`.

New items are weighed as those that were used least. The likelihood would hide them: each is a worse guess than a
bestseller, and it learns nothing from being shown. So they are moved up, all by the same amount, until the users who
wanted something else would notice.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float64

from clairo_core.ranking.mixture import COUNT_EDGES, LENGTH_EDGES, Mixture, groups_of, on_log_scale
from training.joint_ranking.fit_mixture import MixtureExamples

PLACES = 10
STEPS = np.arange(-4.0, 8.01, 0.25)
"""Added to new items' totals, which are logarithms of probabilities."""
NEW_GROUP, RAREST_GROUP = 0, 1


@dataclass(frozen=True, slots=True)
class NewItemCalibration:
    """What was chosen, and what it brings on the users that it was chosen on."""

    step: float
    warm_recall_without: float
    """Recall@10 of targets that were used in training, if no new item competed."""
    warm_recall: float
    cold_recall: float


def calibrated(
    mixture: Mixture, examples: MixtureExamples, most_lost: float
) -> tuple[Mixture, NewItemCalibration | None]:
    """The mixture with new items moved up as far as it costs at most `most_lost` of the others' Recall@10.

    Args:
        mixture: fitted where no item was new.
        examples: of the same users, some items competing as if posted just now.
        most_lost: a share of the recall that the others have where no new item competes.

    Returns:
        The mixture, and what was chosen; None, and new items as the rarest, if no user's target is a new item.
    """
    by_count, offsets = mixture.by_count.copy(), mixture.offsets.copy()
    by_count[:, NEW_GROUP], offsets[NEW_GROUP] = by_count[:, RAREST_GROUP], offsets[RAREST_GROUP]
    mixture = replace(mixture, by_count=by_count, offsets=offsets)
    totals = totals_of(mixture, examples)
    is_new = examples.is_item & (examples.training_counts == 0)
    wants_new = (examples.is_target & is_new).any(axis=1)
    wants_other = examples.is_target.any(axis=1) & ~wants_new
    if not wants_new.any() or not wants_other.any():
        return mixture, None
    without = recall(np.where(is_new, -np.inf, totals), examples.is_target, wants_other)
    chosen = NewItemCalibration(float(STEPS[0]), without, 0.0, 0.0)
    for step in STEPS.tolist():
        moved = totals + step * is_new
        warm = recall(moved, examples.is_target, wants_other)
        cold = recall(moved, examples.is_target, wants_new)
        if step == STEPS[0] or warm >= (1.0 - most_lost) * without:
            chosen = NewItemCalibration(step, without, warm, cold)
    offsets[NEW_GROUP] += chosen.step
    return replace(mixture, offsets=offsets), chosen


def totals_of(mixture: Mixture, examples: MixtureExamples) -> Float64[np.ndarray, "user candidate"]:
    """Every candidate's total; -inf for padding."""
    counts = groups_of(examples.training_counts, COUNT_EDGES)
    lengths = groups_of(examples.history_lengths, LENGTH_EDGES)
    weights = mixture.by_count.T[counts] + mixture.by_length.T[lengths][:, None, :]
    totals = (weights * on_log_scale(examples.scores, mixture.floors)).sum(axis=-1) + mixture.offsets[counts]
    padded: Float64[np.ndarray, "user candidate"] = np.where(examples.is_item, totals, -np.inf)
    return padded


def recall(
    totals: Float64[np.ndarray, "user candidate"],
    is_target: Bool[np.ndarray, "user candidate"],
    users: Bool[np.ndarray, "user"],
) -> float:
    """Share of these users whose target is in the first places; ties count against it."""
    of_target = np.where(is_target[users], totals[users], -np.inf).max(axis=1, keepdims=True)
    rank = (totals[users] >= of_target).sum(axis=1)
    return float((np.isfinite(of_target[:, 0]) & (rank <= PLACES)).mean())
