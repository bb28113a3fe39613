"""An expanded vocabulary keeps every token and every item's tokens, and has exactly the rules of the slow twin."""

import logging
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clairo_core.errors import EmptyCorpusError, FeatureSetError, VocabularySizeError
from clairo_core.sequences import ItemSequences
from clairo_core.tokens.tokenizer import Tokenizer
from clairo_core.tokens.vocabulary import Vocabulary, load_vocabulary
from tests import slow_tokenizer
from tests.tiny import random_feature_sets, random_sequences
from training.vocabulary.expand_vocabulary import expand_vocabulary
from training.vocabulary.learn_vocabulary import learn_vocabulary

SIZES = (6, 6, 6)
NUM_ITEMS = 40
FEATURE_SETS = random_feature_sets(NUM_ITEMS, SIZES)


def vocabulary_of(sequences: ItemSequences, num_rules: int = 30) -> Vocabulary:
    return learn_vocabulary(FEATURE_SETS, ("a", "b", "c"), SIZES, sequences, 2 + sum(SIZES) + num_rules)


OLD = vocabulary_of(random_sequences(NUM_ITEMS, 60, seed=1))
SINCE = random_sequences(NUM_ITEMS, 80, seed=2)


def rules_of(vocabulary: Vocabulary) -> list[slow_tokenizer.Rule]:
    return [slow_tokenizer.Rule(rule.left, rule.right, rule.token, rule.scaled_count) for rule in vocabulary.rules()]


def test_every_old_token_keeps_its_number_and_its_features() -> None:
    grown = expand_vocabulary(OLD, FEATURE_SETS, SINCE, 25)
    assert grown.size == OLD.size + 25
    assert [grown.features_of(token) for token in range(OLD.size)] == [
        OLD.features_of(token) for token in range(OLD.size)
    ]


def test_every_items_old_tokens_still_decode_to_its_features() -> None:
    grown = expand_vocabulary(OLD, FEATURE_SETS, SINCE, 25)
    old_tokens = Tokenizer(OLD).canonical_item_tokens(OLD.feature_tokens(FEATURE_SETS))
    decoded = [sorted(Tokenizer(grown).decode(old_tokens[row])) for row in range(NUM_ITEMS)]
    assert decoded == [list(enumerate(features)) for features in FEATURE_SETS.tolist()]


def test_an_items_new_canonical_tokens_are_merges_of_its_old_ones() -> None:
    grown = expand_vocabulary(OLD, FEATURE_SETS, SINCE, 60)
    table = OLD.feature_tokens(FEATURE_SETS)
    old, new = Tokenizer(OLD).canonical_item_tokens(table), Tokenizer(grown).canonical_item_tokens(table)
    assert new.lengths.sum() < old.lengths.sum()

    def old_parts(token: int) -> list[int]:
        if token < OLD.size:
            return [token]
        rule = grown.rule_of(token)
        return old_parts(rule.left) + old_parts(rule.right)

    for row in range(NUM_ITEMS):
        parts = [part for token in new[row].tolist() for part in old_parts(token)]
        assert sorted(parts) == sorted(old[row].tolist())


def test_histories_get_shorter() -> None:
    grown = expand_vocabulary(OLD, FEATURE_SETS, SINCE, 60)
    table = OLD.feature_tokens(FEATURE_SETS)
    canonical = [Tokenizer(one).encode_canonical_batch(table, SINCE).lengths.mean() for one in (OLD, grown)]
    views = [Tokenizer(one).encode_views(table, SINCE, seed=0).lengths.mean() for one in (OLD, grown)]
    assert canonical[1] < canonical[0]
    assert views[1] < views[0]


def test_a_vocabulary_can_grow_more_than_once_and_be_saved(tmp_path: Path) -> None:
    once = expand_vocabulary(OLD, FEATURE_SETS, SINCE, 10)
    twice = expand_vocabulary(once, FEATURE_SETS, random_sequences(NUM_ITEMS, 80, seed=3), 10)
    assert twice.expanded_at == (OLD.size, once.size)
    twice.save(tmp_path)
    loaded = load_vocabulary(tmp_path)
    table = OLD.feature_tokens(FEATURE_SETS)
    for rows in SINCE:
        expected = Tokenizer(twice).encode_canonical(table[rows]).tolist()
        assert Tokenizer(loaded).encode_canonical(table[rows]).tolist() == expected


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**31), st.integers(1, 40))
def test_appended_rules_and_encodings_match_the_slow_twin(seed: int, added: int) -> None:
    since = random_sequences(NUM_ITEMS, 12, seed)
    grown = expand_vocabulary(OLD, FEATURE_SETS, since, added)
    table = OLD.feature_tokens(FEATURE_SETS)
    expected = slow_tokenizer.learn(
        [table[rows].tolist() for rows in since],
        OLD.first_merge_token,
        len(OLD.left) + added,
        num_categories=len(SIZES),
        given=list(zip(OLD.left.tolist(), OLD.right.tolist(), strict=True)),
        given_counts=OLD.scaled_counts.tolist(),
    )
    assert rules_of(grown) == expected
    canonical = Tokenizer(grown).encode_canonical_batch(table, since)
    for number, rows in enumerate(since):
        twin = slow_tokenizer.encode_canonical(
            table[rows].tolist(), slow_tokenizer.by_pair(expected), grown.expanded_at
        )
        assert canonical[number].tolist() == twin


def test_posted_items_take_part_in_an_expansion() -> None:
    more_items = random_feature_sets(NUM_ITEMS + 20, SIZES)
    grown = expand_vocabulary(OLD, more_items, random_sequences(NUM_ITEMS + 20, 80, seed=4), 25)
    tokens = Tokenizer(grown).canonical_item_tokens(OLD.feature_tokens(more_items))
    assert sorted(Tokenizer(grown).decode(tokens[NUM_ITEMS + 19])) == list(
        enumerate(more_items[NUM_ITEMS + 19].tolist())
    )


def test_running_out_of_pairs_adds_fewer_tokens_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        grown = expand_vocabulary(OLD, FEATURE_SETS, ItemSequences.from_lists([[0, 1]]), 1000)
    assert grown.size < OLD.size + 1000
    assert "no pair is left to merge" in caplog.text


def test_invalid_expansions_are_refused_by_name() -> None:
    with pytest.raises(VocabularySizeError, match="expected at least 1"):
        expand_vocabulary(OLD, FEATURE_SETS, SINCE, 0)
    with pytest.raises(VocabularySizeError, match="choose a size of at least"):
        expand_vocabulary(OLD, FEATURE_SETS, SINCE, 2**21)
    with pytest.raises(EmptyCorpusError, match="expected at least one"):
        expand_vocabulary(OLD, FEATURE_SETS, ItemSequences.from_lists([[]]), 5)
    with pytest.raises(FeatureSetError, match="encode the item again"):
        expand_vocabulary(OLD, FEATURE_SETS + 5, SINCE, 5)
