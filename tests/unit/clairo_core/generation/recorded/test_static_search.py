"""The static search finds the same items as the plain one, in the same order."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import DynamicOutputShapeException, FakeTensorMode

from clairo_core.errors import CatalogueError
from clairo_core.generation.recorded.padded_trie import PaddedTrie, TrieShape, needed_shape
from clairo_core.generation.recorded.static_search import (
    StaticSearch,
    best_places_of_all,
    ranking_keys,
    scores_of,
    tie_breakers_of,
)
from clairo_core.generation.recorded.static_view_fusion import fuse_views_of_all
from clairo_core.generation.search.beam_search import Beams, search
from clairo_core.generation.search.view_fusion import fuse_views
from clairo_core.generation.t5.generator import Generator, load_generator
from clairo_core.generation.t5.generator_checkpoint import EncoderBlock, GeneratorWeights
from clairo_core.generation.trie.device_trie import DeviceTrie, TrieTensors
from clairo_core.generation.trie.trie import Trie, trie_of_tokens
from clairo_core.ranking.allowed_items import allowed_by
from clairo_core.tokens.tokenizer import TokenBatch
from clairo_core.tokens.vocabulary import EOS
from tests.tiny import token_batch, write_random_t5

VOCAB_SIZE = 30

item_tokens = st.lists(
    st.lists(st.integers(2, 9), min_size=1, max_size=4).map(tuple), min_size=1, max_size=40, unique=True
)
histories = st.lists(
    st.lists(st.integers(2, VOCAB_SIZE - 1), min_size=1, max_size=6).map(lambda tokens: [*tokens, EOS]),
    min_size=1,
    max_size=4,
).map(token_batch)
scores = st.sampled_from([-np.inf, -3.5, -1.0, -1e-30, -0.0, 0.0, 0.25]) | st.floats(-80, 80, width=32)


@pytest.fixture(scope="module", params=["vocabulary", "reachable"])
def generator(request, tmp_path_factory) -> Generator:
    folder = tmp_path_factory.mktemp(request.param)
    # Larger weights than T5's initial ones, for unequal probabilities.
    write_random_t5(folder, VOCAB_SIZE, seed=1, initializer_factor=1.5, softmax=request.param)
    return load_generator(folder, "cpu")


def padded(generator: Generator, trie: DeviceTrie, num_beams: int, shape: TrieShape | None = None) -> PaddedTrie:
    is_reachable = trie.is_reachable_softmax
    if shape is None:
        shape = needed_shape(trie.trie, num_beams, is_reachable_softmax=is_reachable).with_spare_room()
    room = PaddedTrie(shape, generator, is_reachable_softmax=is_reachable)
    room.load(trie)
    return room


def static_beams(
    generator: Generator,
    room: PaddedTrie,
    views: TokenBatch,
    num_beams: int,
    num_items: int,
    is_allowed: np.ndarray | None = None,
) -> Beams:
    allowed = torch.ones(len(views), room.shape.num_items, dtype=torch.bool)
    if is_allowed is not None:
        allowed = torch.ones(len(is_allowed), room.shape.num_items, dtype=torch.bool)
        allowed[:, : is_allowed.shape[1]] = torch.from_numpy(is_allowed)
    with torch.inference_mode():
        found, kept = StaticSearch(generator, room, num_beams, num_items).run(
            torch.from_numpy(views.ids), torch.from_numpy(views.lengths), allowed
        )
    return Beams(found.numpy(), kept.numpy())


def assert_same_beams(found: Beams, expected: Beams) -> None:
    # The plain search may return fewer places than requested.
    num_missing = found.scores.shape[1] - expected.scores.shape[1]
    scores = np.pad(expected.scores, ((0, 0), (0, num_missing)), constant_values=-np.inf)
    item_rows = np.pad(expected.item_rows, ((0, 0), (0, num_missing)), constant_values=-1)
    np.testing.assert_allclose(found.scores, scores, atol=2e-5)
    # Scores closer than rounding may be in either order; most examples have none.
    gaps = np.diff(np.maximum(scores, -1e30), axis=1, prepend=np.inf, append=-np.inf)
    is_apart = (np.minimum(-gaps[:, :-1], -gaps[:, 1:]) > 1e-4) | (scores == -np.inf)
    assert (found.item_rows == item_rows)[is_apart].all()


@given(item_tokens, histories, st.integers(1, 50), st.integers(0, 20), st.data())
@settings(max_examples=30, deadline=None)
def test_the_static_search_finds_what_the_plain_one_finds(generator, items, views, num_beams, more_items, data):
    flags = st.lists(st.booleans(), min_size=len(items), max_size=len(items))
    is_retired = np.array(data.draw(flags | st.just([False] * len(items))))
    is_allowed = data.draw(st.none() | st.lists(flags, min_size=len(views), max_size=len(views)).map(np.array))
    trie = trie_of_tokens(token_batch(items), is_retired)
    device_trie = DeviceTrie(trie, generator)
    allowed = None if is_allowed is None else allowed_by(is_allowed)
    num_items = num_beams + more_items
    expected = search(generator, device_trie, views, num_beams, num_items=num_items, is_allowed=allowed)
    room = padded(generator, device_trie, num_beams)
    assert_same_beams(static_beams(generator, room, views, num_beams, num_items, is_allowed), expected)


@given(item_tokens, histories, st.integers(1, 10))
@settings(max_examples=15, deadline=None)
def test_the_needed_shape_is_sufficient(generator, items, views, num_beams):
    trie = trie_of_tokens(token_batch(items), np.zeros(len(items), dtype=np.bool_))
    device_trie = DeviceTrie(trie, generator)
    shape = needed_shape(trie, num_beams, is_reachable_softmax=device_trie.is_reachable_softmax)
    room = padded(generator, device_trie, num_beams, shape)
    expected = search(generator, device_trie, views, num_beams)
    assert_same_beams(static_beams(generator, room, views, num_beams, num_beams), expected)


@given(item_tokens, st.lists(st.lists(st.integers(2, 9), min_size=1, max_size=4).map(tuple), max_size=6), histories)
@settings(max_examples=15, deadline=None)
def test_one_padded_trie_holds_one_version_after_another(generator, items, posted, views):
    versions: list[Trie] = [trie_of_tokens(token_batch(items), np.zeros(len(items), dtype=np.bool_))]
    for tokens in posted:
        try:
            versions.append(versions[-1].with_item(np.array(tokens, dtype=np.int32)))
        except CatalogueError:
            continue  # an equal item exists
    tries = [DeviceTrie(trie, generator) for trie in versions]
    is_reachable = tries[0].is_reachable_softmax
    shape = needed_shape(versions[-1], 4, is_reachable_softmax=is_reachable).with_spare_room()
    room = padded(generator, tries[-1], 4, shape)
    for trie in [*tries, *reversed(tries)]:
        room.load(trie)
        expected = search(generator, trie, views, 4)
        assert_same_beams(static_beams(generator, room, views, 4, 4), expected)


def test_views_of_one_request_share_its_filter(generator):
    items, views = token_batch([(4,), (5,), (6,)]), token_batch([[3, EOS], [7, EOS], [8, EOS], [9, EOS]])
    trie = DeviceTrie(trie_of_tokens(items, np.zeros(3, dtype=np.bool_)), generator)
    is_allowed = np.array([[True, False, False], [False, True, True]])
    beams = static_beams(generator, padded(generator, trie, 3), views, 3, 3, is_allowed)
    assert [set(rows.tolist()) - {-1} for rows in beams.item_rows] == [{0}, {0}, {1, 2}, {1, 2}]


def test_items_of_equal_score_come_in_the_order_of_their_rows(tmp_path):
    write_random_t5(tmp_path, VOCAB_SIZE, seed=2, softmax="reachable")
    generator = load_generator(tmp_path, "cpu")
    for embeddings in (generator.weights.token_embeddings, generator.weights.output_embeddings):
        embeddings[2:] = embeddings[2].clone()
    items = token_batch([(9,), (3,), (7,), (5,)])
    trie = DeviceTrie(trie_of_tokens(items, np.zeros(4, dtype=np.bool_)), generator)
    beams = static_beams(generator, padded(generator, trie, 2), token_batch([[4, EOS]]), 2, 3)
    assert beams.item_rows.tolist() == [[0, 1, 2]]


def test_a_catalogue_without_items_leaves_no_beam(generator):
    trie = DeviceTrie(trie_of_tokens(token_batch([]), np.zeros(0, dtype=np.bool_)), generator)
    beams = static_beams(generator, padded(generator, trie, 3), token_batch([[3, EOS]]), 3, 3)
    assert (beams.item_rows == -1).all()
    assert (beams.scores == -np.inf).all()


def on_a_gpu_that_is_not_there(part: Any) -> Any:
    """The same with meta tensors: torch computes shapes, and raises when a number is read."""
    if isinstance(part, torch.Tensor):
        return torch.empty(part.shape, dtype=part.dtype, device="cuda")
    if isinstance(part, tuple):
        return tuple(map(on_a_gpu_that_is_not_there, part))
    if not isinstance(part, Generator | TrieTensors | GeneratorWeights | EncoderBlock):
        return part
    absent = copy.copy(part)
    # Bypasses the checks of frozen dataclasses.
    vars(absent).update({name: on_a_gpu_that_is_not_there(value) for name, value in vars(part).items()})
    return absent


@pytest.mark.parametrize(
    ("softmax", "dtype", "feed_forward"),
    [
        ("vocabulary", "float32", "relu"),
        ("reachable", "float32", "relu"),
        ("vocabulary", "bfloat16", "gated-gelu"),
        ("reachable", "bfloat16", "gated-gelu"),
    ],
)
def test_no_step_waits_for_a_number_from_the_device(tmp_path, softmax, dtype, feed_forward):
    write_random_t5(tmp_path, VOCAB_SIZE, softmax=softmax, feed_forward_proj=feed_forward)
    generator = load_generator(tmp_path, "cpu", dtype=dtype)
    items, views = token_batch([(a, b) for a in range(2, 9) for b in range(10, 15)]), token_batch([[3, EOS]] * 4)
    trie = DeviceTrie(trie_of_tokens(items, np.zeros(len(items), dtype=np.bool_)), generator)
    room = padded(generator, trie, 4)
    inputs = (
        torch.from_numpy(views.ids),
        torch.from_numpy(views.lengths),
        torch.ones(2, room.shape.num_items, dtype=torch.bool),
    )
    with FakeTensorMode(), torch.inference_mode():
        absent, absent_trie, absent_room = map(on_a_gpu_that_is_not_there, (generator, trie, room))
        absent_room.load(absent_trie)
        found = StaticSearch(absent, absent_room, 4, 6).run(*on_a_gpu_that_is_not_there(inputs))
        item_rows, fused = fuse_views_of_all(*found, 2)
        with pytest.raises(DynamicOutputShapeException):
            search(absent, absent_trie, views, 4)
    assert (item_rows.shape, fused.shape) == ((2, 12), (2, 12))
    assert item_rows.device.type == fused.device.type == "cuda"


@given(st.lists(st.tuples(scores, st.integers(-1, 2**31 - 1)), min_size=1))
@settings(deadline=None)
def test_ranking_keys_are_in_the_order_of_scores_then_of_tie_breakers_and_give_both_back(pairs):
    values = torch.tensor([score for score, _ in pairs], dtype=torch.float32)
    ties = torch.tensor([tie for _, tie in pairs])
    keys = ranking_keys(values, ties)
    expected = np.lexsort((ties.numpy(), -values.numpy()))
    assert keys[torch.from_numpy(expected)].tolist() == sorted(keys.tolist(), reverse=True)
    assert torch.equal(scores_of(keys), values)
    assert torch.equal(tie_breakers_of(keys), ties)


@given(st.lists(st.sampled_from([-np.inf, -2.0, -1.0, 0.5]), min_size=1, max_size=8), st.data())
@settings(deadline=None)
def test_best_places_are_the_highest_and_the_first_of_ties(values, data):
    count = data.draw(st.integers(1, len(values)))
    places = best_places_of_all(torch.tensor([values]), count)
    assert places.tolist() == [sorted(sorted(range(len(values)), key=lambda place: (-values[place], place))[:count])]


@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 6), st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_fusion_in_fixed_shapes_agrees_with_plain_fusion(num_requests, num_views, num_beams, seed):
    random = np.random.default_rng(seed)
    rows = np.stack([random.permutation(8)[:num_beams] for _ in range(num_requests * num_views)])
    kept = np.sort(random.choice([-0.5, -1.0, -2.25, -7.0], size=rows.shape).astype(np.float32))[:, ::-1]
    is_missing = np.arange(num_beams) >= random.integers(num_beams + 1, size=len(rows))[:, None]
    rows, kept = np.where(is_missing, -1, rows), np.where(is_missing, -np.inf, kept).astype(np.float32)
    request_of_view = np.repeat(np.arange(num_requests), num_views)
    expected = fuse_views(Beams(rows, kept), request_of_view, num_requests)
    found_rows, found = fuse_views_of_all(torch.from_numpy(rows), torch.from_numpy(kept), num_views)
    for request, (item_rows, fused) in enumerate(expected):
        assert found_rows[request, : len(item_rows)].tolist() == item_rows.tolist()
        assert (found_rows[request, len(item_rows) :] == -1).all()
        np.testing.assert_allclose(found[request, : len(item_rows)], fused, atol=1e-12)
