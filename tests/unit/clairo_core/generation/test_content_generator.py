"""A T5 that reads item embeddings beside tokens: what it reads, at which token, of which items."""

from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from torch.nn import functional

from clairo_core.build_recommender import build_recommender
from clairo_core.catalogue import Catalogue, build_catalogue
from clairo_core.errors import GeneratorError
from clairo_core.generation.recorded.cuda_graphs import Recorder
from clairo_core.generation.t5.content_inputs import content_inputs, padded_content
from clairo_core.generation.t5.generator import Generator, load_generator
from clairo_core.generation.token_generator import TokenGenerator
from clairo_core.tokens.tokenizer import Tokenizer
from tests.tiny import random_feature_sets, tiny_vocabulary, write_random_t5
from training.generator.content_t5 import load_t5

SIZES, NUM_ITEMS, DIM = (6, 6, 6), 40, 5
TOKENIZER = Tokenizer(tiny_vocabulary(SIZES))
FEATURE_SETS = random_feature_sets(NUM_ITEMS + 2, SIZES)
EMBEDDINGS = np.random.default_rng(0).normal(size=(NUM_ITEMS + 2, DIM)).astype(np.float32)
HISTORIES = [np.array(rows) for rows in ([3, 1, 4], [5], [9, 2, 6, 5, 3], [8, 8])]
SEEDS = [0, 1, 2, 3]


def catalogue_of(num_items: int) -> Catalogue:
    return build_catalogue([str(row) for row in range(num_items)], FEATURE_SETS[:num_items], TOKENIZER)


def generator_of(t5: Generator, num_items: int = NUM_ITEMS, embeddings: np.ndarray = EMBEDDINGS) -> TokenGenerator:
    recommender = build_recommender(
        catalogue_of(num_items),
        TOKENIZER,
        t5,
        np.zeros(num_items),
        max_history_items=4,
        item_embeddings=embeddings[:num_items],
    )
    assert isinstance(recommender.generator, TokenGenerator)
    return recommender.generator


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random_t5(
        tmp_path_factory.mktemp("t5"), TOKENIZER.vocabulary.size, content_dim=DIM, softmax="reachable"
    )


@pytest.fixture(scope="module")
def t5(folder: Path) -> Generator:
    return load_generator(folder, "cpu")


def probabilities(generator: TokenGenerator, histories: list[np.ndarray], seeds: list[int]) -> np.ndarray:
    """Of every item, one row per history."""
    generated = generator.generate(histories, seeds, num_views=2, num_beams=len(generator.catalogue))
    found = np.zeros((len(histories), len(generator.catalogue)))
    for row, of_history in enumerate(generated):
        found[row, of_history.item_rows] = np.exp(of_history.log_probabilities)
    return found


def test_each_token_of_an_item_gets_the_map_of_its_embedding_and_the_end_token_nothing() -> None:
    embeddings = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    content = padded_content(embeddings, np.array([2, 0, 1]), np.array([2, 1]))
    assert content.tolist() == [[[5, 6], [1, 2]], [[3, 4], [0, 0]]]
    projection = torch.tensor([[1.0, 0.0], [0.0, 10.0], [1.0, 1.0]])
    added = content_inputs(torch.from_numpy(content), projection, 5)
    first, second, other, nothing = [5, 60, 11], [1, 20, 3], [3, 40, 7], [0, 0, 0]
    assert added[0].tolist() == [first, first, second, second, nothing]
    assert added[1].tolist() == [other, other, nothing, nothing, nothing], "its end token is the third"


def test_the_encoder_reads_the_sum_of_token_and_content(folder: Path, t5: Generator) -> None:
    ids, lengths = torch.tensor([[2, 8, 14, 3, 9, 15, 1]]), torch.tensor([7])
    content = torch.from_numpy(padded_content(EMBEDDINGS, np.array([7, 11]), np.array([2])))
    model = load_t5(folder).eval()
    projection = t5.weights.content_projection
    assert projection is not None
    embedded = functional.embedding(ids, model.shared.weight)
    embedded[0, :3] += projection @ content[0, 0]
    embedded[0, 3:6] += projection @ content[0, 1]
    with torch.inference_mode():
        expected = model(inputs_embeds=embedded, decoder_input_ids=torch.tensor([[0]])).logits[0, 0]
        hidden, _ = t5.step(torch.tensor([[0]]), t5.encode(ids, lengths, content), t5.start())
        found = hidden[0, 0] @ t5.output_rows(torch.arange(TOKENIZER.vocabulary.size)).T
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_other_content_gives_other_probabilities_and_a_batch_those_of_one_by_one(t5: Generator) -> None:
    generator = generator_of(t5)
    together = probabilities(generator, HISTORIES, SEEDS)
    np.testing.assert_allclose(together.sum(axis=1), 1, rtol=1e-4)
    for row, (history, seed) in enumerate(zip(HISTORIES, SEEDS, strict=True)):
        np.testing.assert_allclose(probabilities(generator, [history], [seed])[0], together[row], rtol=1e-3, atol=1e-7)
    swapped = EMBEDDINGS.copy()
    swapped[[1, 7]] = swapped[[7, 1]]
    found = probabilities(generator_of(t5, embeddings=swapped), HISTORIES, SEEDS)
    assert np.abs(found[0] - together[0]).max() > 1e-4, "item 1 is read"
    np.testing.assert_array_equal(found[[1, 3]], together[[1, 3]])


def test_a_posted_item_is_read_as_if_it_had_been_there_from_the_start(t5: Generator) -> None:
    posted = generator_of(t5).with_catalogue(catalogue_of(NUM_ITEMS + 2), EMBEDDINGS[NUM_ITEMS:])
    histories = [np.array([3, NUM_ITEMS + 1]), np.array([NUM_ITEMS])]
    expected = probabilities(generator_of(t5, NUM_ITEMS + 2), histories, [0, 1])
    np.testing.assert_array_equal(probabilities(posted, histories, [0, 1]), expected)


def test_other_content_of_an_item_is_read_from_then_on_and_older_versions_keep_theirs(t5: Generator) -> None:
    before = generator_of(t5)
    expected_before = probabilities(before, HISTORIES, SEEDS)
    after = before.with_catalogue(before.catalogue.with_changed_content(), None, {1: EMBEDDINGS[7]})
    moved = EMBEDDINGS.copy()
    moved[1] = EMBEDDINGS[7]
    expected = probabilities(generator_of(t5, embeddings=moved), HISTORIES, SEEDS)
    np.testing.assert_array_equal(probabilities(after, HISTORIES, SEEDS), expected)
    np.testing.assert_array_equal(probabilities(before, HISTORIES, SEEDS), expected_before)


def test_new_items_without_embeddings_are_refused(t5: Generator) -> None:
    with pytest.raises(GeneratorError, match="got 0 item embeddings for 2 new items, expected one per item"):
        generator_of(t5).with_catalogue(catalogue_of(NUM_ITEMS + 2))


def test_a_recommender_without_the_embeddings_is_refused(t5: Generator) -> None:
    for embeddings in (None, EMBEDDINGS[:NUM_ITEMS, :3]):
        with pytest.raises(GeneratorError, match=r"reads item embeddings of shape \(40, 5\), got"):
            build_recommender(catalogue_of(NUM_ITEMS), TOKENIZER, t5, np.zeros(NUM_ITEMS), item_embeddings=embeddings)


def test_a_vocabulary_that_merges_items_is_refused(tmp_path: Path) -> None:
    tokenizer = Tokenizer(tiny_vocabulary(SIZES, [(2, 8)]))
    merging = load_generator(write_random_t5(tmp_path, tokenizer.vocabulary.size, content_dim=DIM), "cpu")
    catalogue = build_catalogue(["a", "b"], FEATURE_SETS[:2], tokenizer)
    with pytest.raises(GeneratorError, match="has 1 merge rules and 1 languages, expected 0 and 1"):
        build_recommender(catalogue, tokenizer, merging, np.zeros(2), item_embeddings=EMBEDDINGS[:2])


def test_content_where_none_is_read_and_none_where_it_is_are_refused(t5: Generator, tmp_path: Path) -> None:
    ids, lengths, content = torch.tensor([[2, 8, 14, 1]]), torch.tensor([4]), torch.zeros(1, 1, DIM)
    with pytest.raises(GeneratorError, match="the T5 reads item embeddings, but got none"):
        t5.encode(ids, lengths)
    plain = load_generator(write_random_t5(tmp_path, TOKENIZER.vocabulary.size), "cpu")
    with pytest.raises(GeneratorError, match="the T5 reads tokens alone, but got item embeddings"):
        plain.encode(ids, lengths, content)


def test_its_search_is_not_recorded(t5: Generator) -> None:
    class NoRecorder:
        def __getattr__(self, name: str) -> None:
            pytest.fail(f"the search is recorded: {name}")

    made = build_recommender(
        catalogue_of(NUM_ITEMS),
        TOKENIZER,
        t5,
        np.zeros(NUM_ITEMS),
        item_embeddings=EMBEDDINGS[:NUM_ITEMS],
        recorder=cast(Recorder, NoRecorder()),
    ).generator
    assert isinstance(made, TokenGenerator)
    assert made.recorded_search is None
