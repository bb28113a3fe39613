"""Calibrating new items: as many places as they have buyers, within the allowed loss of the others."""

import numpy as np
import pytest

from tests.tiny import plain_sum
from training.ranking.calibrate_new_items import LEAST_LIFT, USERS_AT_ONCE, calibrated, placed_as_served, totals_of
from training.ranking.fit_mixture import MixtureExamples

NUM_USERS, NUM_OLD, NUM_NEW = 200, 30, 4
MIXTURE = plain_sum("other", "dense")


def examples(share_of_new_targets: float = 0.1) -> MixtureExamples:
    """Some new items before others. The dense head underrates them, least for users whose target is the first."""
    random = np.random.default_rng(0)
    shape = (NUM_USERS, NUM_NEW + NUM_OLD)
    scores = random.random((*shape, 2))
    scores[:, :NUM_NEW] *= 0.1
    scores[:, :NUM_NEW, 0] = 0.0
    is_target = np.zeros(shape, dtype=np.bool_)
    wants_new = np.arange(NUM_USERS) < share_of_new_targets * NUM_USERS
    scores[wants_new, 0, 1] = 0.3
    is_target[wants_new, 0] = True
    best = np.argsort(-scores[:, NUM_NEW:, 1], axis=1)[np.arange(NUM_USERS), np.arange(NUM_USERS) % 10] + NUM_NEW
    is_target[~wants_new, best[~wants_new]] = True
    counts = np.full(shape, 7)
    counts[:, :NUM_NEW] = 0
    return MixtureExamples(
        ("other", "dense"),
        (),
        scores.astype(np.float32),
        np.zeros((*shape, 0), dtype=np.float32),
        counts,
        np.ones(shape, dtype=np.bool_),
        is_target,
        np.ones((*shape, 2), dtype=np.bool_),
        np.ones(NUM_USERS, dtype=np.int64),
        np.where(wants_new, 0, 7),
    )


def test_new_items_get_as_many_places_as_they_have_buyers() -> None:
    lifted, chosen = calibrated(MIXTURE, examples(), most_lost=0.5)
    assert chosen is not None
    assert chosen.lift == lifted.new_item_lift > 0
    assert chosen.share_of_targets == 0.1
    assert 0.07 < chosen.share_of_places <= 0.1
    assert chosen.cold_recall > 0.9
    assert chosen.warm_recall <= chosen.warm_recall_without


def test_a_smaller_allowed_loss_gives_a_smaller_lift() -> None:
    lifts = []
    for most_lost in (0.0, 0.02, 0.5):
        _, chosen = calibrated(MIXTURE, examples(0.3), most_lost)
        assert chosen is not None
        assert chosen.warm_recall >= (1 - most_lost) * chosen.warm_recall_without or chosen.lift == LEAST_LIFT
        lifts.append(chosen.lift)
    assert lifts == sorted(lifts)
    assert lifts[0] < lifts[-1]


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_without_both_new_and_other_targets_nothing_is_lifted(share: float) -> None:
    lifted, chosen = calibrated(MIXTURE, examples(share), most_lost=0.02)
    assert chosen is None
    assert lifted.new_item_lift == 0.0


def test_new_items_rank_where_the_dense_head_puts_them_among_the_others() -> None:
    given = examples()
    placed = placed_as_served(given, totals_of(MIXTURE, given), 0.0)
    for user in range(20):
        for new in range(NUM_NEW):
            by_dense = (given.scores[user, NUM_NEW:, 1] > given.scores[user, new, 1]).sum()
            assert (placed[user, NUM_NEW:] > placed[user, new]).sum() == by_dense


def test_padding_is_in_no_list() -> None:
    padded = examples()
    padded.is_item[:, 5:] = False
    assert np.isneginf(totals_of(MIXTURE, padded)[:, 5:]).all()


def test_totals_in_blocks_are_those_of_each_user_alone() -> None:
    given = examples().of_users(np.arange(2 * USERS_AT_ONCE + 3) % NUM_USERS)
    alone = [totals_of(MIXTURE, given.of_users(np.array([user]))) for user in range(0, len(given.is_item), 50)]
    np.testing.assert_allclose(totals_of(MIXTURE, given)[::50], np.concatenate(alone), rtol=1e-6)
