"""Items are numbered at random, or by first occurrence; numbers are written in digits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clairo_core.errors import SettingsError
from clairo_core.sequences import ItemSequences
from training.items.number_items import numbered_feature_sets, random_numbers, sequential_numbers

histories = st.lists(st.lists(st.integers(0, 9), max_size=6), max_size=6)


def test_items_are_numbered_user_by_user_and_unused_ones_last() -> None:
    training = ItemSequences.from_lists([[5, 3, 5], [], [3, 0]])
    # 5, 3, 0 occur in this order; 1, 2, 4 never.
    assert sequential_numbers(training, 6).tolist() == [2, 3, 4, 1, 5, 0]


@given(histories)
def test_sequential_numbers_are_a_permutation_that_counts_first_occurrences(sequences: list[list[int]]) -> None:
    numbers = sequential_numbers(ItemSequences.from_lists(sequences), 10)
    assert sorted(numbers.tolist()) == list(range(10))
    order = list(dict.fromkeys(item for sequence in sequences for item in sequence))
    assert [int(numbers[item]) for item in order] == list(range(len(order)))


@given(st.integers(1, 50), st.integers(0, 2**31))
def test_random_numbers_are_a_permutation_that_the_seed_fixes(num_items: int, seed: int) -> None:
    numbers = random_numbers(num_items, seed)
    assert sorted(numbers.tolist()) == list(range(num_items))
    assert np.array_equal(numbers, random_numbers(num_items, seed))


@given(st.integers(1, 300), st.integers(2, 20))
def test_digits_spell_the_number_and_fit_their_categories(num_items: int, base: int) -> None:
    numbers = random_numbers(num_items, seed=0)
    feature_sets, space = numbered_feature_sets(numbers, base)
    space.check(feature_sets)
    num_digits = feature_sets.shape[1]
    assert np.array_equal(feature_sets @ base ** np.arange(num_digits)[::-1], numbers)
    assert num_digits == 1 or base ** (num_digits - 1) < num_items, "no digit is 0 for all items"


def test_a_base_below_two_is_refused_by_the_name_of_the_setting() -> None:
    with pytest.raises(SettingsError, match=r"quantize\.num_centroids is 1; expected at least 2"):
        numbered_feature_sets(np.arange(3), 1)
