import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clairo_core.generation.search.beam_search import Beams
from clairo_core.generation.search.view_fusion import fuse_views


def test_probabilities_are_averaged_over_views_and_absence_counts_as_zero():
    beams = Beams(
        np.array([[4, 7], [7, 9], [1, -1]]),
        np.log(np.array([[0.5, 0.2], [0.4, 0.1], [0.3, 0.0]], dtype=np.float32) + 1e-30),
    )
    first, second = fuse_views(beams, np.array([0, 0, 1]), 2)
    assert first[0].tolist() == [7, 4, 9]
    np.testing.assert_allclose(np.exp(first[1]), [0.3, 0.25, 0.05], rtol=1e-5)
    assert second[0].tolist() == [1]
    np.testing.assert_allclose(np.exp(second[1]), [0.3], rtol=1e-5)


def test_equal_scores_come_in_the_order_of_item_rows():
    beams = Beams(np.array([[5, 2, 8]]), np.full((1, 3), -1.0, dtype=np.float32))
    assert fuse_views(beams, np.array([0]), 1)[0][0].tolist() == [2, 5, 8]


def test_a_request_without_beams_has_no_items():
    beams = Beams(np.array([[-1], [3]]), np.array([[-np.inf], [-1.0]], dtype=np.float32))
    assert [rows.tolist() for rows, _ in fuse_views(beams, np.array([0, 1]), 2)] == [[], [3]]
    nothing = Beams(np.full((2, 1), -1), np.full((2, 1), -np.inf, dtype=np.float32))
    assert [rows.tolist() for rows, _ in fuse_views(nothing, np.array([0, 1]), 2)] == [[], []]


@given(
    st.lists(
        st.lists(st.dictionaries(st.integers(0, 6), st.floats(-30, 0), max_size=5), min_size=1, max_size=3),
        min_size=1,
        max_size=3,
    )
)
@settings(deadline=None)
def test_fusing_agrees_with_adding_up_dictionaries(requests):
    views = [view for request in requests for view in request]
    request_of_view = np.repeat(np.arange(len(requests)), [len(request) for request in requests])
    width = max(1, *(len(view) for view in views))
    item_rows, scores = np.full((len(views), width), -1), np.full((len(views), width), -np.inf, dtype=np.float32)
    for place, view in enumerate(views):
        item_rows[place, : len(view)], scores[place, : len(view)] = list(view), list(view.values())
    fused = fuse_views(Beams(item_rows, scores), request_of_view, len(requests))
    for request, (rows, found) in zip(requests, fused, strict=True):
        expected = {row: 0.0 for view in request for row in view}
        for view in request:
            for row, score in view.items():
                expected[row] += np.exp(np.float64(np.float32(score))) / len(request)
        assert dict(zip(rows.tolist(), np.exp(found).tolist(), strict=True)) == pytest.approx(expected)
        assert (np.diff(found) <= 0).all()
