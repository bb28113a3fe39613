"""Counts after training: an example worked by hand, agreement with training's counting, and sums over any split."""

from functools import reduce

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clairo_core.ranking import CountIncrements, ItemWeights, UserActions, increments_of
from clairo_core.ranking.count_increments import MAX_PAIRED_ITEMS, grown, padded
from clairo_core.selection.popular_items import popular_items
from clairo_core.sequences import ItemSequences
from training.counts.ease import count_together
from training.counts.fit_item_weights import of_markov
from training.counts.markov import MarkovSettings, count_followers, fit_markov

Events = list[tuple[int, float]]
NUM_ITEMS = 6
EVENTS = st.lists(st.tuples(st.integers(0, NUM_ITEMS - 1), st.sampled_from([0.25, 1.0, 2.0])), min_size=1, max_size=14)


def actions_of(events: Events, num_counted: int = 0, unread: frozenset[int] = frozenset()) -> UserActions:
    rows, weights = [row for row, _ in events], [weight for _, weight in events]
    is_read = [place not in unread for place in range(len(events))]
    return UserActions(np.array(rows), np.array(weights), np.array(is_read), num_counted)


def counted(*actions: UserActions) -> CountIncrements:
    return increments_of(actions, NUM_ITEMS)


def test_an_example_worked_by_hand() -> None:
    # A user had item 0 and buys item 1; the view of item 2 is in no history.
    found = counted(actions_of([(0, 1.0), (1, 1.0), (2, 0.5)], num_counted=1, unread=frozenset({2})))
    assert found.interactions.tolist() == [0, 1, 0, 0, 0, 0]
    assert found.users.tolist() == [0, 1, 0.5, 0, 0, 0]
    assert dict(found.followers.todok().items()) == {(0, 1): 1.0}
    assert dict(found.together.todok().items()) == {(0, 1): 1.0, (1, 0): 1.0}


@settings(max_examples=60, deadline=None)
@given(st.lists(EVENTS, min_size=1, max_size=4))
def test_new_users_count_as_in_training(histories: list[Events]) -> None:
    found = counted(*map(actions_of, histories))
    items = np.array([row for history in histories for row, _ in history], dtype=np.int32)
    offsets = np.cumsum([0, *map(len, histories)])
    weights = np.array([weight for history in histories for _, weight in history], dtype=np.float32)
    trained = ItemSequences(items, offsets, weights=weights)
    together = count_together(trained, NUM_ITEMS).toarray()
    assert found.interactions.tolist() == np.bincount(items, minlength=NUM_ITEMS).tolist()
    assert found.followers.toarray() == pytest.approx(count_followers(trained, NUM_ITEMS).toarray(), abs=1e-5)
    # Training squares the weight of an item on the diagonal.
    assert found.users**2 == pytest.approx(together.diagonal()) or len(histories) > 1
    np.fill_diagonal(together, 0.0)
    assert found.together.toarray() == pytest.approx(together, abs=1e-5)


@settings(max_examples=60, deadline=None)
@given(EVENTS, st.lists(st.integers(1, 14), max_size=4))
def test_however_events_are_split_the_increments_add_up_to_the_same(events: Events, cuts: list[int]) -> None:
    at_once, ends = counted(actions_of(events)), sorted({*(cut for cut in cuts if cut < len(events)), len(events)})
    parts = [counted(actions_of(events[:end], num_counted=start)) for start, end in zip([0, *ends], ends, strict=False)]
    added = reduce(CountIncrements.plus, parts)
    assert added.interactions.tolist() == at_once.interactions.tolist()
    assert added.users == pytest.approx(at_once.users)
    assert added.followers.toarray() == pytest.approx(at_once.followers.toarray())
    assert added.together.toarray() == pytest.approx(at_once.together.toarray())


def test_increments_of_a_grown_catalogue_add_up_too() -> None:
    before, after = counted(actions_of([(0, 1.0), (1, 1.0)])), increments_of([actions_of([(0, 1.0), (6, 1.0)])], 7)
    added = before.plus(after)
    assert added.interactions.tolist() == [2, 1, 0, 0, 0, 0, 1]
    assert dict(added.together.todok().items()) == {(0, 1): 1.0, (1, 0): 1.0, (0, 6): 1.0, (6, 0): 1.0}


def test_a_robot_is_paired_with_a_bounded_number_of_items() -> None:
    rows = np.arange(3 * MAX_PAIRED_ITEMS)
    ones = np.ones(len(rows))
    found = increments_of([UserActions(rows, ones, ones > 0, len(rows) - 1)], len(rows))
    assert found.together.sum() == 2 * MAX_PAIRED_ITEMS


@settings(max_examples=40, deadline=None)
@given(
    st.lists(EVENTS, min_size=1, max_size=3),
    st.lists(EVENTS, min_size=1, max_size=3),
    st.sampled_from([(1.0, 1.0), (10.0, 0.5), (0.0, 0.0)]),
)
def test_follower_weights_after_more_users_are_those_of_a_training_on_all(
    before: list[Events], later: list[Events], scale: tuple[float, float]
) -> None:
    markov = MarkovSettings(3, *scale)

    def fitted(histories: list[Events]) -> ItemWeights:
        return of_markov(
            fit_markov(ItemSequences.from_lists([[row for row, _ in one] for one in histories]), 6, markov)
        )

    unweighted = [[(row, 1.0) for row, _ in history] for history in later]
    counts = counted(*map(actions_of, unweighted)).followers
    live = fitted(before).with_counts(counts, np.asarray(counts.sum(axis=1)).ravel())
    assert live.matrix.toarray() == pytest.approx(fitted(before + later).matrix.toarray(), abs=1e-5)


def test_popular_items_of_a_grown_catalogue_are_ordered_by_all_users() -> None:
    popular = popular_items(np.array([3.0, 1.0, 2.0]), 3).extended(4).with_users(np.array([0.0, 2.5, 0.0, 9.0]))
    assert popular.item_rows.tolist() == [3, 1, 0, 2]
    assert popular.weights.tolist() == [3.0, 3.5, 2.0, 9.0]


def test_a_matrix_and_counts_grow_by_empty_rows() -> None:
    matrix = counted(actions_of([(0, 1.0), (1, 1.0)])).together
    assert grown(matrix, 8).toarray().sum() == matrix.sum()
    assert grown(matrix, 8).shape == (8, 8)
    assert padded(np.array([1, 2]), 4).tolist() == [1, 2, 0, 0]
