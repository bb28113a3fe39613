"""Recall, NDCG and their intervals: worked by hand, and by law."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clairo_core.sequences import ItemSequences
from training.evaluation.metrics import (
    TargetRanks,
    ndcg_at,
    paired_difference,
    places_of,
    rank_in_list,
    ranks_by_scores,
    recall_at,
    summarize,
)


def test_a_worked_example() -> None:
    ranks = np.array([1, 2, 10, 11, 0])
    assert recall_at(ranks, 10).tolist() == [1, 1, 1, 0, 0]
    expected = [1.0, 1 / math.log2(3), 1 / math.log2(11), 0, 0]
    assert ndcg_at(ranks, 10) == pytest.approx(expected)


def test_several_targets_of_a_user_count_once_together() -> None:
    ranks = TargetRanks(np.array([1, 3, 0, 11, 2]), np.array([3, 1, 1]))
    assert recall_at(ranks, 10) == pytest.approx([2 / 3, 0, 1])
    ideal = 1 + 1 / math.log2(3) + 1 / math.log2(4)
    assert ndcg_at(ranks, 10) == pytest.approx([(1 + 1 / math.log2(4)) / ideal, 0, 1 / math.log2(3)])
    # The best list of two places holds two of the three.
    assert ndcg_at(ranks, 2)[0] == pytest.approx(1 / (1 + 1 / math.log2(3)))
    some = ranks[np.array([False, True, True, True, False])]
    assert (some.places.tolist(), some.num_targets.tolist()) == ([3, 0, 11], [2, 1])
    first = summarize(ranks, num_resamples=50)[0]
    assert (first.name, first.value) == ("recall@5", pytest.approx((2 / 3 + 0 + 1) / 3))


def test_a_tie_counts_against_the_target() -> None:
    scores = np.array([[3.0, 1.0, 3.0, 3.0]] * 2)
    allowed, _ = ranks_by_scores(scores, np.array([2, 1]), ItemSequences.from_lists([[], []]))
    assert allowed.tolist() == [3, 4]


def test_a_masked_target_is_a_miss() -> None:
    allowed, masked = ranks_by_scores(np.array([[1.0, 2.0]]), np.array([1]), ItemSequences.from_lists([[1]]))
    assert (allowed.tolist(), masked.tolist()) == ([1], [0])


def test_a_target_outside_the_list_has_rank_zero() -> None:
    scores = np.array([0.5, 0.3, 0.1])
    assert rank_in_list(np.array([5, 3, 8]), scores, 8, list_length=3) == 3
    assert rank_in_list(np.array([5, 3, 8]), scores, 9, list_length=3) == 0


@pytest.mark.parametrize(("target", "rank"), [(5, 1), (3, 3), (8, 3), (2, 4), (7, 0), (6, 0)])
def test_items_tied_with_the_target_are_ahead_of_it_even_beyond_the_end_of_the_list(target: int, rank: int) -> None:
    scores = np.array([0.5, 0.3, 0.3, 0.2, 0.1, 0.1])
    assert rank_in_list(np.array([5, 3, 8, 2, 7, 6]), scores, target, list_length=6) == rank


@given(st.lists(st.integers(0, 3), min_size=1, max_size=8), st.integers(0, 7))
def test_a_list_of_everything_ranks_as_its_scores_do(scores: list[int], target: int) -> None:
    target %= len(scores)
    order = np.argsort(-np.array(scores), kind="stable")
    by_scores, _ = ranks_by_scores(np.array([scores]), np.array([target]), ItemSequences.from_lists([[]]))
    assert rank_in_list(order, np.array(scores)[order], target, list_length=50) == by_scores[0]


@given(st.data())
def test_each_of_several_targets_ranks_as_it_does_alone(data: st.DataObject) -> None:
    histories = data.draw(st.lists(st.lists(st.integers(0, 6), max_size=5), min_size=1, max_size=5))
    targets = [data.draw(st.lists(st.integers(0, 6), min_size=1, max_size=4, unique=True)) for _ in histories]
    scores = np.array([[data.draw(st.integers(0, 3)) for _ in range(7)] for _ in histories], dtype=float)
    seen = ItemSequences.from_lists(histories)
    together = ranks_by_scores(scores, ItemSequences.from_lists(targets), seen)
    users = np.repeat(np.arange(len(targets)), [len(of_user) for of_user in targets])
    alone = ranks_by_scores(scores[users], np.concatenate(targets), seen.select(users))
    for several, one in zip(together, alone, strict=True):
        assert places_of(several).tolist() == one.tolist()


ranks_of_users = st.lists(st.integers(0, 60), min_size=1, max_size=50).map(np.array)


@given(ranks_of_users, st.sampled_from([1, 5, 10, 50]))
def test_ndcg_is_between_zero_and_recall(ranks: np.ndarray, cutoff: int) -> None:
    ndcgs = ndcg_at(ranks, cutoff)
    assert (ndcgs >= 0).all()
    assert (ndcgs <= recall_at(ranks, cutoff)).all()


@given(ranks_of_users)
def test_intervals_contain_the_mean_and_recall_grows_with_the_cutoff(ranks: np.ndarray) -> None:
    metrics = summarize(ranks, num_resamples=200)
    for metric in metrics:
        assert metric.low - 1e-9 <= metric.value <= metric.high + 1e-9 or len(set(ranks.tolist())) > 1
    recalls = [metric.value for metric in metrics if metric.name.startswith("recall@")]
    assert recalls == sorted(recalls)


def test_the_paired_interval_is_narrow_where_users_agree() -> None:
    random = np.random.default_rng(0)
    worse = random.random(1000)
    gain = paired_difference(worse + 0.01, worse, num_resamples=500)
    assert gain.low == pytest.approx(0.01)
    assert gain.high == pytest.approx(0.01)


def test_the_interval_matches_the_known_standard_error() -> None:
    # 1000 users, half of them hits: the standard error is sqrt(.25 / 1000), the interval about 1.96 of it.
    metrics = summarize(np.array([1, 0] * 500), num_resamples=2000)
    recall = next(metric for metric in metrics if metric.name == "recall@10")
    assert (recall.high - recall.low) / 2 == pytest.approx(1.96 * math.sqrt(0.25 / 1000), rel=0.1)
