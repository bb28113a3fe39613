"""Encoding histories: worked examples, seeds and batches, and refused inputs."""

import numpy as np
import pytest

from clairo_core.errors import FeatureSetError, VocabularyError
from clairo_core.sequences import ItemSequences
from clairo_core.tokens.tokenizer import Tokenizer
from clairo_core.tokens.vocabulary import EOS, PAD
from tests.tiny import random_feature_sets, random_sequences, tiny_vocabulary
from training.vocabulary.learn_vocabulary import learn_vocabulary

SIZES = (4, 4, 4)
FEATURE_SETS = random_feature_sets(30, SIZES)
SEQUENCES = random_sequences(30, 100)
VOCABULARY = learn_vocabulary(FEATURE_SETS, ("a", "b", "c"), SIZES, SEQUENCES, 2 + 12 + 60)
TOKENIZER = Tokenizer(VOCABULARY)
TABLE = VOCABULARY.feature_tokens(FEATURE_SETS)


def test_the_heaviest_merge_comes_first() -> None:
    # 4+7 counts more, but weighs a quarter across two sets of two; 2+4 inside a set weighs its whole count.
    tokenizer = Tokenizer(tiny_vocabulary((2, 4), [(4, 7), (2, 4)]))
    assert tokenizer.encode_canonical(np.array([[2, 4], [3, 7]])).tolist() == [9, 3, 7]
    # Sets of one have only the link.
    alone = Tokenizer(tiny_vocabulary((6,), [(4, 7), (2, 4)]))
    assert alone.encode_canonical(np.array([[2], [4], [7]])).tolist() == [2, 8]


def test_flat_tokens_merge_lowest_token_first_and_leftmost_first() -> None:
    # Sets of one feature have no order to draw: the view merges them as they stand.
    tokenizer = Tokenizer(tiny_vocabulary((4,), [(2, 3), (3, 4), (2, 2)]))
    flat = np.array([[4], [3], [2], [2], [2]])
    assert tokenizer.encode_history_views(flat, 1, seed=0, eos=False)[0].tolist() == [4, 6, 8]


def test_a_seed_gives_the_same_views_one_by_one_and_in_a_batch() -> None:
    history = SEQUENCES[0]
    one_by_one = TOKENIZER.encode_history_views(TABLE[history], 5, seed=9)
    batch = TOKENIZER.encode_views(TABLE, ItemSequences.from_lists([history.tolist()] * 5), seed=9)
    assert one_by_one.ids.tolist() == batch.ids.tolist()
    assert one_by_one.lengths.tolist() == batch.lengths.tolist()
    assert len({tuple(one_by_one[view].tolist()) for view in range(5)}) > 1
    assert one_by_one.ids.tolist() != TOKENIZER.encode_history_views(TABLE[history], 5, seed=10).ids.tolist()


@pytest.mark.parametrize("seed", [-1, 2**63, 2**64 + 3])
def test_any_whole_number_is_a_seed(seed: int) -> None:
    ids = TOKENIZER.encode_views(TABLE, SEQUENCES, seed=seed).ids
    assert ids.tolist() == TOKENIZER.encode_views(TABLE, SEQUENCES, seed=seed % 2**64).ids.tolist()


def test_views_end_with_eos_and_are_filled_with_pad() -> None:
    views = TOKENIZER.encode_views(TABLE, SEQUENCES, seed=0)
    for number in range(len(views)):
        length = views.lengths[number]
        assert views.ids[number, length - 1] == EOS
        assert (views.ids[number, length:] == PAD).all()
    bare = TOKENIZER.encode_views(TABLE, SEQUENCES, seed=0, eos=False)
    assert (bare.lengths == views.lengths - 1).all()


def test_a_history_without_items_has_no_tokens() -> None:
    histories = ItemSequences.from_lists([[], [3], []])
    assert TOKENIZER.encode_views(TABLE, histories, seed=0).lengths[[0, 2]].tolist() == [1, 1]
    assert TOKENIZER.encode_canonical_batch(TABLE, histories).lengths[[0, 2]].tolist() == [0, 0]
    assert TOKENIZER.encode_canonical(TABLE[:0]).tolist() == []
    assert len(TOKENIZER.encode_canonical_batch(TABLE, ItemSequences.from_lists([]))) == 0


def test_canonical_item_tokens_are_those_of_the_item_alone() -> None:
    tokens = TOKENIZER.canonical_item_tokens(TABLE)
    for row in range(30):
        assert tokens[row].tolist() == TOKENIZER.encode_canonical(TABLE[[row]]).tolist()
        assert sorted(TOKENIZER.decode(tokens[row])) == list(enumerate(FEATURE_SETS[row].tolist()))


def test_an_item_row_without_features_is_named() -> None:
    histories = ItemSequences.from_lists([[0], [1, 30]])
    for encode in (lambda: TOKENIZER.encode_views(TABLE, histories, seed=0),
                   lambda: TOKENIZER.encode_canonical_batch(TABLE, histories)):  # fmt: skip
        with pytest.raises(FeatureSetError, match="sequence 1 holds item row 30, but there are feature sets of 30"):
            encode()


@pytest.mark.parametrize("token", [-5, 0, 1, 14, 1000])
def test_a_token_that_is_not_a_feature_is_named(token: int) -> None:
    wrong = np.array([[2, 6, 10], [3, token, 11]])
    with pytest.raises(FeatureSetError, match=rf"row 1 has feature token {token} in category 'b', expected 2 to 13"):
        TOKENIZER.encode_history_views(wrong, 1, 0)


def test_feature_tokens_of_another_shape_are_refused() -> None:
    with pytest.raises(FeatureSetError, match=r"have shape \(1, 2\), expected \(items, 3\)"):
        TOKENIZER.encode_canonical(np.array([[2, 6]]))


def test_an_unknown_token_is_not_decoded() -> None:
    with pytest.raises(VocabularyError, match="token 74 is unknown"):
        TOKENIZER.decode([3, VOCABULARY.size])
