"""The compiled kernels and the slow twin agree, to the last token and count, on random corpora."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from clairo_core.sequences import ItemSequences
from clairo_core.tokens.tokenizer import Tokenizer
from clairo_core.tokens.vocabulary import Vocabulary
from tests import slow_tokenizer
from training.vocabulary.learn_vocabulary import learn_vocabulary

FEATURES = 2
"""Values per category: few, so pairs repeat and counts tie."""


@st.composite
def corpora(draw: st.DrawFn) -> tuple[np.ndarray, list[list[int]], int]:
    """Draw feature sets of 1 to 9 categories, sequences of rows (repeats and single items too), number of rules."""
    num_categories = draw(st.integers(1, 9))
    num_items = draw(st.integers(1, 6))
    row = st.lists(st.integers(0, FEATURES - 1), min_size=num_categories, max_size=num_categories)
    feature_sets = np.array(draw(st.lists(row, min_size=num_items, max_size=num_items)), dtype=np.int32)
    sequence = st.lists(st.integers(0, num_items - 1), min_size=1, max_size=6)
    sequences = draw(st.lists(sequence, min_size=1, max_size=6))
    return feature_sets, sequences, draw(st.integers(0, 25))


@st.composite
def long_corpora(draw: st.DrawFn) -> tuple[np.ndarray, list[list[int]], int]:
    """Draw histories so long that one merge changes many places, close together and far apart."""
    random = np.random.default_rng(draw(st.integers(0, 2**31)))
    num_items = draw(st.integers(2, 12))
    feature_sets = random.integers(FEATURES, size=(num_items, draw(st.integers(1, 5)))).astype(np.int32)
    lengths = draw(st.lists(st.integers(1, 90), min_size=1, max_size=3))
    sequences = [random.integers(num_items, size=length).tolist() for length in lengths]
    return feature_sets, sequences, draw(st.integers(0, 60))


def learned(feature_sets: np.ndarray, sequences: list[list[int]], num_rules: int) -> Vocabulary:
    num_categories = feature_sets.shape[1]
    return learn_vocabulary(
        feature_sets,
        tuple(f"code_{category}" for category in range(num_categories)),
        (FEATURES,) * num_categories,
        ItemSequences.from_lists(sequences),
        2 + FEATURES * num_categories + num_rules,
    )


def token_sets(vocabulary: Vocabulary, feature_sets: np.ndarray, rows: list[int]) -> list[list[int]]:
    return vocabulary.feature_tokens(feature_sets)[rows].tolist()


def twin_rules(vocabulary: Vocabulary) -> list[slow_tokenizer.Rule]:
    merges = zip(vocabulary.left.tolist(), vocabulary.right.tolist(), vocabulary.scaled_counts.tolist(), strict=True)
    return [
        slow_tokenizer.Rule(left, right, vocabulary.first_merge_token + number, count)
        for number, (left, right, count) in enumerate(merges)
    ]


@settings(deadline=None, max_examples=300)
@given(corpora())
def test_learned_merges_match_the_slow_twin(corpus: tuple[np.ndarray, list[list[int]], int]) -> None:
    feature_sets, sequences, num_rules = corpus
    vocabulary = learned(feature_sets, sequences, num_rules)
    expected = slow_tokenizer.learn(
        [token_sets(vocabulary, feature_sets, rows) for rows in sequences],
        vocabulary.first_merge_token,
        num_rules,
        num_categories=feature_sets.shape[1],
    )
    assert twin_rules(vocabulary) == expected


@settings(deadline=None, max_examples=100)
@given(long_corpora())
def test_merges_of_long_histories_match_the_slow_twin(corpus: tuple[np.ndarray, list[list[int]], int]) -> None:
    feature_sets, sequences, num_rules = corpus
    vocabulary = learned(feature_sets, sequences, num_rules)
    sets = [token_sets(vocabulary, feature_sets, rows) for rows in sequences]
    expected = slow_tokenizer.learn(sets, vocabulary.first_merge_token, num_rules, num_categories=feature_sets.shape[1])
    assert twin_rules(vocabulary) == expected
    canonical = Tokenizer(vocabulary).encode_canonical(vocabulary.feature_tokens(feature_sets)[sequences[0]])
    assert canonical.tolist() == slow_tokenizer.encode_canonical(sets[0], slow_tokenizer.by_pair(expected))


@settings(deadline=None, max_examples=200)
@given(corpora(), st.integers(0, 2**31))
def test_encodings_match_the_slow_twin(corpus: tuple[np.ndarray, list[list[int]], int], seed: int) -> None:
    feature_sets, sequences, num_rules = corpus
    vocabulary = learned(feature_sets, sequences, num_rules)
    tokenizer, rules = Tokenizer(vocabulary), slow_tokenizer.by_pair(twin_rules(vocabulary))
    table = vocabulary.feature_tokens(feature_sets)
    views = tokenizer.encode_views(table, ItemSequences.from_lists(sequences), seed=seed, eos=False)
    for number, rows in enumerate(sequences):
        sets = token_sets(vocabulary, feature_sets, rows)
        assert views[number].tolist() == slow_tokenizer.encode_view(sets, rules, seed=seed, view=number)
        assert tokenizer.encode_canonical(table[rows]).tolist() == slow_tokenizer.encode_canonical(sets, rules)


@settings(deadline=None, max_examples=200)
@given(corpora(), st.integers(0, 2**31))
def test_decoding_an_encoded_history_returns_its_features(
    corpus: tuple[np.ndarray, list[list[int]], int], seed: int
) -> None:
    feature_sets, sequences, num_rules = corpus
    vocabulary = learned(feature_sets, sequences, num_rules)
    tokenizer = Tokenizer(vocabulary)
    table = vocabulary.feature_tokens(feature_sets)
    for rows in sequences:
        features = sorted((category, int(value)) for row in rows for category, value in enumerate(feature_sets[row]))
        assert sorted(tokenizer.decode(tokenizer.encode_canonical(table[rows]))) == features
        view = tokenizer.encode_history_views(table[rows], 1, seed)[0]
        assert sorted(tokenizer.decode(view)) == features
