"""Semantic ids of an item, nearest first."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from clairo_core.features import FeatureSpace, first_collision_index, nearest_free_feature_set
from clairo_core.quantizers import OpqQuantizer
from clairo_core.quantizers.nearest_codes import codes_nearest_first, nearest_codes


@given(
    arrays(np.float32, (3, 4), elements=st.integers(0, 6).map(float)),
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
    nearest = codes_nearest_first(3, lambda prefix: distances[len(prefix)])
    assert nearest_free_feature_set(nearest, taken, space) == next(free)


@given(
    arrays(np.float32, (1,), elements=st.integers(0, 4).map(float)),
    arrays(np.float32, (3,), elements=st.integers(0, 4).map(float)),
    arrays(np.float32, (3, 3), elements=st.integers(0, 4).map(float)),
)
def test_distances_that_depend_on_the_prefix_are_added_as_regrets(first, second, third):
    tree = {(): first, (0,): second, **{(0, code): third[code] for code in range(3)}}

    def regret(codes):
        return sum(tree[codes[:level]][code] - tree[codes[:level]].min() for level, code in enumerate(codes))

    every = [(0, *codes) for codes in itertools.product(range(3), repeat=2)]
    assert list(codes_nearest_first(3, lambda prefix: tree[tuple(prefix)])) == sorted(
        every, key=lambda codes: (regret(codes), codes)
    )


def test_only_codebooks_on_the_way_are_looked_at():
    seen = []

    def distances(prefix):
        seen.append(tuple(prefix))
        return np.arange(256, dtype=np.float32)

    nearest = codes_nearest_first(64, distances)
    assert next(nearest) == (0,) * 64
    assert len(seen) == 64


def test_an_opq_item_is_ordered_by_its_distance():
    random = np.random.default_rng(0)
    quantizer = OpqQuantizer(
        np.linalg.qr(random.normal(size=(6, 6)))[0].astype(np.float32), random.normal(size=(3, 4, 2)).astype(np.float32)
    )
    embedding = random.normal(size=6).astype(np.float32)
    nearest = list(nearest_codes(quantizer, embedding))
    assert nearest[0] == tuple(quantizer.encode(embedding[None])[0].tolist())
    assert sorted(nearest) == list(itertools.product(range(4), repeat=3))
    errors = np.square(quantizer.decode(np.array(nearest)) - embedding).sum(axis=1)
    assert np.all(np.diff(errors) > -1e-4)
    vectors = quantizer.code_vectors()
    np.testing.assert_allclose(
        vectors[np.arange(3), np.array(nearest)].sum(axis=1), quantizer.decode(np.array(nearest)), atol=1e-5
    )
