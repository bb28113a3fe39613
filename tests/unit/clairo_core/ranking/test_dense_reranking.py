"""The dense head ranks generated items and those that training never saw."""

from pathlib import Path

import numpy as np
import pytest

from clairo_core.errors import MixtureError
from clairo_core.ranking import DenseHeads, Generated, JointRanking, load_joint_ranking
from clairo_core.ranking.dense_reranking import reranked_for_one
from tests.unit.clairo_core.ranking.test_dense_head import NUM_ITEMS, random_head
from tests.unit.clairo_core.ranking.test_joint_ranking import COUNTS, HISTORY, bought_after, everything, generated

DENSE = np.log(np.array([0.1, 0.4, 0.2, 0.05, 0.25], dtype=np.float32))
FOUND = Generated(np.array([3, 2]), np.log([0.9, 0.1]))
ALL, IS_NEW = np.ones(5, dtype=np.bool_), np.array([True, False, False, False, False])


def reranking() -> JointRanking:
    return JointRanking(DenseHeads((random_head(),)), {}, None, COUNTS, reranks_densely=True)


def test_generated_and_new_items_are_in_the_order_of_the_dense_head() -> None:
    # Items 1 and 4 would be the best two, but nothing proposes them.
    ranked = reranked_for_one(DENSE, FOUND, IS_NEW, ALL, 5)
    assert ranked.item_rows.tolist() == [2, 0, 3]
    assert ranked.scores == pytest.approx(np.log([0.2, 0.1, 0.05]))
    assert ranked.is_dense.tolist() == [False, True, False]


def test_a_filter_removes_items_and_changes_no_score() -> None:
    ranked = reranked_for_one(DENSE, FOUND, IS_NEW, ~IS_NEW, 5)
    assert ranked.item_rows.tolist() == [2, 3]
    assert ranked.scores == pytest.approx(np.log([0.2, 0.05]))


def test_a_lifted_item_competes_and_a_penalty_lowers() -> None:
    lifts, sinks = np.array([0, 0, 0, 0, 2.0]), np.array([0, 0, 9.0, 0, 0])
    ranked = reranked_for_one(DENSE, FOUND, IS_NEW, ALL, 2, lambda rows: (sinks - lifts)[rows], lifts)
    assert ranked.item_rows.tolist() == [4, 0]


def test_posted_items_come_back_although_the_generator_never_finds_them() -> None:
    later = reranking().with_items(np.full((2, 3), 0.1, dtype=np.float32))
    counted = later.with_counts(bought_after(earlier=4, bought=NUM_ITEMS))
    for ranking in (later, counted):
        (ranked,) = ranking.rank([HISTORY], generated(7), everything(NUM_ITEMS + 2), [9])
        # Item 0 was never seen in training.
        assert sorted(ranked.item_rows.tolist()) == [0, 7, NUM_ITEMS, NUM_ITEMS + 1]


def test_a_loaded_reranking_equals_the_saved_one(tmp_path: Path) -> None:
    reranking().save(tmp_path)
    again = load_joint_ranking(tmp_path, COUNTS)
    (before,) = reranking().rank([HISTORY], generated(7, 5), everything(), [10])
    (after,) = again.rank([HISTORY], generated(7, 5), everything(), [10])
    assert before.item_rows.tolist() == after.item_rows.tolist()
    assert np.array_equal(before.scores, after.scores)
    with pytest.raises(MixtureError, match=f"a dense head of {NUM_ITEMS} items, expected {NUM_ITEMS - 1}"):
        load_joint_ranking(tmp_path, COUNTS[:-1])


def test_without_generated_items_there_is_nothing_to_rerank() -> None:
    with pytest.raises(MixtureError, match="the mixture without generator is not fitted"):
        reranking().rank([HISTORY], None, everything(), [3])
