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
    distances = np.array([[3.0, 1.0], [0.5, 2.0]], np.float32)
    space = FeatureSpace(("a", "b", "collision"), (2, 2, 2))
    first = first_collision_index((1, 0), 2)
    assert nearest_free_feature_set(distances, set(), space) == (1, 0, first)
    assert nearest_free_feature_set(distances, {(1, 0, first)}, space) == (1, 0, 1 - first)
    # 1.5 more on the second codebook is less than 2 more on the first.
    assert nearest_free_feature_set(distances, {(1, 0, 0), (1, 0, 1)}, space)[:2] == (1, 1)


def test_the_next_free_index_is_taken_even_below_taken_ones():
    space = FeatureSpace(("a", "collision"), (1, 3))
    assert nearest_free_feature_set(np.zeros((1, 1), np.float32), {(0, 0), (0, 2)}, space) == (0, 1)


def test_a_posted_duplicate_gets_the_index_that_training_would_give_it():
    semantic_ids = np.array([[2, 1], [2, 1], [2, 1]], np.int32)
    feature_sets, space = feature_sets_with_collision_index(semantic_ids, (3, 3), 16)
    distances = np.ones((2, 3), np.float32)
    distances[0, 2] = distances[1, 1] = 0.0
    taken = set(map(tuple, feature_sets[:2].tolist()))
    assert nearest_free_feature_set(distances, taken, space) == tuple(feature_sets[2].tolist())


def test_items_with_unique_codes_have_varied_indices():
    semantic_ids = np.array(list(itertools.product(range(8), repeat=3)), np.int32)
    feature_sets, _ = feature_sets_with_collision_index(semantic_ids, (8, 8, 8), 16)
    counts = np.bincount(feature_sets[:, -1], minlength=16)
    assert counts.min() > 0
    assert counts.max() < 3 * counts.mean()


def test_without_a_collision_category_the_codes_themselves_must_be_free():
    space = FeatureSpace(("a", "b"), (2, 2))
    distances = np.array([[0.0, 1.0], [0.0, 3.0]], np.float32)
    assert nearest_free_feature_set(distances, {(0, 0)}, space) == (1, 0)


@given(
    arrays.arrays(np.float32, (3, 4), elements=st.integers(0, 6).map(float)),
    st.sets(st.tuples(*[st.integers(0, 3)] * 3, st.integers(0, 1)), max_size=120),
    st.integers(0, 30),
)
def test_the_nearest_free_feature_set_matches_brute_force(distances, taken, nearest_blocked):
    space = FeatureSpace(("a", "b", "c", "collision"), (4, 4, 4, 2))

    def added_distance(codes):
        return sum(distances[codebook, code] - distances[codebook].min() for codebook, code in enumerate(codes))

    by_distance = sorted(itertools.product(range(4), repeat=3), key=lambda codes: (added_distance(codes), codes))
    taken |= {(*codes, index) for codes in by_distance[:nearest_blocked] for index in range(2)}
    in_order = ((*codes, (first_collision_index(codes, 2) + step) % 2) for codes in by_distance for step in range(2))
    free = (feature_set for feature_set in in_order if feature_set not in taken)
    assert nearest_free_feature_set(distances, taken, space) == next(free)


def test_a_full_space_is_an_error():
    space = FeatureSpace(("a", "collision"), (2, 1))
    with pytest.raises(FeatureSpaceFullError):
        nearest_free_feature_set(np.zeros((1, 2), np.float32), {(0, 0), (1, 0)}, space)


def test_distances_of_another_quantizer_are_refused():
    space = FeatureSpace(("a", "b", "collision"), (4, 4, 16))
    for shape in [(2, 8), (3, 4), (1, 4)]:
        with pytest.raises(FeatureSetError, match="quantizer that the catalogue was made with"):
            nearest_free_feature_set(np.zeros(shape, np.float32), set(), space)
