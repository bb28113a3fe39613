"""Token choices of items, and the loss over them: agreement with enumerating every item."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional
from transformers import T5ForConditionalGeneration

from clairo_core.catalogue import build_catalogue
from clairo_core.generation.t5.generator_checkpoint import Softmax
from clairo_core.generation.trie.trie import trie_of_tokens
from clairo_core.tokens.tokenizer import Tokenizer
from clairo_core.tokens.vocabulary import EOS, PAD
from tests.tiny import random_feature_sets, tiny_vocabulary
from training.config.preset import GeneratorSettings
from training.generator.examples import TrainingBatch, label_table
from training.generator.fit_generator import new_generator
from training.generator.lean_t5 import ToDecode
from training.generator.next_item_loss import NextItemLoss, plainly_decoded
from training.generator.token_choices import TokenChoices, token_choices

SIZES = (4, 3, 5)
TOKENIZER = Tokenizer(tiny_vocabulary(SIZES))
SMALL = GeneratorSettings(d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2, dropout_rate=0.0)
CPU = torch.device("cpu")


def choices_of(num_items: int, seed: int = 0) -> tuple[TokenChoices, np.ndarray]:
    catalogue = build_catalogue(
        [f"item-{row}" for row in range(num_items)], random_feature_sets(num_items, SIZES, seed), TOKENIZER
    )
    return token_choices(trie_of_tokens(catalogue.canonical, catalogue.is_retired), catalogue.canonical), label_table(
        catalogue.canonical
    )


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 40), st.integers(0, 5))
def test_an_items_tokens_are_among_the_options_and_later_ones_are_certain(num_items: int, seed: int) -> None:
    choices, labels = choices_of(num_items, seed)
    for row, num_steps in enumerate(choices.num_steps.tolist()):
        prefix = labels[row, :num_steps]
        for step, node in enumerate(choices.nodes[row, :num_steps].tolist()):
            if node < 0:
                assert num_items == 1
                continue
            options = choices.options[choices.first_option[node] : choices.first_option[node + 1]].tolist()
            expected = {int(other[step]) for other in labels if (other[:step] == prefix[:step]).all()}
            assert options == sorted(expected - {PAD})
            assert labels[row, step] in options
        same_beginning = (labels[:, :num_steps] == prefix).all(axis=1)
        assert same_beginning.sum() == 1, "no other item begins like this"


def batch_for(targets: np.ndarray, labels: np.ndarray) -> TrainingBatch:
    random = np.random.default_rng(1)
    input_ids = random.integers(2, TOKENIZER.vocabulary.size, size=(len(targets), 6)).astype(np.int32)
    lengths = np.full(len(targets), 6, dtype=np.int32)
    return TrainingBatch(input_ids, lengths, labels[targets], targets.astype(np.int32))


def states_before(model: T5ForConditionalGeneration, batch: TrainingBatch, labels: Tensor) -> Tensor:
    """The hidden state before each label, as transformers computes it, scaled as T5 scales its output."""
    ids = torch.from_numpy(batch.input_ids).long()
    is_input = torch.arange(ids.shape[1])[None, :] < torch.from_numpy(batch.input_lengths)[:, None]
    is_step = torch.ones(labels.shape, dtype=torch.bool)
    states, _ = plainly_decoded(model, ToDecode(ids, is_input, labels, is_step, labels.new_empty(0)))
    return states.view(*labels.shape, -1) * SMALL.d_model**-0.5


def test_probabilities_over_the_reachable_tokens_sum_to_one_over_the_catalogue() -> None:
    choices, labels = choices_of(30)
    model = new_generator(SMALL, TOKENIZER.vocabulary, seed=0).eval()
    loss = NextItemLoss(Softmax.REACHABLE, choices, 0.0, CPU)
    random = np.random.default_rng(2)
    history = random.integers(2, TOKENIZER.vocabulary.size, size=(1, 5)).astype(np.int32)
    total = 0.0
    with torch.inference_mode():
        for row in range(30):
            targets = np.array([row], dtype=np.int32)
            batch = TrainingBatch(history, np.array([5], dtype=np.int32), labels[targets], targets)
            total += float(torch.exp(-loss(model, batch)))
    assert total == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("softmax", list(Softmax))
def test_the_loss_of_a_batch_is_the_weighted_mean_of_its_examples(softmax: Softmax) -> None:
    choices, labels = choices_of(25)
    model = new_generator(SMALL, TOKENIZER.vocabulary, seed=0).eval()
    batch, weights = batch_for(np.arange(25), labels), np.linspace(0.1, 2.0, 25, dtype=np.float32)
    loss = NextItemLoss(softmax, choices, 0.1, CPU)
    with torch.inference_mode():
        of_each = [
            float(loss(model, TrainingBatch(*(part[row : row + 1] for part in parts_of(batch))))) for row in range(25)
        ]
        weighted = float(loss(model, TrainingBatch(*parts_of(batch), weights)))
    assert weighted == pytest.approx(np.average(of_each, weights=weights), rel=1e-5)


def parts_of(batch: TrainingBatch) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    return batch.input_ids, batch.input_lengths, batch.labels, batch.targets


@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
def test_the_reachable_loss_is_that_of_a_masked_softmax(label_smoothing: float) -> None:
    choices, labels = choices_of(25)
    model = new_generator(SMALL, TOKENIZER.vocabulary, seed=0).eval()
    targets = np.arange(25)
    batch = batch_for(targets, labels)
    with torch.inference_mode():
        loss = float(NextItemLoss(Softmax.REACHABLE, choices, label_smoothing, CPU)(model, batch))
        every_label = torch.from_numpy(labels[targets]).long()
        hidden = states_before(model, batch, every_label)
        expected = 0.0
        for row in range(25):
            for step in range(int(choices.num_steps[row])):
                node = int(choices.nodes[row, step])
                options = choices.options[choices.first_option[node] : choices.first_option[node + 1]]
                logits = model.shared.weight[torch.from_numpy(options).long()] @ hidden[row, step]
                wanted = torch.tensor(options.tolist().index(labels[row, step]))
                expected += float(functional.cross_entropy(logits, wanted, label_smoothing=label_smoothing))
    assert loss == pytest.approx(expected / 25, rel=1e-5)


def test_the_vocabulary_loss_is_cross_entropy_over_all_tokens() -> None:
    choices, labels = choices_of(25)
    model = new_generator(SMALL, TOKENIZER.vocabulary, seed=0).eval()
    batch = batch_for(np.arange(25), labels)
    with torch.inference_mode():
        loss = float(NextItemLoss(Softmax.VOCABULARY, choices, 0.0, CPU)(model, batch))
        every_label = torch.from_numpy(batch.labels).long()
        logits = states_before(model, batch, every_label) @ model.shared.weight.T
        expected = functional.cross_entropy(
            logits.transpose(1, 2), every_label, ignore_index=PAD, reduction="sum"
        ) / len(labels)
    assert loss == pytest.approx(float(expected), rel=1e-5)


def test_the_end_is_an_option_where_an_item_is_the_prefix_of_another() -> None:
    choices, labels = choices_of(60)
    ends = np.isin(np.arange(len(choices.options)), choices.first_option[:-1]) & (choices.options == EOS)
    assert ends.sum() == len(labels)
