"""Leave-last-out splits."""

import numpy as np
from hypothesis import given, settings
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
def test_training_validation_and_test_together_are_the_whole_sequence(lists):
    dataset = dataset_of(lists)
    training = lists_of(splits.training_sequences(dataset))
    validation, test = splits.validation_split(dataset), splits.test_split(dataset)
    assert validation.user_rows.tolist() == test.user_rows.tolist()
    assert len(training) == len(lists)
    for place, user in enumerate(test.user_rows):
        assert [*training[user], validation.targets[place], test.targets[place]] == lists[user]
        assert validation.histories[place].tolist() == training[user]
        assert test.histories[place].tolist() == lists[user][:-1]
    for user in set(range(len(lists))) - set(test.user_rows.tolist()):
        assert training[user] == lists[user]
