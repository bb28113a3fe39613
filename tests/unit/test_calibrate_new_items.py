"""Moving new items up: as far as the others can bear, and not where nobody wants one."""

from dataclasses import replace

import numpy as np
import pytest

from clairo_core.ranking import Mixture
from clairo_core.ranking.mixture import COUNT_EDGES, LENGTH_EDGES
from training.joint_ranking.calibrate_new_items import calibrated, recall, totals_of
from training.joint_ranking.fit_mixture import MixtureExamples

NUM_USERS, NUM_OLD = 200, 15
MIXTURE = Mixture(
    ("only",),
    np.array([1.0]),
    np.ones((1, len(COUNT_EDGES))),
    np.zeros((1, len(LENGTH_EDGES))),
    np.array([5.0, -6.0, *np.zeros(len(COUNT_EDGES) - 2)]),
)


def examples(share_of_new_targets: float = 0.1) -> MixtureExamples:
    """One new item beside others; those who want it have it scored highest, the rest want one of the best others."""
    random = np.random.default_rng(0)
    scores = random.random((NUM_USERS, NUM_OLD + 1, 1))
    is_target = np.zeros((NUM_USERS, NUM_OLD + 1), dtype=np.bool_)
    wants_new = np.arange(NUM_USERS) < share_of_new_targets * NUM_USERS
    scores[wants_new, 0] = 3.0
    is_target[wants_new, 0] = True
    best = np.argsort(-scores[:, 1:, 0], axis=1)[np.arange(NUM_USERS), np.arange(NUM_USERS) % 10] + 1
    is_target[~wants_new, best[~wants_new]] = True
    counts = np.full((NUM_USERS, NUM_OLD + 1), 7)
    counts[:, 0] = 0
    lengths = np.ones(NUM_USERS, dtype=np.int64)
    return MixtureExamples(scores, counts, np.ones_like(is_target), is_target, lengths)


def test_new_items_are_moved_up_until_the_others_would_notice() -> None:
    moved, chosen = calibrated(MIXTURE, examples(), most_lost=0.02)
    assert chosen is not None
    assert chosen.step > 0
    # New items start where the rarest are.
    assert moved.offsets[0] == MIXTURE.offsets[1] + chosen.step
    assert moved.offsets[1:].tolist() == MIXTURE.offsets[1:].tolist()
    assert chosen.warm_recall >= 0.98 * chosen.warm_recall_without
    wants_new = np.arange(NUM_USERS) < 0.1 * NUM_USERS
    as_the_rarest = replace(MIXTURE, offsets=np.array([-6.0, *MIXTURE.offsets[1:]]))
    before = recall(totals_of(as_the_rarest, examples()), examples().is_target, wants_new)
    assert chosen.cold_recall == 1.0 > before


def test_the_less_may_be_lost_the_less_they_are_moved() -> None:
    steps = []
    for most_lost in (0.0, 0.05, 0.5):
        _, chosen = calibrated(MIXTURE, examples(), most_lost)
        assert chosen is not None
        steps.append(chosen.step)
    assert steps == sorted(steps)
    assert steps[0] < steps[-1]


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_where_nobody_can_say_what_a_new_item_costs_nothing_is_moved(share: float) -> None:
    moved, chosen = calibrated(MIXTURE, examples(share), most_lost=0.02)
    assert chosen is None
    assert moved.offsets[0] == MIXTURE.offsets[1]


def test_padding_is_in_no_list() -> None:
    padded = examples()
    padded.is_item[:, 5:] = False
    assert np.isneginf(totals_of(replace(MIXTURE), padded)[:, 5:]).all()
