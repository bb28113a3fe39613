"""Spellings: the order of an item's features, markers between modalities, and languages."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clairo_core.errors import VocabularyError
from clairo_core.sequences import ItemSequences
from clairo_core.tokens.spelling import Spelling
from clairo_core.tokens.tokenizer import Tokenizer
from clairo_core.tokens.vocabulary import EOS, HEADER_FILE, Vocabulary, load_vocabulary, vocabulary_of_features
from tests.tiny import random_feature_sets, tiny_vocabulary

NAMES, SIZES = ("text_0", "text_1", "image_0", "image_1", "collision"), (3, 3, 3, 3, 2)
"""Tokens 2 to 10 are words' and pictures' codes, three each, up to 13; 14 and 15 the collision index."""


def spelled(spelling: Spelling) -> Vocabulary:
    return vocabulary_of_features(NAMES, SIZES, spelling)


def test_ordered_features_are_read_and_written_in_the_order_of_categories() -> None:
    tokenizer = Tokenizer(spelled(Spelling.ORDERED))
    tokens = tokenizer.vocabulary.feature_tokens([[0, 1, 2, 0, 1], [2, 2, 2, 2, 0]])
    assert tokenizer.encode_history_views(tokens, 2, seed=7).ids.tolist() == [
        [2, 6, 10, 11, 15, 4, 7, 10, 13, 14, EOS],
        [2, 6, 10, 11, 15, 4, 7, 10, 13, 14, EOS],
    ]
    assert tokenizer.canonical_item_tokens(tokens).ids.tolist() == [[2, 6, 10, 11, 15], [4, 7, 10, 13, 14]]


def test_a_marker_stands_between_modalities_in_histories_and_items() -> None:
    tokenizer = Tokenizer(spelled(Spelling.MARKED))
    assert tokenizer.vocabulary.markers == ("to image",)
    assert (tokenizer.vocabulary.marker_token("to image"), tokenizer.vocabulary.size) == (16, 17)
    tokens = tokenizer.vocabulary.feature_tokens([[0, 1, 2, 0, 1]])
    assert tokenizer.canonical_item_tokens(tokens).ids.tolist() == [[2, 6, 16, 10, 11, 15]]
    histories = ItemSequences.from_lists([[0, 0], [0]])
    assert tokenizer.encode_views(tokens, histories, seed=0, eos=False).ids.tolist() == [
        [2, 6, 16, 10, 11, 15] * 2,
        [2, 6, 16, 10, 11, 15] + [0] * 6,
    ]
    assert tokenizer.vocabulary.features_of(16) == ()


def test_each_modality_is_a_language_that_tells_items_apart() -> None:
    vocabulary = spelled(Spelling.LANGUAGES)
    assert [(language.name, language.places) for language in vocabulary.languages] == [
        ("text", (0, 1, 4)),
        ("image", (2, 3, 4)),
    ]
    assert len(vocabulary.markers) == vocabulary.size - vocabulary.features_end == 4


@given(
    st.sampled_from([Spelling.ORDERED, Spelling.MARKED, Spelling.LANGUAGES]),
    st.lists(st.integers(1, 3), min_size=2, max_size=4),
    st.integers(0, 2**31),
)
@settings(deadline=None, max_examples=40)
def test_every_language_spells_its_own_features_and_markers_stand_only_between_modalities(
    spelling: Spelling, num_codes: list[int], seed: int
) -> None:
    names = [f"m{modality}_{code}" for modality, codes in enumerate(num_codes) for code in range(codes)]
    sizes = [3] * len(names) + [2]
    vocabulary = vocabulary_of_features([*names, "collision"], sizes, spelling)
    feature_sets = random_feature_sets(5, sizes, seed)
    feature_tokens = vocabulary.feature_tokens(feature_sets)
    tokenizer = Tokenizer(vocabulary)
    for language in vocabulary.languages:
        spelt = tokenizer.canonical_item_tokens(feature_tokens, language)
        for row, features in enumerate(feature_sets.tolist()):
            assert tokenizer.decode(spelt[row]) == tuple((place, features[place]) for place in language.categories)
    if spelling is Spelling.MARKED:
        starts = np.cumsum(num_codes[:-1]) + np.arange(len(num_codes) - 1)
        is_marker = spelt.ids >= vocabulary.features_end
        assert is_marker.tolist() == [np.isin(np.arange(spelt.ids.shape[1]), starts).tolist()] * 5


@pytest.mark.parametrize("spelling", [Spelling.MARKED, Spelling.LANGUAGES])
def test_codes_of_one_modality_cannot_be_told_apart(spelling: Spelling) -> None:
    with pytest.raises(VocabularyError, match=r"two or more modalities.*fuse\.scheme=late"):
        vocabulary_of_features(("code_0", "code_1", "collision"), (3, 3, 2), spelling)


def test_merge_rules_need_shuffled_features() -> None:
    rules = tiny_vocabulary((2, 3), [(2, 4)])
    with pytest.raises(VocabularyError, match="1 merge rules with spelling ordered"):
        Vocabulary(rules.category_names, (2, 3), rules.left, rules.right, rules.scaled_counts, (), Spelling.ORDERED)


@pytest.mark.parametrize("spelling", Spelling)
def test_a_loaded_vocabulary_spells_as_the_saved_one(tmp_path: Path, spelling: Spelling) -> None:
    spelled(spelling).save(tmp_path)
    assert load_vocabulary(tmp_path).languages == spelled(spelling).languages
    is_shuffled = spelling is Spelling.SHUFFLED
    assert ('"schema_version": 1' in (tmp_path / HEADER_FILE).read_text()) == is_shuffled
