"""Reranking: a worked example, laws, and exploration."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clairo_core.selection.diversity import (
    cosine_similarities,
    explored,
    intra_list_distance,
    rank_diverse,
    shared_code_similarities,
    unit_scale,
)


def test_an_item_similar_to_the_first_gives_way_to_a_different_one() -> None:
    relevances = np.array([1.0, 0.9, 0.5, 0.0])
    alike = np.eye(4)
    alike[0, 1] = alike[1, 0] = 1.0
    # Second place: item 1 gains 0.45 - 0.5 * 1, item 2 gains 0.25.
    assert rank_diverse(relevances, alike, 4, 0.5).tolist() == [0, 2, 3, 1]
    assert rank_diverse(relevances, alike, 4, 0.1).tolist() == [0, 1, 2, 3]
    assert rank_diverse(relevances, alike, 2, 0.5).tolist() == [0, 2]


@given(st.integers(0, 12), st.integers(0, 15), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_the_chosen_items_are_distinct_and_begin_with_the_best(
    num_items: int, count: int, seed: int, diversity: float
) -> None:
    random = np.random.default_rng(seed)
    relevances = random.normal(size=num_items)
    similarities = cosine_similarities(random.normal(size=(num_items, 3)))
    chosen = rank_diverse(relevances, similarities, count, diversity).tolist()
    assert len(set(chosen)) == len(chosen) == min(count, num_items)
    assert not chosen or chosen[0] == relevances.argmax()
    undiversified = rank_diverse(relevances, similarities, count, 0.0)
    assert undiversified.tolist() == np.argsort(-relevances, kind="stable")[:count].tolist()


def test_more_diversity_gives_lists_further_apart() -> None:
    random = np.random.default_rng(0)
    distances = []
    similarities = cosine_similarities(random.normal(size=(50, 4)))
    relevances = random.normal(size=50)
    for diversity in (0.0, 0.5, 1.0):
        chosen = rank_diverse(relevances, similarities, 10, diversity)
        distances.append(intra_list_distance(similarities[np.ix_(chosen, chosen)]))
    assert distances[0] < distances[1] < distances[2]


def test_relevances_that_are_equal_are_all_one() -> None:
    assert unit_scale(np.array([-3.0, -3.0])).tolist() == [1, 1]
    assert unit_scale(np.array([-3.0, -1.0, -2.0])).tolist() == [0, 1, 0.5]
    assert unit_scale(np.zeros(0)).tolist() == []


def test_an_item_without_content_is_similar_to_no_other() -> None:
    similarities = cosine_similarities(np.array([[3.0, 4.0], [0.0, 0.0], [6.0, 8.0]]))
    assert similarities.round(6).tolist() == [[1, 0, 1], [0, 0, 0], [1, 0, 1]]


def test_without_embeddings_items_that_share_codes_are_similar() -> None:
    assert shared_code_similarities(np.array([[1, 2], [1, 3], [4, 5]])).tolist() == [
        [1, 0.5, 0],
        [0.5, 1, 0],
        [0, 0, 1],
    ]


def test_the_distance_of_a_list_is_one_minus_its_mean_pairwise_similarity() -> None:
    assert intra_list_distance(np.array([[1.0, 0.25], [0.25, 1.0]])) == pytest.approx(0.75)
    assert intra_list_distance(np.ones((1, 1))) == 0.0


def test_equal_seeds_explore_equally_and_temperature_zero_not_at_all() -> None:
    scores = np.log(np.array([0.5, 0.3, 0.2]))
    assert np.array_equal(explored(scores, 1.0, 7), explored(scores, 1.0, 7))
    assert not np.array_equal(explored(scores, 1.0, 7), explored(scores, 1.0, 8))
    assert np.array_equal(explored(scores, 0.0, 7), scores)


def test_an_item_comes_first_with_its_probability() -> None:
    probabilities = np.array([0.6, 0.3, 0.1])
    firsts = [int(explored(np.log(probabilities), 1.0, seed).argmax()) for seed in range(4000)]
    assert np.bincount(firsts) / 4000 == pytest.approx(probabilities, abs=0.03)
    # Without replacement: after item 0, item 1 is three times as probable as item 2.
    orders = [np.argsort(-explored(np.log(probabilities), 1.0, seed)).tolist() for seed in range(4000)]
    second_after_first = [order[1] for order in orders if order[0] == 0]
    assert second_after_first.count(1) / len(second_after_first) == pytest.approx(0.75, abs=0.03)
