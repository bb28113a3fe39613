"""Training a T5 that reads item embeddings: batches bring them, its map learns, and it is served as trained."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from clairo_core.catalogue import build_catalogue
from clairo_core.errors import GeneratorError
from clairo_core.generation.t5.generator import load_generator
from clairo_core.generation.t5.generator_checkpoint import read_config
from clairo_core.progress import silent
from clairo_core.tokens.tokenizer import Tokenizer
from tests.tiny import random_feature_sets, random_sequences, random_t5, tiny_vocabulary, write_random_t5
from training.config.preset import FitSettings, GeneratorSettings
from training.generator.content_t5 import ContentT5, load_t5, start_projection
from training.generator.examples import every_prefix
from training.generator.expand_generator import expand_generator
from training.generator.fit_generator import fit_generator
from training.generator.lean_t5 import LeanT5, ToDecode
from training.generator.next_item_loss import plainly_decoded
from training.generator.tasks import Lessons, epoch_sizes, lessons_of, mixed_batches

SIZES, NUM_ITEMS, DIM = (4, 4, 4), 20, 6
TOKENIZER = Tokenizer(tiny_vocabulary(SIZES))
FEATURE_SETS = random_feature_sets(NUM_ITEMS, SIZES)
CATALOGUE = build_catalogue([str(row) for row in range(NUM_ITEMS)], FEATURE_SETS, TOKENIZER)
CONTENT = np.random.default_rng(0).normal(size=(NUM_ITEMS, DIM)).astype(np.float32)


def lessons() -> Lessons:
    examples = every_prefix(random_sequences(NUM_ITEMS, 30), 5)
    return lessons_of(CATALOGUE, TOKENIZER, examples, np.arange(NUM_ITEMS), CONTENT)


def test_a_batch_brings_the_embeddings_of_the_items_that_its_tokens_spell() -> None:
    row_of = {frozenset(tokens): row for row, tokens in enumerate(CATALOGUE.feature_tokens.tolist())}
    learned = lessons()
    num_seen = 0
    for batch in mixed_batches(learned, epoch_sizes(learned.tasks, 8, 0, 0), 1, balance_users=False):
        assert batch.content is not None
        for ids, length, content in zip(batch.input_ids, batch.input_lengths, batch.content, strict=True):
            items = [row_of[frozenset(ids[start : start + 3].tolist())] for start in range(0, length - 1, 3)]
            np.testing.assert_array_equal(content[: len(items)], CONTENT[items])
            assert not content[len(items) :].any()
            num_seen += 1
        share = batch.every(2, 1)
        assert share.content is not None
        np.testing.assert_array_equal(share.content, batch.content[1::2])
    assert num_seen == len(learned.tasks[0].examples)


def test_lean_states_and_gradients_are_those_of_transformers() -> None:
    is_input = torch.arange(7)[None, :] < torch.tensor([[7], [4], [7]])
    content = torch.randn(3, 2, DIM, generator=torch.Generator().manual_seed(0))
    content[1, 1] = 0
    labels = torch.tensor([[4, 9, 1], [3, 8, 1], [5, 6, 1]])
    batch = ToDecode(torch.randint(2, 14, (3, 7)), is_input, labels, labels > 0, torch.tensor([7, 3]), content)
    found = {}
    for name, decode in (("plain", plainly_decoded), ("lean", lambda model, wanted: LeanT5(model).decoded(wanted))):
        model = random_t5(14, content_dim=DIM, dropout_rate=0.0).train()
        assert isinstance(model, ContentT5)
        states, _ = decode(model, batch)
        torch.manual_seed(1)
        (states * torch.randn(states.shape)).sum().backward()  # type: ignore[no-untyped-call]
        found[name] = states.detach(), model.content_projection.weight.grad
    torch.testing.assert_close(found["lean"][0], found["plain"][0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found["lean"][1], found["plain"][1], rtol=1e-3, atol=1e-4)
    without = LeanT5(random_t5(14, content_dim=DIM, dropout_rate=0.0)).decoded(replace(batch, content=None))[0]
    assert not torch.allclose(without, found["lean"][0], atol=1e-2), "content counts"


def test_its_map_learns_and_the_checkpoint_is_served_with_it(tmp_path: Path) -> None:
    done = fit_generator(
        tmp_path,
        lessons(),
        GeneratorSettings(d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2, reads_content=True),
        FitSettings(max_epochs=3, batch_size=16, learning_rate=0.01),
        device=torch.device("cpu"),
        seed=3,
        validate=None,
        progress=silent,
        report=lambda message: None,
    )
    assert done.losses[-1] < done.losses[0]
    served = load_generator(tmp_path / "generator", "cpu")
    assert served.config.content_dim == DIM
    trained = load_file(tmp_path / "generator" / "model.safetensors")["content_projection.weight"]
    assert torch.equal(served.weights.content_projection, trained)
    torch.manual_seed(3)
    assert trained.std() != pytest.approx(float(start_projection(CONTENT, 16).std()), rel=1e-4)


def test_the_map_starts_as_loud_as_the_tokens() -> None:
    torch.manual_seed(0)
    outputs = torch.from_numpy(CONTENT * 0.01) @ start_projection(CONTENT * 0.01, 400).T
    assert float(outputs.square().mean()) == pytest.approx(1, rel=0.2)


def test_a_warm_start_keeps_the_map(tmp_path: Path) -> None:
    old = write_random_t5(tmp_path / "old", TOKENIZER.vocabulary.size, content_dim=DIM)
    expand_generator(old, tmp_path / "new", TOKENIZER.vocabulary)
    before, after = load_t5(old), load_t5(tmp_path / "new")
    assert isinstance(before, ContentT5)
    assert isinstance(after, ContentT5)
    assert torch.equal(after.content_projection.weight, before.content_projection.weight)


def test_a_checkpoint_without_content_has_transformers_own_type(tmp_path: Path) -> None:
    plain = write_random_t5(tmp_path / "plain", 30)
    assert read_config(plain).content_dim == 0
    assert not isinstance(load_t5(plain), ContentT5)
    reads = write_random_t5(tmp_path / "reads", 30, content_dim=DIM)
    text = (reads / "config.json").read_text(encoding="utf-8")
    assert '"model_type": "content_t5"' in text, "a release that cannot read content refuses it"
    (reads / "config.json").write_text(text.replace(f'"content_dim": {DIM}', '"content_dim": 7'), encoding="utf-8")
    with pytest.raises(GeneratorError, match=r"content_projection.weight has shape \(24, 6\), expected \(24, 7\)"):
        load_generator(reads, "cpu")
