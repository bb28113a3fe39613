"""The best of many scores, and sparse sums over a history: compiled, against numpy."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from clairo_core.ranking.allowed_items import AllowedItems, all_but
from clairo_core.ranking.best_items import best_items
from clairo_core.ranking.best_of_blocks import BestOfBlocks
from clairo_core.ranking.history_links import factors_by_age, history_links
from clairo_core.ranking.item_weights import ItemWeights

SCORES = st.lists(st.integers(-3, 3), min_size=1, max_size=60)
"""Few values: many ties."""


@given(SCORES, st.integers(0, 70), st.integers(0, 70), st.data())
def test_the_best_are_those_of_a_sort_by_score_then_row(
    values: list[int], count: int, num_of_all: int, data: st.DataObject
) -> None:
    scores, rows = np.array(values, dtype=np.float32), np.arange(len(values))
    left_out = np.array(sorted(data.draw(st.sets(st.integers(0, len(values) - 1)))), dtype=np.int64)
    mask = data.draw(st.none() | st.lists(st.booleans(), min_size=len(values), max_size=len(values)).map(np.array))
    allowed = AllowedItems(len(values), left_out, mask)
    best, best_of_all = best_items(scores, count, allowed, num_of_all)
    by_rank = rows[np.lexsort((rows, -scores))]
    assert best_of_all.tolist() == by_rank[:num_of_all].tolist()
    assert best.tolist() == by_rank[allowed.by_row()[by_rank]][:count].tolist()
    assert allowed.allows(rows).tolist() == allowed.by_row().tolist()


def test_rows_left_out_twice_are_left_out_once() -> None:
    assert all_but(np.array([4, 1, 4]), 6).by_row().tolist() == [True, False, True, True, False, True]


@given(st.integers(0, 2**32 - 1), st.integers(1, 400), st.integers(1, 3), st.integers(1, 5), st.integers(1, 90))
def test_the_best_of_blocks_are_those_of_all_scores(
    seed: int, num_items: int, num_histories: int, count: int, at_once: int
) -> None:
    random = np.random.default_rng(seed)
    scores = random.integers(-9, 0, (num_items, num_histories)).astype(np.float32)
    scores[random.random(scores.shape) < 0.1] = -np.inf
    best = BestOfBlocks(num_histories, count)
    for start in range(0, num_items, at_once):
        best.add(scores[start : start + at_once])
    for history, of_history in enumerate(scores.T):
        rows, found = best.best(history)
        by_rank = np.lexsort((np.arange(num_items), -of_history))
        expected = by_rank[of_history[by_rank] > -np.inf][:count]
        assert rows.tolist() == expected.tolist()
        np.testing.assert_array_equal(found, of_history[expected])
        if len(expected):
            np.testing.assert_allclose(best.log_sum(history), np.logaddexp.reduce(of_history), rtol=1e-5, atol=1e-6)


@given(st.lists(st.integers(0, 11), min_size=1, max_size=8), st.integers(1, 5))
def test_links_of_a_history_add_up_to_its_scores(history: list[int], num_ages: int) -> None:
    matrix = sparse.random(10, 10, density=0.4, random_state=0, dtype=np.float32, format="csr")
    weights = ItemWeights(matrix, 0.5 ** np.arange(num_ages))
    rows = np.array(history)
    links, factors = history_links(matrix, rows), factors_by_age(rows, weights.age_weights)
    summed = np.zeros(12, dtype=np.float32)
    columns, sums = links.summed(factors, np.argsort(rows, kind="stable"))
    summed[columns] = sums
    expected = weights.scores([rows], 12)[0]
    np.testing.assert_allclose(summed, expected, rtol=1e-6)
    among = links.among(np.arange(12))
    np.testing.assert_allclose(factors @ among, expected, rtol=1e-6)
