"""Counts of parts add up to those of the whole, and so do the lists of sequences."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clairo_core.progress import silent
from clairo_core.sequences import ItemSequences
from clairo_core.tokens.vocabulary import Vocabulary, vocabulary_of_features
from tests.tiny import random_feature_sets, random_sequences
from training.engines.engine import IN_THIS_PROCESS
from training.vocabulary import count_parts
from training.vocabulary.count_parts import count_in_parts
from training.vocabulary.learn_vocabulary import learn_vocabulary
from training.vocabulary.learning_arrays import LearningArrays

SIZES = (4, 4, 4)
SETS = random_feature_sets(12, SIZES)
FEATURES_ONLY = vocabulary_of_features(("a", "b", "c"), SIZES)
TOKENS = FEATURES_ONLY.feature_tokens(SETS)


def counted(sequences: ItemSequences, most_entries: int) -> dict[int, tuple[int, list[int]]]:
    """Pair -> its count, and its sequences, newest first; no part holds more than `most_entries`."""
    arrays = LearningArrays(FEATURES_ONLY, TOKENS, sequences, FEATURES_ONLY.size + 1)
    found: dict[int, tuple[int, list[int]]] = {}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(count_parts, "MOST_ENTRIES", most_entries)
        of_corpus = (TOKENS, sequences, arrays.corpus.set_weights, arrays.weights)
        for part in count_in_parts(*of_corpus, IN_THIS_PROCESS, silent):
            lists = np.split(part.sequences, part.begins)[1:]
            for key, count, of_pair in zip(part.keys.tolist(), part.counts.tolist(), lists, strict=True):
                before, earlier = found.get(key, (0, []))
                found[key] = before + count, of_pair.tolist() + earlier
    return found


@given(
    st.lists(st.lists(st.integers(0, 11), max_size=6), min_size=1, max_size=12).filter(any),
    st.integers(1, 400),
    st.integers(0, 9),
)
def test_parts_add_up_to_the_whole(histories: list[list[int]], most_entries: int, seed: int) -> None:
    sequences = ItemSequences.from_lists(histories)
    weights = np.random.default_rng(seed).choice([0.3, 0.5, 1.0], len(sequences.items)).astype(np.float32)
    weighted = ItemSequences(sequences.items, sequences.offsets, weights)
    for corpus in (sequences, weighted):
        assert counted(corpus, most_entries) == counted(corpus, 10**9)


def learned_in_parts(most_entries: int) -> Vocabulary:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(count_parts, "MOST_ENTRIES", most_entries)
        return learn_vocabulary(SETS, ("a", "b", "c"), SIZES, random_sequences(12, 300), FEATURES_ONLY.size + 60)


@pytest.mark.parametrize("most_entries", [1, 1000])
def test_rules_do_not_depend_on_the_parts(most_entries: int) -> None:
    expected, found = learned_in_parts(10**9), learned_in_parts(most_entries)
    for name in ("left", "right", "scaled_counts"):
        assert np.array_equal(getattr(found, name), getattr(expected, name))
