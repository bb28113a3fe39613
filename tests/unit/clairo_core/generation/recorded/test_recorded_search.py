"""Recorded searches, with a fake recorder: recorded sizes, the check against the plain search, and fallbacks."""

import logging
from collections.abc import Callable

import numpy as np
import pytest
import torch

from clairo_core.build_recommender import build_recommender
from clairo_core.catalogue import build_catalogue
from clairo_core.errors import GeneratorError
from clairo_core.generation.recorded.recorded_search import SearchSizes, record_search
from clairo_core.generation.recorded.search_agreement import agrees
from clairo_core.generation.t5.generator import Generator, choose_device, load_generator
from clairo_core.generation.trie.device_trie import DeviceTrie
from clairo_core.generation.trie.trie import trie_of_tokens
from clairo_core.items import UserHistory
from clairo_core.ranking.allowed_items import allowed_by
from clairo_core.recommendation import RecommendationRequest
from clairo_core.recommender import Recommender
from clairo_core.tokens.tokenizer import TokenBatch, Tokenizer
from clairo_core.tokens.vocabulary import EOS
from tests.tiny import random_feature_sets, tiny_vocabulary, token_batch, write_random_t5

VOCAB_SIZE, NUM_VIEWS = 30, 2
ITEMS = [(a, b) for a in range(2, 12) for b in range(12, 15)]
SIZES = SearchSizes(num_views=NUM_VIEWS, num_beams=4, num_items=6, max_requests=3, max_length=20)


class AsItIs:
    """Replays work by running it; counts calls, and fails or does nothing on request."""

    uses_pinned_memory = False

    def __init__(self) -> None:
        self.num_recorded = self.num_repeated = self.num_apart = 0
        self.fails_to_record = self.fails_to_repeat = self.repeats_nothing = False

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        if self.fails_to_record:
            raise RuntimeError("operation not permitted when stream is capturing")
        self.num_recorded += 1
        work()

        def replay() -> None:
            if self.fails_to_repeat:
                raise RuntimeError("an illegal memory access was encountered")
            self.num_repeated += 1
            if not self.repeats_nothing:
                work()

        return replay

    def wait(self) -> None:
        """Return at once: work is never asynchronous."""

    def apart(self) -> "AsItIs":
        self.num_apart += 1
        return self


@pytest.fixture(scope="module", params=["vocabulary", "reachable"])
def generator(request, tmp_path_factory) -> Generator:
    folder = tmp_path_factory.mktemp(request.param)
    write_random_t5(folder, VOCAB_SIZE, seed=1, initializer_factor=1.5, softmax=request.param)
    return load_generator(folder, "cpu")


@pytest.fixture
def recorder() -> AsItIs:
    return AsItIs()


@pytest.fixture
def trie(generator) -> DeviceTrie:
    return DeviceTrie(trie_of_tokens(token_batch(ITEMS), np.zeros(len(ITEMS), dtype=np.bool_)), generator)


def views_of(num_requests: int, length: int = 5) -> TokenBatch:
    random = np.random.default_rng(num_requests)
    return token_batch(
        [[*random.integers(2, VOCAB_SIZE, size=length - 1).tolist(), EOS] for _ in range(num_requests * NUM_VIEWS)]
    )


def test_a_few_sizes_are_recorded_and_the_smallest_that_fits_is_replayed(generator, trie, recorder):
    recorded = record_search(generator, trie, SIZES, recorder)
    assert recorded.recorded == [(1, 8), (1, 16), (1, 24), (2, 8), (2, 16), (2, 24), (3, 8), (3, 16), (3, 24)]
    for num_requests, length in ((1, 5), (2, 8), (3, 24)):
        fused = recorded.run(trie, views_of(num_requests, length), 4)
        assert [len(rows) for rows, _ in fused] == [len(set(rows.tolist())) for rows, _ in fused]
        assert len(fused) == num_requests


def test_answers_in_bfloat16_agree_with_the_plain_search(tmp_path, recorder):
    write_random_t5(tmp_path, VOCAB_SIZE, seed=1, initializer_factor=1.5, softmax="reachable")
    generator = load_generator(tmp_path, "cpu", dtype="bfloat16")
    trie = DeviceTrie(trie_of_tokens(token_batch(ITEMS), np.zeros(len(ITEMS), dtype=np.bool_)), generator)
    assert len(record_search(generator, trie, SIZES, recorder).recorded) == 9


def test_a_batch_that_fits_no_recorded_size_is_left_to_the_caller(generator, trie, recorder):
    recorded = record_search(generator, trie, SIZES, recorder)
    repeated = recorder.num_repeated
    assert recorded.run(trie, views_of(4), 4) is None
    assert recorded.run(trie, views_of(1, length=30), 4) is None
    assert recorded.run(trie, views_of(1), 5) is None
    assert recorder.num_repeated == repeated


def test_batches_above_the_memory_limit_are_not_recorded(generator, trie, recorder, monkeypatch):
    monkeypatch.setattr("clairo_core.generation.recorded.recorded_search._MAX_BYTES", 1)
    recorded = record_search(generator, trie, SIZES, recorder)
    assert recorded.recorded == []
    assert recorder.num_recorded == 0
    assert recorded.run(trie, views_of(1), 4) is None


def test_a_failed_recording_is_logged_once_and_answers_nothing(generator, trie, recorder, caplog):
    recorder.fails_to_record = True
    with caplog.at_level(logging.WARNING):
        recorded = record_search(generator, trie, SIZES, recorder)
    assert [record.getMessage() for record in caplog.records] == [
        "the search cannot be recorded (operation not permitted when stream is capturing); no GPU graphs"
    ]
    assert recorded.run(trie, views_of(1), 4) is None
    assert recorded.for_version(trie) is recorded


def test_a_recorded_search_that_answers_differently_is_never_used(generator, trie, recorder, caplog):
    recorder.repeats_nothing = True
    with caplog.at_level(logging.WARNING):
        recorded = record_search(generator, trie, SIZES, recorder)
    assert [record.getMessage() for record in caplog.records] == [
        "recorded, the search of 1 requests of 8 tokens differs; no GPU graphs"
    ]
    assert recorded.run(trie, views_of(1), 4) is None


def test_a_failed_replay_is_logged_once_and_is_the_last(generator, trie, recorder, caplog):
    recorded = record_search(generator, trie, SIZES, recorder)
    recorder.fails_to_repeat = True
    with caplog.at_level(logging.WARNING):
        assert recorded.run(trie, views_of(1), 4) is None
        assert recorded.run(trie, views_of(1), 4) is None
    assert [record.getMessage() for record in caplog.records] == [
        "a recorded search failed (an illegal memory access was encountered); no GPU graphs from now on"
    ]


def test_a_later_trie_is_loaded_and_one_that_outgrew_the_buffers_is_recorded_again(generator, trie, recorder):
    recorded = record_search(generator, trie, SIZES, recorder)
    num_recorded = recorder.num_recorded
    later = DeviceTrie(trie.trie.with_item(np.array([2, 20], dtype=np.int32)), generator)
    assert recorded.for_version(later) is recorded
    only_new = np.arange(len(ITEMS) + 1)[None] == len(ITEMS)
    for _ in range(2):
        assert recorded.run(later, views_of(1), 4, allowed_by(only_new))[0][0].tolist() == [len(ITEMS)]
        assert len(recorded.run(trie, views_of(1), 4, allowed_by(only_new[:, :-1]))[0][0]) == 0
    many = [*ITEMS, *((a, b, c) for a in (15, 16) for b in range(2, 10) for c in range(2, 9))]
    outgrown = DeviceTrie(trie_of_tokens(token_batch(many), np.zeros(len(many), dtype=np.bool_)), generator)
    grown = recorded.for_version(outgrown)
    assert grown is not recorded
    assert (recorder.num_recorded, recorder.num_apart) == (2 * num_recorded, 1)
    assert len(grown.run(outgrown, views_of(1), 4)[0][0])


def test_answers_with_a_forbidden_item_a_repeat_or_rising_scores_do_not_agree():
    right = [(np.array([3, 1]), np.array([-1.0, -2.0]))]
    allowed = np.array([[True, True, False, True]])
    assert agrees(right, right, allowed, 1e-3)
    assert agrees(right, [(np.array([3, 1]), np.array([-1.0005, -2.0]))], allowed, 1e-3)
    for rows, scores in (
        ([3, 2], [-1.0, -2.0]),
        ([3, 3], [-1.0, -2.0]),
        ([1, 3], [-2.0, -1.0]),
        ([3, 1], [-1.0, -2.5]),
        ([], []),
    ):
        assert not agrees(right, [(np.array(rows, dtype=np.int64), np.array(scores))], allowed, 1e-3)
    assert not agrees(right, [], allowed, 1e-3)


FEATURE_SETS = random_feature_sets(41, (8, 8, 4))
TOKENIZER = Tokenizer(tiny_vocabulary((8, 8, 4), merges=[(2, 10), (18, 22), (3, 11)]))


@pytest.fixture(scope="module", params=["vocabulary", "reachable"])
def recommenders(request, tmp_path_factory) -> tuple[Recommender, Recommender]:
    folder = tmp_path_factory.mktemp(f"whole-{request.param}")
    write_random_t5(folder, TOKENIZER.vocabulary.size, seed=4, initializer_factor=1.5, softmax=request.param)
    generator = load_generator(folder, "cpu")
    catalogue = build_catalogue([f"item-{row}" for row in range(40)], FEATURE_SETS[:40], TOKENIZER)
    popularity = np.ones(40, dtype=np.int64)
    plain, recorded = (
        build_recommender(catalogue, TOKENIZER, generator, popularity, num_views=2, num_beams=6, recorder=recorder)
        for recorder in (None, AsItIs())
    )
    return plain, recorded


def assert_same_answers(plain: Recommender, recorded: Recommender, requests: list[RecommendationRequest]) -> None:
    for expected, found in zip(plain.recommend_batch(requests), recorded.recommend_batch(requests), strict=True):
        assert [item.item_id for item in found.items] == [item.item_id for item in expected.items]
        np.testing.assert_allclose(
            [item.score for item in found.items], [item.score for item in expected.items], atol=2e-5
        )


def made_requests() -> list[RecommendationRequest]:
    random = np.random.default_rng(0)
    return [
        RecommendationRequest(
            history=UserHistory(tuple(f"item-{row}" for row in random.integers(40, size=size))),
            limit=5,
            include_seen=bool(size % 2),
            exclude=("item-3",) if size % 3 else (),
        )
        for size in (1, 2, 3, 5, 8, 13, 21)
    ]


def test_a_recommender_with_a_recorded_search_answers_as_one_without(recommenders):
    plain, recorded = recommenders
    assert_same_answers(plain, recorded, made_requests())


def test_recommenders_of_a_later_catalogue_answer_alike_too(recommenders):
    plain, recorded = (
        recommender.with_catalogue(
            recommender.catalogue.with_item("item-40", FEATURE_SETS[40].tolist(), TOKENIZER).without_item("item-7")
        )
        for recommender in recommenders
    )
    assert_same_answers(plain, recorded, made_requests())
    assert_same_answers(*recommenders, made_requests())


def test_a_missing_gpu_is_logged_once_and_the_cpu_computes(caplog, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with caplog.at_level(logging.INFO):
        assert choose_device("auto").type == "cpu"
    assert [record.getMessage() for record in caplog.records] == ["torch finds no CUDA GPU; the CPU computes"]
    with pytest.raises(GeneratorError, match="choose auto or cpu"):
        choose_device("abacus")
