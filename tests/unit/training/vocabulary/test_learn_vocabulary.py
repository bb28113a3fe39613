"""Learning merge rules: a worked example, invariances, and refused input."""

import logging
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clairo_core.errors import (
    EmptyCorpusError,
    FeatureSetError,
    VocabularyError,
    VocabularyMemoryError,
    VocabularySizeError,
)
from clairo_core.sequences import ItemSequences
from clairo_core.tokens.vocabulary import Vocabulary
from tests import slow_tokenizer
from tests.repository import REPOSITORY
from tests.tiny import random_feature_sets, random_sequences
from training.vocabulary import learn_vocabulary_kernels, pair_count_kernels
from training.vocabulary.learn_vocabulary import learn_vocabulary, learn_within_memory, sample_sequences
from training.vocabulary.learning_arrays import LearningArrays
from training.vocabulary.pair_count_kernels import NUM_ENTRIES

NAMES, SIZES = ("a", "b"), (2, 2)
NUM_FEATURES = 4


def learned(feature_sets: Any, sequences: list[list[int]], num_rules: int, **options: Any) -> Vocabulary:
    size = 2 + NUM_FEATURES + num_rules
    return learn_vocabulary(feature_sets, NAMES, SIZES, ItemSequences.from_lists(sequences), size, **options)


def rules_of(vocabulary: Vocabulary) -> list[tuple[int, int, int]]:
    return [(rule.left, rule.right, rule.scaled_count) for rule in vocabulary.rules()]


def large_vocabulary() -> Vocabulary:
    sequences = random_sequences(200, 400)
    return learn_vocabulary(random_feature_sets(200, (8, 8, 8)), ("a", "b", "c"), (8, 8, 8), sequences, 2 + 24 + 300)


def test_a_worked_example() -> None:
    """Item 0 is {2, 4}, item 1 is {3, 5}. Weights are times 4: 4 in a set of two, 1 across two such sets.

    2+4 meets twice, 8, and becomes 6. Then 3+5 weighs 4, 3+6 and 5+6 weigh 2 each; 3+5 becomes 7. Then 6+7, across two
    sets of one, weighs 4 and becomes 8. Then nothing is left.
    """
    vocabulary = learned([[0, 0], [1, 1]], [[0, 1], [0]], 5)
    assert rules_of(vocabulary) == [(2, 4, 8), (3, 5, 4), (6, 7, 4)]
    assert vocabulary.weight_scale == 4


def test_ties_go_to_the_smallest_pair() -> None:
    vocabulary = learned([[0, 0], [0, 1], [1, 0], [1, 1]], [[3], [2], [1], [0]], 4)
    assert rules_of(vocabulary) == [(2, 4, 4), (2, 5, 4), (3, 4, 4), (3, 5, 4)]


def test_running_out_of_pairs_ends_early_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        vocabulary = learned([[0, 0], [1, 1]], [[0, 1], [0]], 5)
    assert vocabulary.size == 9
    assert "the vocabulary has 9 tokens instead of 11: no pair is left to merge" in caplog.text


def test_a_vocabulary_may_have_no_merge_rules() -> None:
    assert learned([[0, 0]], [[0]], 0).size == 2 + NUM_FEATURES


def test_a_recurring_pair_is_merged_again_and_not_learned_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    feature_sets, sequences = [[1, 0], [0, 1], [0, 0]], [[0, 0, 1, 0], [0, 0, 2, 0, 0]]
    vocabulary = learned(feature_sets, sequences, 8)
    applied: list[int] = []
    apply_rule = slow_tokenizer.apply_rule

    def apply_and_note(head: slow_tokenizer.Node, rule: slow_tokenizer.Rule) -> slow_tokenizer.Node:
        applied.append(rule.token)
        return apply_rule(head, rule)

    monkeypatch.setattr(slow_tokenizer, "apply_rule", apply_and_note)
    table = vocabulary.feature_tokens(feature_sets)
    expected = slow_tokenizer.learn([table[rows].tolist() for rows in sequences], 6, 8, num_categories=2)
    # Token 8 is merged again after token 10, so the corpus does have a recurring pair.
    assert 8 in applied[applied.index(10) :]
    assert rules_of(vocabulary) == [(rule.left, rule.right, rule.scaled_count) for rule in expected]
    assert len({(left, right) for left, right, _ in rules_of(vocabulary)}) == 8


def weighted(sequences: list[list[int]], weights: list[list[float]]) -> ItemSequences:
    flat = np.array([weight for of_sequence in weights for weight in of_sequence], dtype=np.float32)
    return replace(ItemSequences.from_lists(sequences), weights=flat)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_weighted_events_merge_as_in_the_slow_twin(data: st.DataObject) -> None:
    feature_sets = [[0, 0], [0, 1], [1, 0], [1, 1]]
    sequences = data.draw(st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=7), min_size=1, max_size=8))
    whole = [data.draw(st.lists(st.integers(1, 64), min_size=len(one), max_size=len(one))) for one in sequences]
    whole[0][0] = 64
    vocabulary = learn_vocabulary(
        feature_sets, NAMES, SIZES, weighted(sequences, [[weight / 64 for weight in one] for one in whole]), 2 + 4 + 6
    )
    table = vocabulary.feature_tokens(feature_sets)
    is_typed = any(weight != 64 for one in whole for weight in one)
    expected = slow_tokenizer.learn(
        [table[rows].tolist() for rows in sequences],
        6,
        6,
        num_categories=2,
        weights=whole if is_typed else None,
        unit=64 if is_typed else 1,
    )
    assert rules_of(vocabulary) == [(rule.left, rule.right, rule.scaled_count) for rule in expected]


def test_events_of_one_weight_merge_as_without_weights() -> None:
    sequences = random_sequences(200, 400)
    half = replace(sequences, weights=np.full(len(sequences.items), 0.5, np.float32))
    sets = random_feature_sets(200, (8, 8, 8))
    alike = learn_vocabulary(sets, ("a", "b", "c"), (8, 8, 8), half, 2 + 24 + 300)
    assert rules_of(alike) == rules_of(large_vocabulary())


def test_the_pair_of_the_heavier_event_merges_first() -> None:
    feature_sets, sequences = [[0, 0], [1, 1]], [[0], [0], [1]]
    plain = learn_vocabulary(feature_sets, NAMES, SIZES, ItemSequences.from_lists(sequences), 7)
    typed = learn_vocabulary(feature_sets, NAMES, SIZES, weighted(sequences, [[0.2], [0.2], [1.0]]), 7)
    assert (plain.left[0], typed.left[0]) == (2, 3)


def test_learning_in_concurrent_threads_gives_the_same_vocabulary() -> None:
    with ThreadPoolExecutor(4) as threads:
        vocabularies = list(threads.map(lambda _: large_vocabulary(), range(8)))
    assert len({tuple(rules_of(vocabulary)) for vocabulary in vocabularies}) == 1


PROGRAM = """
import numpy as np
from clairo_core.sequences import ItemSequences
from training.vocabulary.learn_vocabulary import learn_vocabulary
random = np.random.default_rng(0)
sequences = ItemSequences.from_lengths(random.integers(200, size=2000), np.full(400, 5))
vocabulary = learn_vocabulary(random.integers(8, size=(200, 3)), ("a", "b", "c"), (8, 8, 8), sequences, 326)
print(list(vocabulary.rules()))
"""


def test_the_number_of_threads_changes_nothing() -> None:
    results = [
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env={"NUMBA_NUM_THREADS": threads, "OMP_NUM_THREADS": threads, "PYTHONHASHSEED": threads},
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "3")
    ]
    assert results[0] == results[1]
    assert results[0].count("MergeRule") == 300


def test_a_sample_is_a_seeded_choice_in_order() -> None:
    sequences = ItemSequences.from_lists([[number] for number in range(100)])
    chosen = sample_sequences(sequences, 10, seed=1).items.tolist()
    assert len(chosen) == 10
    assert chosen == sorted(set(chosen))
    assert chosen == sample_sequences(sequences, 10, seed=1).items.tolist()
    assert chosen != sample_sequences(sequences, 10, seed=2).items.tolist()
    assert sample_sequences(sequences, None, 0) is sequences
    assert sample_sequences(sequences, 100, 0) is sequences


def test_learning_from_a_sample_uses_its_sequences_alone() -> None:
    feature_sets, sequences = [[0, 0], [0, 1], [1, 0]], [[0, 1], [1, 2], [2, 0], [2, 2], [1]]
    sample = sample_sequences(ItemSequences.from_lists(sequences), 2, 5)
    expected = learned(feature_sets, [rows.tolist() for rows in sample], 6)
    assert rules_of(learned(feature_sets, sequences, 6, max_sequences=2, seed=5)) == rules_of(expected)


def test_progress_covers_counting_and_merging() -> None:
    heard: dict[str, tuple[int, int | None]] = {}

    def progress(things: Iterable[Any], name: str, total: int | None) -> Iterator[Any]:
        count = 0
        for count, thing in enumerate(things, 1):  # noqa: B007
            yield thing
        heard[name] = (count, total)

    learned([[0, 0], [1, 1]], [[0, 1], [0]], 3, progress=progress)
    assert heard == {"counting pairs": (1, 1), "merging pairs": (3, 3)}


@pytest.mark.parametrize(
    ("feature_sets", "message"),
    [
        ([[0, 0], [1]], "ragged; give every item 2 features"),
        ([[0, 0], [0, -1]], "row 1 has feature -1 in category 'b', expected 0 to 1; encode the item again"),
        ([[0, 0], [2, 0]], "row 1 has feature 2 in category 'a'"),
        ([[0, 0, 0]], r"shape \(1, 3\), expected integers of shape \(items, 2\)"),
        ([[0.5, 0.0]], "expected integers"),
        ([], "sequence 0 holds item row 1, but there are feature sets of 0 items; give one per item"),
    ],
)
def test_invalid_feature_sets_are_refused(feature_sets: Any, message: str) -> None:
    with pytest.raises(FeatureSetError, match=message):
        learned(feature_sets, [[0, 1]], 2)


def test_a_sequence_with_an_unknown_item_is_named() -> None:
    with pytest.raises(FeatureSetError, match="sequence 1 holds item row 7, but there are feature sets of 1 items"):
        learned([[0, 0]], [[0], [0, 7]], 2)


@pytest.mark.parametrize("size", [-1, 0, 5, 2**21])
def test_an_impossible_size_is_refused(size: int) -> None:
    with pytest.raises(VocabularySizeError, match="4 features; choose a size of at least 6"):
        learn_vocabulary(np.zeros((1, 2), np.int32), NAMES, SIZES, ItemSequences.from_lists([[0]]), size)


@pytest.mark.parametrize("sequences", [[], [[]], [[], []]])
def test_an_empty_corpus_is_refused(sequences: list[list[int]]) -> None:
    with pytest.raises(EmptyCorpusError, match="expected at least one; check the dataset's interactions"):
        learned([[0, 0]], sequences, 2)


def test_a_sample_of_nothing_is_refused() -> None:
    with pytest.raises(VocabularyError, match="max_sequences is 0; expected at least 1"):
        learned([[0, 0]], [[0]], 2, max_sequences=0)


def test_more_interactions_than_counts_can_hold_are_refused() -> None:
    num_categories = 24
    with pytest.raises(VocabularyError, match="use fewer categories, or learn from a sample with max_sequences"):
        learn_vocabulary(
            np.zeros((1, num_categories), np.int32),
            [f"code_{category}" for category in range(num_categories)],
            [1] * num_categories,
            ItemSequences.from_lists([[0]]),
            2 + num_categories + 1,
        )


def test_features_alone_take_no_counts_which_would_not_fit_for_many_categories() -> None:
    sizes = [2] * 17
    vocabulary = learn_vocabulary(
        random_feature_sets(9, sizes), [f"code_{n}" for n in range(17)], sizes, random_sequences(9, 20), 2 + sum(sizes)
    )
    assert (vocabulary.size, len(vocabulary.left)) == (36, 0)


def learned_within(num_bytes: int | None, max_sequences: int | None = None) -> Vocabulary:
    sets, sequences = random_feature_sets(200, (8, 8, 8)), random_sequences(200, 4000)
    size = 2 + 24 + 900
    return learn_vocabulary(
        sets, ("a", "b", "c"), (8, 8, 8), sequences, size, max_sequences=max_sequences, max_bytes=num_bytes
    )


def test_every_memory_that_suffices_gives_the_same_rules() -> None:
    """The less there is, the fuller the pair table, and the more often the index is written again."""
    expected, refused = rules_of(learned_within(None)), []
    for num_kibibytes in (*range(4200, 5400, 100), 20_000):
        try:
            assert rules_of(learned_within(num_kibibytes * 1024)) == expected
        except VocabularyMemoryError as error:
            refused.append(error)
    assert 0 < len(refused) < 12
    assert all(0 < error.num_fitting < 4000 for error in refused)
    assert "from 4,000 sequences takes more than 4 MiB; allow more" in str(refused[0])


def test_with_little_memory_a_sample_is_learned_from() -> None:
    tried: list[int | None] = []

    def learn(max_sequences: int | None) -> Vocabulary:
        tried.append(max_sequences)
        return learned_within(2**21, max_sequences)

    vocabulary, num_sequences = learn_within_memory(learn, None)
    assert tried[0] is None
    assert num_sequences == tried[-1]
    assert 500 < num_sequences < 4000
    assert rules_of(vocabulary) == rules_of(learned_within(None, num_sequences))
    assert learn_within_memory(lambda most: learned_within(None, most), None)[1] is None
    assert learn_within_memory(lambda most: learned_within(None, most), 300)[1] is None


def test_memory_for_no_sequence_at_all_is_refused() -> None:
    with pytest.raises(VocabularyMemoryError, match="from 1 sequences takes more than 0 MiB"):
        learn_within_memory(lambda most: learned_within(1000, most), None)


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_a_merge_goes_on_after_its_index_was_written_again(data: st.DataObject) -> None:
    feature_sets = [[0, 0], [0, 1], [1, 0], [1, 1]]
    sequences = data.draw(st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=7), min_size=2, max_size=12))
    random = data.draw(st.randoms(use_true_random=False))
    merge_pairs, lengthened = learn_vocabulary_kernels.merge_pairs, LearningArrays._lengthened_index
    calls = 0

    def merge_with_a_short_index(corpus: Any, weights: Any, pairs: Any, index: Any, *others: Any) -> int:
        nonlocal calls
        calls += 1
        # Every other call is whole, lest a merge never ends.
        counters = others[-2]
        shorter = index[: counters[NUM_ENTRIES] + random.randint(0, 150)] if calls % 2 else index
        return merge_pairs(corpus, weights, pairs, shorter, *others)

    asked = 0

    def lengthened_at_the_second_call(arrays: LearningArrays) -> bool:
        nonlocal asked
        asked += 1
        return asked % 2 == 0 and lengthened(arrays)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learn_vocabulary_kernels, "merge_pairs", merge_with_a_short_index)
        patch.setattr(LearningArrays, "_lengthened_index", lengthened_at_the_second_call)
        vocabulary = learned(feature_sets, sequences, 6)
    table = vocabulary.feature_tokens(feature_sets)
    expected = slow_tokenizer.learn([table[rows].tolist() for rows in sequences], 6, 6, num_categories=2)
    assert rules_of(vocabulary) == [(rule.left, rule.right, rule.scaled_count) for rule in expected]


@given(st.lists(st.integers(1, 60), min_size=1, max_size=19, unique=True), st.data())
def test_dropping_the_pairs_that_have_gone_keeps_the_others_findable(keys: list[int], data: st.DataObject) -> None:
    pairs = np.zeros((32, pair_count_kernels.PAIR_COLUMNS), dtype=np.int64)
    kept = {}
    for key in keys:
        count = data.draw(st.integers(0, 2))
        pairs[pair_count_kernels.row_of(pairs, key)] = [key, count, 7, 9]
        if count:
            kept[key] = count
    pair_count_kernels.drop_gone_pairs(pairs)
    assert np.count_nonzero(pairs[:, pair_count_kernels.KEY]) == len(kept)
    for key, count in kept.items():
        assert pairs[pair_count_kernels.row_of(pairs, key)].tolist() == [key, count, 7, 9]
