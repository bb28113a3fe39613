"""Calibrating new items: as many places as they have buyers, within the allowed loss of the others."""

from dataclasses import replace

import numpy as np
import pytest

from tests.tiny import plain_sum
from training.ranking.calibrate_new_items import (
    LEAST_LIFT,
    PLACES,
    USERS_AT_ONCE,
    calibrated,
    contenders_of,
    target_ranks,
    totals_of,
)
from training.ranking.fit_mixture import MixtureExamples

NUM_USERS, NUM_OLD, NUM_NEW = 200, 30, 4
NUM_ITEMS = NUM_NEW + NUM_OLD
MIXTURE = plain_sum("other", "dense")


def examples(share_of_new_targets: float = 0.1) -> MixtureExamples:
    """Some new items before others. The dense head underrates them, least for users whose target is the first."""
    random = np.random.default_rng(0)
    shape = (NUM_USERS, NUM_ITEMS)
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
        scores.astype(np.float32).reshape(-1, 2),
        np.zeros((NUM_USERS * NUM_ITEMS, 0), dtype=np.float32),
        counts.ravel(),
        is_target.ravel(),
        np.ones((NUM_USERS * NUM_ITEMS, 2), dtype=np.bool_),
        np.full(NUM_USERS, NUM_ITEMS),
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
    contenders = contenders_of(given, totals_of(MIXTURE, given))
    placed = contenders.placed(0.0)
    dense = given.scores[:, 1].reshape(NUM_USERS, NUM_ITEMS)
    for user, of_user in enumerate(contenders.examples.slices()):
        for new in range(NUM_NEW):
            by_dense = (dense[user, NUM_NEW:] > dense[user, new]).sum()
            above = (placed[of_user][NUM_NEW:] > placed[of_user][new]).sum()
            assert above == min(by_dense, PLACES)


def test_what_no_new_item_can_move_into_the_first_places_is_left_out() -> None:
    given = examples()
    totals = np.random.default_rng(1).integers(12, size=NUM_USERS * NUM_ITEMS).astype(np.float64)
    kept = contenders_of(given, totals)
    by_user = zip(given.slices(), kept.examples.slices(), strict=True)
    for of_user, of_kept in by_user:
        others = np.sort(totals[of_user][NUM_NEW:])
        num_kept = (others >= others[-PLACES]).sum()
        np.testing.assert_array_equal(np.sort(kept.totals[of_kept][NUM_NEW:]), others[-num_kept:])


def test_ranks_of_targets_are_counted_user_by_user() -> None:
    given = examples().of_users(np.arange(3))
    given = replace(given, is_target=np.arange(3 * NUM_ITEMS) % (2 * NUM_ITEMS) == 5)
    totals = np.tile(np.arange(float(NUM_ITEMS)), 3)
    totals[4] = totals[5]
    assert target_ranks(totals, given).tolist() == [NUM_ITEMS - 4, 0, NUM_ITEMS - 5]


def test_totals_in_blocks_are_those_of_each_user_alone() -> None:
    given = examples().of_users(np.arange(2 * USERS_AT_ONCE + 3) % NUM_USERS)
    alone = [totals_of(MIXTURE, given.of_users(np.array([user]))) for user in range(0, len(given.num_candidates), 50)]
    in_blocks = totals_of(MIXTURE, given).reshape(-1, NUM_ITEMS)
    np.testing.assert_allclose(in_blocks[::50], np.stack(alone), rtol=1e-6)
