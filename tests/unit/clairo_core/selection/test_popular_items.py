import numpy as np

from clairo_core.selection.popular_items import popular_items

POPULAR = popular_items(np.array([2, 5, 0, 5]), 4)


def test_the_most_popular_items_come_first_and_ties_in_the_order_of_rows():
    rows, _ = POPULAR.best(np.ones(4, dtype=np.bool_), 10)
    assert rows.tolist() == [1, 3, 0, 2]


def test_only_allowed_items_are_listed():
    rows, _ = POPULAR.best(np.array([True, False, True, True]), 2)
    assert rows.tolist() == [3, 0]


def test_fractions_of_users_order_items_and_give_shares():
    rows, log_shares = popular_items(np.array([0.25, 1.5, 0.0]), 4).best(np.ones(4, dtype=np.bool_), 4)
    assert rows.tolist() == [1, 0, 2, 3]
    np.testing.assert_allclose(np.exp(log_shares), np.array([2.5, 1.25, 1, 1]) / (1.75 + 4))


def test_an_item_added_later_comes_last_and_has_a_probability():
    rows, log_shares = POPULAR.extended(5).best(np.ones(5, dtype=np.bool_), 5)
    assert rows.tolist() == [1, 3, 0, 2, 4]
    np.testing.assert_allclose(np.exp(log_shares), np.array([6, 6, 3, 1, 1]) / (12 + 5))
    np.testing.assert_allclose(np.exp(log_shares).sum(), 1.0)
