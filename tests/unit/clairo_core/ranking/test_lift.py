"""Lift: an example worked by hand, and what popularity must not do."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from clairo_core.ranking.lift import PRIOR_USERS, lifts

TOGETHER = sparse.csr_matrix(np.array([[0, 8, 8, 0], [8, 0, 0, 4], [8, 0, 0, 4], [0, 4, 4, 0]], dtype=np.float32))
INTERACTIONS = np.array([16, 10, 100, 10])


def test_an_example_worked_by_hand() -> None:
    found = lifts(TOGETHER, INTERACTIONS, np.array([0]))
    num_users = 136**2 / (136 + 48)
    assert found.support.tolist() == [0, 8, 8, 0]
    assert found.lift[1] == pytest.approx((8 + PRIOR_USERS) / (16 * 10 / num_users + PRIOR_USERS))
    # As many users have both, but the bestseller is in many more hands.
    assert found.lift[1] > 1 > found.lift[2]


def test_the_support_of_a_cart_is_that_of_its_items_together() -> None:
    of_each = [lifts(TOGETHER, INTERACTIONS, np.array([row])).support for row in (0, 3)]
    assert lifts(TOGETHER, INTERACTIONS, np.array([0, 3])).support.tolist() == (of_each[0] + of_each[1]).tolist()


def test_items_posted_since_have_no_pair() -> None:
    found = lifts(TOGETHER, INTERACTIONS, np.array([9]))
    assert found.support.tolist() == [0, 0, 0, 0]
    assert found.lift == pytest.approx(np.ones(4))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=6, max_size=6))
def test_of_two_items_with_the_same_support_the_less_popular_one_has_the_higher_lift(popularity: list[int]) -> None:
    counts = np.array(popularity)
    pairs = np.full((6, 6), 3.0, dtype=np.float32)
    np.fill_diagonal(pairs, 0.0)
    found = lifts(sparse.csr_matrix(pairs), counts, np.array([0]))
    others = np.argsort(counts[1:], kind="stable")
    assert np.all(np.diff(found.lift[1:][others]) <= 0)
