"""A generator of several languages: one list from all, in which filters, retired and posted items count as ever."""

from typing import cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clairo_core.build_recommender import build_recommender
from clairo_core.catalogue import Catalogue, build_catalogue
from clairo_core.errors import DuplicateItemError
from clairo_core.features import FeatureSpace, nearest_free_feature_set
from clairo_core.generation.recorded.cuda_graphs import Recorder
from clairo_core.generation.search.beam_search import search
from clairo_core.generation.t5.generator import load_generator
from clairo_core.generation.token_generator import TokenGenerator
from clairo_core.ranking.allowed_items import allowed_by
from clairo_core.tokens.spelling import Spelling
from clairo_core.tokens.tokenizer import Tokenizer
from clairo_core.tokens.vocabulary import vocabulary_of_features
from tests.tiny import write_random_t5

NAMES, SIZES = ("text_0", "text_1", "image_0", "collision"), (3, 3, 5, 16)
VOCABULARY = vocabulary_of_features(NAMES, SIZES, Spelling.LANGUAGES)
TOKENIZER = Tokenizer(VOCABULARY)
SPACE = FeatureSpace(NAMES, SIZES)
NUM_ITEMS = 40


def catalogue_of(num_items: int, seed: int = 0) -> Catalogue:
    """Items with random codes, each with the first collision index that is free in both languages."""
    catalogue = build_catalogue([], np.zeros((0, 4), np.int32), TOKENIZER)
    for row, codes in enumerate(np.random.default_rng(seed).integers(SIZES[:3], size=(num_items, 3)).tolist()):
        feature_set = nearest_free_feature_set([tuple(codes)], catalogue.taken, SPACE)
        catalogue = catalogue.with_item(f"item-{row}", feature_set, TOKENIZER)
    return catalogue


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> TokenGenerator:
    folder = write_random_t5(tmp_path_factory.mktemp("t5"), VOCABULARY.size, softmax="reachable")
    t5 = load_generator(folder, "cpu")
    made = build_recommender(catalogue_of(NUM_ITEMS), TOKENIZER, t5, np.zeros(NUM_ITEMS)).generator
    assert isinstance(made, TokenGenerator)
    return made


HISTORY = np.array([3, 1, 4])


def test_the_merged_list_averages_the_probabilities_of_both_languages(generator: TokenGenerator) -> None:
    (merged,) = generator.generate([HISTORY], [0], num_views=2, num_beams=NUM_ITEMS)
    expected = np.zeros(NUM_ITEMS)
    for language, trie in zip(VOCABULARY.languages, generator.tries, strict=True):
        views = generator.encode_views([(HISTORY, 0)], 1, language)
        beams = search(generator.t5, trie, views, NUM_ITEMS)
        assert np.exp(beams.scores[0]).sum() == pytest.approx(1)
        expected[beams.item_rows[0]] += np.exp(beams.scores[0]) / 2
    assert sorted(merged.item_rows.tolist()) == list(range(NUM_ITEMS))
    np.testing.assert_allclose(np.exp(merged.log_probabilities), expected[merged.item_rows], rtol=1e-4)


def test_a_single_view_is_of_the_first_language(generator: TokenGenerator) -> None:
    (one,) = generator.generate([HISTORY], [0], num_views=1, num_beams=NUM_ITEMS)
    beams = search(generator.t5, generator.tries[0], generator.encode_views([(HISTORY, 0)], 1), NUM_ITEMS)
    assert one.item_rows.tolist() == beams.item_rows[0].tolist()


@given(st.integers(1, 5), st.integers(1, 12), st.integers(0, 2**31))
@settings(deadline=None, max_examples=25)
def test_no_list_has_repeats_or_items_that_are_not_allowed(
    generator: TokenGenerator, num_views: int, num_beams: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    is_allowed = random.random((2, NUM_ITEMS)) < 0.5
    histories = [random.integers(NUM_ITEMS, size=size) for size in random.integers(1, 6, size=2)]
    for place, (rows, _, _) in enumerate(
        generator.generate(histories, [0, 1], num_views, num_beams, allowed_by(is_allowed))
    ):
        assert len(set(rows.tolist())) == len(rows)
        assert is_allowed[place, rows].all()


def test_a_posted_item_is_written_in_every_language_and_a_retired_one_in_none(generator: TokenGenerator) -> None:
    catalogue = generator.catalogue
    posted = nearest_free_feature_set([tuple(catalogue.feature_sets[0, :3].tolist())], catalogue.taken, SPACE)
    later = generator.with_catalogue(catalogue.with_item("posted", posted, TOKENIZER).without_item("item-7"))
    only_new = np.arange(NUM_ITEMS + 1) == NUM_ITEMS
    for language, trie in zip(VOCABULARY.languages, later.tries, strict=True):
        views = later.encode_views([(HISTORY, 0)], 1, language)
        beams = search(later.t5, trie, views, 5, is_allowed=allowed_by(only_new[None]))
        assert beams.item_rows[0, 0] == NUM_ITEMS
    (merged,) = later.generate([HISTORY], [0], num_views=2, num_beams=NUM_ITEMS + 1)
    assert sorted(merged.item_rows.tolist()) == [row for row in range(NUM_ITEMS + 1) if row != 7]


def test_a_search_of_several_languages_is_not_recorded(generator: TokenGenerator) -> None:
    class NoRecorder:
        def __getattr__(self, name: str) -> None:
            pytest.fail(f"the search is recorded: {name}")

    made = build_recommender(
        generator.catalogue, TOKENIZER, generator.t5, np.zeros(NUM_ITEMS), recorder=cast(Recorder, NoRecorder())
    ).generator
    assert isinstance(made, TokenGenerator)
    assert made.recorded_search is None


def test_items_that_one_language_spells_alike_are_refused() -> None:
    catalogue = build_catalogue(["a"], np.array([[1, 2, 3, 5]]), TOKENIZER)
    for alike in ((1, 2, 0, 5), (0, 0, 3, 5)):
        assert alike in catalogue.taken
        with pytest.raises(DuplicateItemError, match="of item 'a'"):
            catalogue.with_item("b", alike, TOKENIZER)
        with pytest.raises(DuplicateItemError, match="same feature set"):
            build_catalogue(["a", "b"], np.array([[1, 2, 3, 5], alike]), TOKENIZER)
    both = catalogue.with_item("b", (1, 2, 3, 6), TOKENIZER)
    with pytest.raises(DuplicateItemError, match="'b' would get the feature set of item 'a'"):
        both.with_feature_sets([1], [(1, 2, 4, 5)], TOKENIZER)
    swapped = both.with_feature_sets([0, 1], [(1, 2, 0, 6), (0, 0, 3, 5)], TOKENIZER)
    assert (1, 2, 3, 5) in swapped.taken
    assert (1, 2, 1, 5) not in swapped.taken
