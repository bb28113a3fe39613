"""Leave-last-out splits."""

from dataclasses import replace

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from clairo_core.items import Item
from clairo_core.sequences import ItemSequences
from training.datasets import Dataset
from training.datasets.dataset import build_dataset
from training.evaluation import split as splits

NUM_ITEMS = 6
histories = st.lists(st.lists(st.integers(0, NUM_ITEMS - 1), min_size=1, max_size=7), min_size=1, max_size=8)


def dataset_of(lists: list[list[int]]) -> Dataset:
    items = tuple(Item(item_id=str(row), texts={"title": f"item {row}"}) for row in range(NUM_ITEMS))
    user_ids = tuple(f"user {row}" for row in range(len(lists)))
    return build_dataset("made up", items, user_ids, ItemSequences.from_lists(lists))


def lists_of(sequences: ItemSequences) -> list[list[int]]:
    return [sequences[row].tolist() for row in range(len(sequences))]


def test_the_last_item_tests_and_the_one_before_validates():
    dataset = dataset_of([[0, 1, 2, 3], [4], [5, 4, 3], [0, 1]])
    assert lists_of(splits.training_sequences(dataset)) == [[0, 1], [4], [5], [0, 1]]
    validation = splits.validation_split(dataset)
    assert lists_of(validation.histories) == [[0, 1], [5]]
    assert validation.targets.tolist() == [2, 4]
    assert validation.user_rows.tolist() == [0, 2]
    test = splits.test_split(dataset)
    assert lists_of(test.histories) == [[0, 1, 2], [5, 4]]
    assert test.targets.tolist() == [3, 3]
    assert test.user_rows.tolist() == [0, 2]


def test_training_items_are_those_that_occur_before_the_last_two():
    dataset = dataset_of([[0, 1, 2, 3], [4], [5, 4, 3]])
    assert np.flatnonzero(splits.training_items(dataset)).tolist() == [0, 1, 4, 5]


def test_users_with_one_item_are_not_evaluated():
    dataset = dataset_of([[3], [2]])
    assert len(splits.test_split(dataset).targets) == 0
    assert lists_of(splits.validation_split(dataset).histories) == []
    assert lists_of(splits.training_sequences(dataset)) == [[3], [2]]


@settings(deadline=None)
@given(histories)
def test_without_repeats_both_rules_choose_the_published_targets(lists):
    lists = [list(dict.fromkeys(history)) for history in lists]
    assume(any(len(history) != 3 and len(history) > 1 for history in lists))
    dataset = dataset_of(lists)
    training = lists_of(splits.training_sequences(dataset))
    assert len(training) == len(lists)
    for seen_items in splits.SEEN_ITEMS:
        validation, test = splits.validation_split(dataset, seen_items), splits.test_split(dataset, seen_items)
        assert validation.user_rows.tolist() == test.user_rows.tolist()
        assert test.user_rows.tolist() == [user for user, history in enumerate(lists) if len(history) >= 3]
        for place, user in enumerate(test.user_rows):
            assert [*training[user], validation.targets[place], test.targets[place]] == lists[user]
            assert validation.histories[place].tolist() == training[user]
            assert test.histories[place].tolist() == lists[user][:-1]
        for user in set(range(len(lists))) - set(test.user_rows.tolist()):
            assert training[user] == lists[user]


def test_a_view_and_a_purchase_of_one_item_leave_an_answerable_target():
    viewed_put_into_the_cart_and_bought = [item for item in (0, 1, 2, 3) for _ in range(3)]
    dataset = dataset_of([viewed_put_into_the_cart_and_bought])
    test, validation = splits.test_split(dataset), splits.validation_split(dataset)
    assert (lists_of(test.histories), test.targets.tolist()) == ([[0, 0, 0, 1, 1, 1, 2, 2, 2]], [3])
    assert (lists_of(validation.histories), validation.targets.tolist()) == ([[0, 0, 0, 1, 1, 1]], [2])
    assert lists_of(splits.training_sequences(dataset)) == [[0, 0, 0, 1, 1, 1]]


def test_a_player_of_four_tracks_keeps_all_events_but_those_of_the_two_held_out():
    dataset = dataset_of([[0, 1, 2, 3] * 3])
    assert splits.test_split(dataset).targets.tolist() == [3]
    assert splits.validation_split(dataset).targets.tolist() == [2]
    assert lists_of(splits.training_sequences(dataset)) == [[0, 1, 0, 1, 0, 1]]


def test_a_repeat_is_a_target_where_seen_items_are_allowed():
    dataset = dataset_of([[0, 1, 0, 1, 0]])
    assert splits.test_split(dataset, splits.ALLOWED).targets.tolist() == [0]
    assert splits.validation_split(dataset, splits.ALLOWED).targets.tolist() == [1]
    # Two different items: one to learn from and one to predict would leave nothing to validate on.
    assert len(splits.test_split(dataset).targets) == 0
    assert lists_of(splits.training_sequences(dataset)) == [[0, 1, 0]]


def slow_newest_new(history: list[int], items_back: int) -> int | None:
    """The slow reference: the place of the user's `items_back`-th newest item that he did not have before."""
    first = [place for place, item in enumerate(history) if item not in history[:place]]
    return first[-items_back] if len(first) >= 3 else None


@settings(deadline=None)
@given(histories)
def test_masked_targets_are_new_to_their_users_and_never_trained_on(lists):
    lists = [*lists, [0, 1]]
    dataset = dataset_of(lists)
    training = splits.training_sequences(dataset)
    for split, items_back in ((splits.validation_split(dataset), 2), (splits.test_split(dataset), 1)):
        places = {user: slow_newest_new(history, items_back) for user, history in enumerate(lists)}
        assert split.user_rows.tolist() == [user for user, place in places.items() if place is not None]
        for number, user in enumerate(split.user_rows.tolist()):
            target = int(split.targets[number])
            assert target == lists[user][places[user]]
            assert split.histories[number].tolist() == lists[user][: places[user]]
            assert target not in split.histories[number]
            assert target not in training[user]
    # Everybody still teaches something, and nobody's last two events do.
    for user, history in enumerate(lists):
        assert len(training[user])
        assert len(training[user]) <= (len(history) - 2 if len(history) >= 3 else len(history))


def test_a_sample_holds_the_same_users_in_both_modes():
    dataset = dataset_of([[0, 1, 2, 0], [0, 1, 0, 1], [3, 4, 5], [2, 3, 4]])
    drawn = splits.some_of_each(splits.held_out(splits.test_split, dataset), 2, seed=0)
    assert len(drawn["allowed"].targets) == 2
    assert set(drawn["masked"].user_rows.tolist()) == set(drawn["allowed"].user_rows.tolist()) - {1}
    two_items_alone = splits.held_out(splits.test_split, dataset_of([[0, 1, 0, 1]]))
    assert list(splits.some_of_each(two_items_alone, 0, seed=0)) == ["allowed", "weighed"]


def test_splits_are_the_same_if_they_predict_the_same_items_after_the_same_histories():
    without_repeats = splits.held_out(splits.test_split, dataset_of([[0, 1, 2, 3], [1, 2, 3]]))
    assert all(split.is_same_as(without_repeats["allowed"]) for split in without_repeats.values())
    with_repeats = splits.held_out(splits.test_split, dataset_of([[0, 1, 2, 3, 3], [1, 2, 3, 4]]))
    assert with_repeats["weighed"].is_same_as(with_repeats["allowed"])
    assert not with_repeats["masked"].is_same_as(with_repeats["allowed"])


def test_masked_targets_alone_come_with_their_users_dislikes():
    dataset = replace(dataset_of([[0, 1, 2], [4], [1, 2, 3, 4]]), dislikes=ItemSequences.from_lists([[5], [0], [0, 5]]))
    for split_of in (splits.validation_split, splits.test_split):
        held_out = splits.held_out(split_of, dataset)
        assert lists_of(held_out["masked"].disliked) == [[5], [0, 5]]
        assert held_out["allowed"].disliked is held_out["weighed"].disliked is None
        assert lists_of(held_out["masked"].of_users(np.array([1])).disliked) == [[0, 5]]
        assert not held_out["masked"].is_same_as(held_out["weighed"])
        others = replace(dataset, dislikes=ItemSequences.from_lists([[5], [], [0, 3]]))
        assert not held_out["masked"].is_same_as(split_of(others))
        assert held_out["masked"].is_same_as(split_of(dataset))


def test_where_nobody_would_keep_two_events_nothing_is_held_out():
    histories = [[0, 1, 2], [3, 4, 5], [1]]
    dataset = dataset_of(histories)
    assert lists_of(splits.training_sequences(dataset)) == histories
    for seen_items in splits.SEEN_ITEMS:
        assert len(splits.test_split(dataset, seen_items).targets) == 0
        assert len(splits.validation_split(dataset, seen_items).targets) == 0


def test_where_one_item_would_be_left_nothing_is_held_out():
    assert lists_of(splits.training_sequences(dataset_of([[0, 1, 2, 0, 0]]))) == [[0, 1, 2, 0, 0]]
