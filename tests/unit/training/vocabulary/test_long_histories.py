"""Histories of a hundred to a hundred thousand items, as bots and reloading pages leave them: every kernel ends."""

import time
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clairo_core.sequences import ItemSequences
from clairo_core.tokens.tokenizer import Tokenizer
from clairo_core.tokens.vocabulary import Vocabulary
from tests import slow_tokenizer
from training.vocabulary import learn_vocabulary_kernels
from training.vocabulary.learn_vocabulary import learn_vocabulary
from training.vocabulary.learning_arrays import MERGES_PER_CALL

NAMES, SIZES = ("a", "b", "c", "d", "e"), (16, 16, 16, 16, 8)
NUM_ITEMS, NUM_RULES = 60, 200
RANDOM = np.random.default_rng(0)
FEATURE_SETS = RANDOM.integers(0, np.array(SIZES), (NUM_ITEMS, len(SIZES))).astype(np.int32)
ORDINARY = [RANDOM.integers(0, NUM_ITEMS, 6).tolist() for _ in range(120)]

SHAPES: dict[str, Callable[[int], list[int]]] = {
    "constant": lambda length: [3] * length,
    "alternating": lambda length: [3, 7] * (length // 2),
    "cyclic": lambda length: [position % 10 for position in range(length)],
    "random": lambda length: np.random.default_rng(1).integers(0, NUM_ITEMS, length).tolist(),
}


def learned(histories: list[list[int]], num_rules: int = NUM_RULES) -> Vocabulary:
    size = 2 + sum(SIZES) + num_rules
    return learn_vocabulary(FEATURE_SETS, NAMES, SIZES, ItemSequences.from_lists(histories), size)


@pytest.mark.parametrize("length", [100, 800, 10_000, 100_000])
@pytest.mark.parametrize("shape", SHAPES)
def test_learning_ends_within_a_few_calls_of_its_kernel(
    shape: str, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    merge_pairs = learn_vocabulary_kernels.merge_pairs
    monkeypatch.setattr(
        learn_vocabulary_kernels, "merge_pairs", lambda *arguments: calls.append(0) or merge_pairs(*arguments)
    )
    assert len(learned([*ORDINARY, SHAPES[shape](length)]).left) == NUM_RULES
    # Each call learns rules or finds an array full; arrays grow by half at least, so few calls find one.
    assert len(calls) <= NUM_RULES / MERGES_PER_CALL + 40


@pytest.mark.parametrize("shape", SHAPES)
def test_time_is_linear_in_the_history(shape: str) -> None:
    """Ten times the history, far less than a hundred times the time, in one of three tries on a busy machine."""

    def seconds(length: int) -> float:
        histories = [*ORDINARY, SHAPES[shape](length)]
        began = time.process_time()
        vocabulary = learned(histories)
        tokenizer = Tokenizer(vocabulary)
        feature_tokens = vocabulary.feature_tokens(FEATURE_SETS)
        tokenizer.encode_views(feature_tokens, ItemSequences.from_lists(histories), seed=0)
        tokenizer.encode_canonical_batch(feature_tokens, ItemSequences.from_lists(histories))
        return time.process_time() - began

    assert any(seconds(50_000) < 40 * seconds(5_000) for _ in range(3))


@pytest.mark.parametrize("length", [100, 10_000, 100_000])
@pytest.mark.parametrize("shape", SHAPES)
def test_encoding_a_long_history_loses_no_feature(shape: str, length: int) -> None:
    history = SHAPES[shape](length)
    vocabulary = learned([*ORDINARY, history[:1000]])
    tokenizer = Tokenizer(vocabulary)
    feature_tokens = vocabulary.feature_tokens(FEATURE_SETS)
    expected = np.bincount(feature_tokens[history].ravel(), minlength=vocabulary.first_merge_token)
    view = tokenizer.encode_history_views(feature_tokens[history], 1, 0, eos=False)[0]
    for tokens in (view, tokenizer.encode_canonical(feature_tokens[history])):
        offsets = np.cumsum([0, *SIZES[:-1]]) + 2
        found = np.zeros(vocabulary.first_merge_token, dtype=np.int64)
        uses = np.bincount(tokens, minlength=vocabulary.size)
        for token in np.flatnonzero(uses):
            for category, value in vocabulary.features_of(int(token)):
                found[offsets[category] + value] += uses[token]
        assert np.array_equal(found, expected)


@settings(deadline=None, max_examples=30)
@given(st.sampled_from(sorted(SHAPES)), st.integers(2, 120), st.integers(1, 60))
def test_rules_of_one_visitors_loop_match_the_slow_twin(shape: str, length: int, num_rules: int) -> None:
    histories = [ORDINARY[0], SHAPES[shape](length)]
    vocabulary = learned(histories, num_rules)
    feature_tokens = vocabulary.feature_tokens(FEATURE_SETS)
    sets = [feature_tokens[history].tolist() for history in histories if history]
    twin = slow_tokenizer.learn(sets, vocabulary.first_merge_token, num_rules, num_categories=len(SIZES))
    ours = zip(vocabulary.left.tolist(), vocabulary.right.tolist(), vocabulary.scaled_counts.tolist(), strict=True)
    assert list(ours) == [(rule.left, rule.right, rule.scaled_count) for rule in twin]
    encoded = Tokenizer(vocabulary).encode_canonical(feature_tokens[histories[1]])
    assert encoded.tolist() == slow_tokenizer.encode_canonical(sets[-1], slow_tokenizer.by_pair(twin))
