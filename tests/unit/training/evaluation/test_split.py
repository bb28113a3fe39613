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
    dislikes = ItemSequences.from_lists([[5], [0], [0, 5]])
    dataset = replace(
        dataset_of([[0, 1, 2], [4], [1, 2, 3, 4]]), dislikes=dislikes, dislike_places=np.zeros(4, dtype=np.int64)
    )
    for split_of in (splits.validation_split, splits.test_split):
        held_out = splits.held_out(split_of, dataset)
        assert lists_of(held_out["masked"].disliked) == [[5], [0, 5]]
        assert held_out["allowed"].disliked is held_out["weighed"].disliked is None
        assert lists_of(held_out["masked"].of_users(np.array([1])).disliked) == [[0, 5]]
        assert not held_out["masked"].is_same_as(held_out["weighed"])
        others = replace(dataset, dislikes=ItemSequences.from_lists([[5], [1], [0, 3]]))
        assert not held_out["masked"].is_same_as(split_of(others))
        assert held_out["masked"].is_same_as(split_of(dataset))
        late = replace(dataset, dislike_places=np.array([0, 0, 4, 0]))
        assert lists_of(split_of(late).disliked) == [[5], [5]], "one came after the target"


def test_where_nobody_would_keep_two_events_nothing_is_held_out():
    histories = [[0, 1, 2], [3, 4, 5], [1]]
    dataset = dataset_of(histories)
    assert lists_of(splits.training_sequences(dataset)) == histories
    for seen_items in splits.SEEN_ITEMS:
        assert len(splits.test_split(dataset, seen_items).targets) == 0
        assert len(splits.validation_split(dataset, seen_items).targets) == 0


def test_where_one_item_would_be_left_nothing_is_held_out():
    assert lists_of(splits.training_sequences(dataset_of([[0, 1, 2, 0, 0]]))) == [[0, 1, 2, 0, 0]]


def typed(lists: list[list[tuple[int, bool]]]) -> Dataset:
    """Sequences of item and whether it is a target."""
    dataset = dataset_of([[item for item, _ in history] for history in lists])
    is_target = np.array([target for history in lists for _, target in history], dtype=bool)
    return replace(dataset, sequences=replace(dataset.sequences, is_target=is_target))


def test_only_targets_are_held_out_and_nothing_after_them_trains():
    views, buys = [(item, False) for item in range(NUM_ITEMS)], [(item, True) for item in range(NUM_ITEMS)]
    dataset = typed(
        [[views[0], buys[1], views[2], buys[3], views[4], buys[5], views[0]], [views[1], buys[2], views[0]]]
    )
    for seen_items in splits.SEEN_ITEMS:
        test = splits.test_split(dataset, seen_items)
        assert (lists_of(test.histories), test.targets.tolist()) == ([[0, 1, 2, 3, 4]], [5])
        validation = splits.validation_split(dataset, seen_items)
        assert (lists_of(validation.histories), validation.targets.tolist()) == ([[0, 1, 2]], [3])
    assert lists_of(splits.training_sequences(dataset)) == [[0, 1, 2], [1, 2, 0]]
    assert lists_of(splits.sequences_before_test(dataset)) == [[0, 1, 2, 3, 4], [1, 2, 0]]


def test_a_target_without_anything_before_it_is_not_held_out():
    dataset = typed([[(0, True), (1, False), (2, True)], [(3, False), (4, True), (5, True)]])
    assert splits.test_split(dataset).user_rows.tolist() == [1]


typed_histories = st.lists(
    st.lists(st.tuples(st.integers(0, NUM_ITEMS - 1), st.booleans()), min_size=1, max_size=9), min_size=1, max_size=8
)


@settings(deadline=None)
@given(histories)
def test_types_that_are_all_alike_give_the_same_split(lists):
    plain = dataset_of(lists)
    alike = typed([[(item, True) for item in history] for history in lists])
    alike = replace(alike, sequences=replace(alike.sequences, weights=np.full(len(alike.sequences.items), 0.5)))
    for split_of in (splits.test_split, splits.validation_split):
        for mode, split in splits.held_out(split_of, alike).items():
            assert split.is_same_as(split_of(plain, mode))
    for sequences_of in (splits.training_sequences, splits.sequences_before_test):
        assert lists_of(sequences_of(alike)) == lists_of(sequences_of(plain))
        assert set(sequences_of(alike).each_weight.tolist()) <= {0.5}


@settings(deadline=None)
@given(typed_histories)
def test_what_is_held_out_is_a_target_that_no_training_event_tells(lists):
    dataset = typed(lists)
    training, before_test = splits.training_sequences(dataset), splits.sequences_before_test(dataset)
    for seen_items in splits.SEEN_ITEMS:
        held_out = [split_of(dataset, seen_items) for split_of in (splits.test_split, splits.validation_split)]
        assert held_out[0].user_rows.tolist() == held_out[1].user_rows.tolist()
        for split, learned in zip(held_out, (before_test, training), strict=True):
            for user, history, target in zip(split.user_rows, split.histories, split.targets, strict=True):
                assert lists[user][len(history)] == (target, True)
                assert [item for item, _ in lists[user][: len(history)]] == history.tolist() != []
                if seen_items == splits.MASKED:
                    assert target not in learned[user].tolist()
                    assert target not in history.tolist()
                else:
                    assert len(learned[user]) <= len(history)


def test_dislikes_of_a_split_are_those_before_its_targets():
    dataset = dataset_of([[0], [0, 1, 2, 3]])
    dataset = replace(dataset, dislikes=ItemSequences.from_lists([[5], [4, 5]]), dislike_places=np.array([0, 2, 3]))
    assert lists_of(splits.dislikes_before(dataset, splits.test_split(dataset))) == [[4, 5]]
    assert lists_of(splits.dislikes_before(dataset, splits.validation_split(dataset))) == [[4]]
    plain = dataset_of([[0], [0, 1, 2, 3]])
    assert lists_of(splits.dislikes_before(plain, splits.test_split(plain))) == [[]]
