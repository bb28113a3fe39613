import collections
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from clairo_core.errors import FeatureSetError, FeatureSpaceFullError
from clairo_core.features import (
    FeatureSpace,
    assign_collision_indices,
    assign_hash_buckets,
    collision_capacity,
    feature_sets_with_collision_index,
    first_collision_index,
    nearest_free_feature_set,
)

small_semantic_ids = arrays.arrays(np.int32, st.tuples(st.integers(0, 30), st.just(2)), elements=st.integers(0, 2))


def test_items_with_equal_codes_are_numbered_in_row_order():
    semantic_ids = np.array([[1, 2], [3, 4], [1, 2], [1, 2], [3, 4]])
    assert assign_collision_indices(semantic_ids).tolist() == [0, 0, 1, 2, 1]


@given(small_semantic_ids)
def test_collision_indices_match_counting_one_by_one(semantic_ids):
    seen: dict[tuple[int, ...], int] = {}
    expected = []
    for codes in map(tuple, semantic_ids.tolist()):
        expected.append(seen.get(codes, 0))
        seen[codes] = expected[-1] + 1
    assert assign_collision_indices(semantic_ids).tolist() == expected


@given(small_semantic_ids)
def test_no_two_feature_sets_are_alike(semantic_ids):
    feature_sets, space = feature_sets_with_collision_index(semantic_ids, (3, 3), collision_capacity(semantic_ids))
    space.check(feature_sets)
    assert len(set(map(tuple, feature_sets.tolist()))) == len(semantic_ids)
    assert np.array_equal(feature_sets[:, :2], semantic_ids)


@given(small_semantic_ids, st.integers(0, 2**32 - 1))
def test_no_two_feature_sets_are_alike_with_random_buckets(semantic_ids, seed):
    capacity = collision_capacity(semantic_ids)
    drawn = np.random.default_rng(seed).integers(capacity, size=len(semantic_ids))
    feature_sets, space = feature_sets_with_collision_index(semantic_ids, (3, 3), capacity, drawn=drawn)
    space.check(feature_sets)
    assert len(set(map(tuple, feature_sets.tolist()))) == len(semantic_ids)
    assert np.array_equal(feature_sets[:, :2], semantic_ids)


@given(small_semantic_ids)
def test_an_item_that_shares_its_codes_with_no_other_keeps_its_bucket(semantic_ids):
    drawn = np.random.default_rng(0).integers(16, size=len(semantic_ids))
    sizes = collections.Counter(map(tuple, semantic_ids.tolist()))
    is_alone = [sizes[tuple(codes)] == 1 for codes in semantic_ids.tolist()]
    buckets = assign_hash_buckets(semantic_ids, drawn, 30)
    assert np.array_equal(buckets[is_alone], drawn[is_alone])


def test_items_of_equal_codes_and_buckets_fill_all_buckets_before_none_is_left():
    buckets = assign_hash_buckets(np.zeros((4, 2), np.int32), np.array([2, 2, 2, 2]), 4)
    assert buckets.tolist() == [2, 3, 0, 1]
    with pytest.raises(FeatureSpaceFullError, match="only 4 collision indices"):
        feature_sets_with_collision_index(np.zeros((5, 2), np.int32), (1, 1), 4, drawn=np.full(5, 2))


def test_a_posted_item_takes_a_bucket_that_no_item_of_its_codes_drew():
    semantic_ids = np.zeros((4, 1), np.int32)
    feature_sets, space = feature_sets_with_collision_index(semantic_ids, (1,), 16, drawn=np.array([0, 1, 2, 3]))
    taken = set(map(tuple, feature_sets.tolist()))
    assert nearest_free_feature_set([(0,)], taken, space) == (0, 4)


def test_the_space_names_and_sizes_every_category():
    _, space = feature_sets_with_collision_index(np.array([[0, 1]]), (4, 8), 16, codebook_names=("text", "image"))
    assert space == FeatureSpace(("text", "image", "collision"), (4, 8, 16))
    assert space.num_features == 28


def test_the_capacity_lets_the_largest_group_double():
    assert collision_capacity(np.zeros((30, 2), np.int32)) == 60
    assert collision_capacity(np.zeros((3, 2), np.int32)) == 16
    assert collision_capacity(np.zeros((0, 2), np.int32)) == 16


def test_more_equal_codes_than_collision_indices_is_an_error_with_the_codes():
    with pytest.raises(FeatureSpaceFullError, match=r"5 items share the codes \[7, 7\].*only 4"):
        feature_sets_with_collision_index(np.full((5, 2), 7), (8, 8), 4)


def test_a_feature_outside_its_category_is_named_by_row_and_category():
    space = FeatureSpace(("code_0", "collision"), (4, 2))
    space.check(np.array([[3, 1], [0, 0]]))
    with pytest.raises(FeatureSetError, match=r"item row 1, category 'code_0': got feature 4, expected 0 to 3"):
        space.check(np.array([[3, 1], [4, 0]]))
    with pytest.raises(FeatureSetError, match="got feature -1"):
        space.check(np.array([[0, -1]]))
    with pytest.raises(FeatureSetError, match="shape"):
        space.check(np.array([[0, 1, 2]]))
    with pytest.raises(FeatureSetError, match="expected integers"):
        space.check(np.array([[0.0, 1.0]]))


@pytest.mark.parametrize(("names", "sizes"), [(("a",), (1, 2)), ((), ()), (("a", "a"), (2, 2)), (("a", "b"), (2, 0))])
def test_an_invalid_space_is_refused(names, sizes):
    with pytest.raises(FeatureSetError):
        FeatureSpace(names, sizes)


def test_a_free_item_keeps_its_own_codes():
    nearest = [(1, 0), (1, 1), (0, 0), (0, 1)]
    space = FeatureSpace(("a", "b", "collision"), (2, 2, 2))
    first = first_collision_index((1, 0), 2)
    assert nearest_free_feature_set(nearest, set(), space) == (1, 0, first)
    assert nearest_free_feature_set(nearest, {(1, 0, first)}, space) == (1, 0, 1 - first)
    assert nearest_free_feature_set(nearest, {(1, 0, 0), (1, 0, 1)}, space)[:2] == (1, 1)


def test_the_next_free_index_is_taken_even_below_taken_ones():
    space = FeatureSpace(("a", "collision"), (1, 3))
    assert nearest_free_feature_set([(0,)], {(0, 0), (0, 2)}, space) == (0, 1)


def test_a_free_index_is_found_without_listing_all_of_them():
    space = FeatureSpace(("a", "collision"), (1, 2**31 - 1))
    assert nearest_free_feature_set([(0,)], {(0, 0)}, space) == (0, 1)


@given(
    st.lists(st.tuples(st.integers(0, 299), st.integers(0, 299)), min_size=1, max_size=20), st.integers(20, 2**31 - 1)
)
def test_all_items_start_at_their_codes_first_collision_index(codes: list[tuple[int, int]], capacity: int) -> None:
    feature_sets, _ = feature_sets_with_collision_index(np.array(codes), (300, 300), capacity)
    before: dict[tuple[int, int], int] = {}
    for row, of_item in enumerate(codes):
        expected = (first_collision_index(of_item, capacity) + before.get(of_item, 0)) % capacity
        assert feature_sets[row].tolist() == [*of_item, expected]
        before[of_item] = before.get(of_item, 0) + 1


def test_a_posted_duplicate_gets_the_index_that_training_would_give_it():
    semantic_ids = np.array([[2, 1], [2, 1], [2, 1]], np.int32)
    feature_sets, space = feature_sets_with_collision_index(semantic_ids, (3, 3), 16)
    taken = set(map(tuple, feature_sets[:2].tolist()))
    assert nearest_free_feature_set([(2, 1)], taken, space) == tuple(feature_sets[2].tolist())


def test_items_with_unique_codes_have_varied_indices():
    semantic_ids = np.array(list(itertools.product(range(8), repeat=3)), np.int32)
    feature_sets, _ = feature_sets_with_collision_index(semantic_ids, (8, 8, 8), 16)
    counts = np.bincount(feature_sets[:, -1], minlength=16)
    assert counts.min() > 0
    assert counts.max() < 3 * counts.mean()


def test_without_a_collision_category_the_codes_themselves_must_be_free():
    space = FeatureSpace(("a", "b"), (2, 2))
    assert nearest_free_feature_set([(0, 0), (1, 0)], {(0, 0)}, space) == (1, 0)


def test_a_full_space_is_an_error():
    space = FeatureSpace(("a", "collision"), (2, 1))
    with pytest.raises(FeatureSpaceFullError):
        nearest_free_feature_set([(0,), (1,)], {(0, 0), (1, 0)}, space)


@pytest.mark.parametrize("codes", [(0, 4), (-1, 0), (0, 0, 0, 0), (0,)])
def test_codes_of_another_quantizer_are_refused(codes):
    space = FeatureSpace(("a", "b", "collision"), (4, 4, 16))
    with pytest.raises(FeatureSetError, match="quantizer that the catalogue was made with"):
        nearest_free_feature_set([codes], set(), space)
