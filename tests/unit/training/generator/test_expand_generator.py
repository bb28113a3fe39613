"""A generator with an expanded vocabulary starts where the old one stopped."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import T5ForConditionalGeneration

from clairo_core.errors import GeneratorError
from clairo_core.generation.t5.generator import load_generator
from tests.tiny import random_feature_sets, random_sequences, tiny_vocabulary, write_random_t5
from training.generator.expand_generator import expand_generator, expanded_embeddings
from training.generator.start_embeddings import start_embeddings
from training.vocabulary.expand_vocabulary import expand_vocabulary

SIZES = (4, 4, 4)
VOCABULARY = tiny_vocabulary(SIZES)
EXPANDED = expand_vocabulary(VOCABULARY, random_feature_sets(20, SIZES), random_sequences(20, 60, seed=5), 12)


def test_old_tokens_score_as_before_and_new_ones_have_rows(tmp_path: Path) -> None:
    old = write_random_t5(tmp_path / "old", VOCABULARY.size, softmax="reachable")
    expand_generator(old, tmp_path / "new", EXPANDED)
    before = T5ForConditionalGeneration.from_pretrained(old).eval()
    after = T5ForConditionalGeneration.from_pretrained(tmp_path / "new").eval()
    history, labels = torch.tensor([[3, 7, 9, 1]]), torch.tensor([[4, 8, 1]])
    with torch.inference_mode():
        expected = before(input_ids=history, labels=labels).logits
        found = after(input_ids=history, labels=labels).logits
    assert found.shape[-1] == EXPANDED.size
    torch.testing.assert_close(found[..., : VOCABULARY.size], expected)
    generator = load_generator(tmp_path / "new", "cpu")
    assert generator.config.vocab_size == EXPANDED.size
    assert generator.config.softmax == "reachable", "it still scores as it was trained"


def test_a_new_token_starts_from_its_parts_like_an_original_token() -> None:
    torch.manual_seed(0)
    random_start = torch.zeros(VOCABULARY.size, 8)
    random_start[: VOCABULARY.first_merge_token] = torch.randn(VOCABULARY.first_merge_token, 8)
    old = start_embeddings(random_start, VOCABULARY, None)
    grown = torch.zeros(EXPANDED.size, 8)
    grown[: VOCABULARY.first_merge_token] = random_start[: VOCABULARY.first_merge_token]
    from_the_start = start_embeddings(grown, EXPANDED, None)
    np.testing.assert_allclose(expanded_embeddings(old, EXPANDED), from_the_start, atol=1e-5)


def test_a_checkpoint_of_another_vocabulary_is_refused(tmp_path: Path) -> None:
    folder = write_random_t5(tmp_path / "other", EXPANDED.size + 1)
    with pytest.raises(GeneratorError, match="expand the vocabulary"):
        expand_generator(folder, tmp_path / "new", EXPANDED)
