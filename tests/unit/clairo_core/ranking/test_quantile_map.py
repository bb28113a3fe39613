"""Mapping one ranker's scores to another's scale."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from clairo_core.ranking.quantile_map import QuantileMap, quantile_map

FINITE = st.floats(-100, 100, allow_nan=False, width=32)


@given(st.integers(1, 12).flatmap(lambda size: st.tuples(*[arrays(np.float64, size, elements=FINITE)] * 2)), st.data())
def test_as_many_scores_are_higher_as_in_the_first_rankers_order(
    scores: tuple[np.ndarray, np.ndarray], data: st.DataObject
) -> None:
    ours, theirs = (np.unique(some) for some in scores)
    size = min(len(ours), len(theirs))
    mapped_from, mapped_to = np.random.default_rng(0).permutation(ours[:size]), theirs[:size]
    score = data.draw(FINITE)
    (mapped,) = quantile_map(mapped_from, mapped_to)(np.array([score]))
    slack = 1e-9
    assert (mapped_to > mapped + slack).sum() <= (mapped_from > score).sum()
    assert (mapped_to < mapped - slack).sum() <= (mapped_from < score).sum()


def test_beyond_the_ends_distances_are_kept() -> None:
    mapping = QuantileMap(np.array([0.0, 1.0]), np.array([10.0, 30.0]))
    assert mapping(np.array([-2.0, 0.0, 0.5, 1.0, 4.0])).tolist() == [8.0, 10.0, 20.0, 30.0, 33.0]


def test_an_empty_map_leaves_scores_unchanged() -> None:
    nothing = np.zeros(0)
    assert quantile_map(nothing, nothing)(np.array([3.0])).tolist() == [3.0]
