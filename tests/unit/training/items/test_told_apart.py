"""Collision indices where several languages spell an item, each some of its codes."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from clairo_core.catalogue import build_catalogue
from clairo_core.tokens.spelling import Spelling
from clairo_core.tokens.tokenizer import Tokenizer
from clairo_core.tokens.vocabulary import vocabulary_of_features
from training.items.told_apart import told_apart_in_languages

NAMES = ("text_0", "text_1", "image_0")


@given(st.integers(0, 2**31), st.integers(1, 120))
@settings(deadline=None, max_examples=20)
def test_every_language_tells_all_items_of_a_training_apart(seed: int, num_items: int) -> None:
    codes = np.random.default_rng(seed).integers(4, size=(num_items, 3)).astype(np.int32)
    feature_sets, space = told_apart_in_languages(codes, [4, 4, 4], NAMES)
    assert np.array_equal(feature_sets[:, :3], codes)
    space.check(feature_sets)
    vocabulary = vocabulary_of_features(space.category_names, space.category_sizes, Spelling.LANGUAGES)
    catalogue = build_catalogue([str(row) for row in range(num_items)], feature_sets, Tokenizer(vocabulary))
    for language in vocabulary.languages:
        tokens = catalogue.canonical_in(language, Tokenizer(vocabulary))
        assert len(np.unique(tokens.ids, axis=0)) == num_items
