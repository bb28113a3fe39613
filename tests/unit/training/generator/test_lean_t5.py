"""The lean T5 agrees with transformers': the same hidden states and gradients under any padding."""

from dataclasses import replace

import pytest
import torch
from transformers import T5ForConditionalGeneration

from tests.tiny import random_t5
from training.generator.lean_t5 import Decoded, LeanT5, ToDecode, root_mean_square_norm
from training.generator.next_item_loss import plainly_decoded

VOCAB_SIZE = 50
TOKENS = torch.tensor([7, 3, 3, 20])


def lean_decoded(model: T5ForConditionalGeneration, batch: ToDecode) -> Decoded:
    return LeanT5(model).decoded(batch)


def random_batch(lengths: list[int], num_steps: int, seed: int = 0) -> ToDecode:
    """Inputs, their mask, labels, and the needed ones: all of the first example, one of the last."""
    random = torch.Generator().manual_seed(seed)
    is_input = torch.arange(max(lengths))[None, :] < torch.tensor(lengths)[:, None]
    input_ids = torch.randint(2, VOCAB_SIZE, is_input.shape, generator=random) * is_input
    labels = torch.randint(2, VOCAB_SIZE, (len(lengths), num_steps), generator=random)
    num_wanted = torch.linspace(num_steps, 1, len(lengths)).long()
    return ToDecode(input_ids, is_input, labels, torch.arange(num_steps)[None, :] < num_wanted[:, None], TOKENS)


def with_norms_of_their_own(seed: int = 0) -> T5ForConditionalGeneration:
    """A random T5 with random norm weights, which initialization leaves at 1."""
    model = random_t5(VOCAB_SIZE, seed, dropout_rate=0.0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("layer_norm.weight"):
                parameter.uniform_(0.5, 2.0, generator=torch.Generator().manual_seed(len(name)))
    return model


@pytest.mark.parametrize(
    ("lengths", "num_steps"),
    [([6, 6, 6], 3), ([9, 4, 1], 4), ([1], 1), ([200, 150], 2), ([3, 2], 12)],
    ids=["nothing padded", "padded", "one token", "beyond the farthest bucket", "many steps"],
)
def test_states_and_gradients_are_those_of_transformers(lengths: list[int], num_steps: int) -> None:
    batch = random_batch(lengths, num_steps)
    found = {}
    for name, decode in (("plain", plainly_decoded), ("lean", lean_decoded)):
        model = with_norms_of_their_own().train()
        states, embeddings = decode(model, batch)
        torch.manual_seed(1)
        ((states * torch.randn(states.shape)).sum() + embeddings.square().sum()).backward()  # type: ignore[no-untyped-call]
        gradients = {place: parameter.grad for place, parameter in model.named_parameters()}
        found[name] = (states.detach(), embeddings.detach(), gradients)
    plain, lean = found["plain"], found["lean"]
    torch.testing.assert_close(lean[0], plain[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(lean[1], plain[1])
    for place, gradient in plain[2].items():
        torch.testing.assert_close(
            lean[2][place], gradient, rtol=1e-3, atol=1e-4, msg=lambda text, at=place: f"{at}: {text}"
        )


def test_padding_changes_nothing() -> None:
    model = with_norms_of_their_own()
    batch = random_batch([5, 5], 2)
    wide = replace(
        batch,
        input_ids=torch.nn.functional.pad(batch.input_ids, (0, 4), value=9),
        is_input=torch.nn.functional.pad(batch.is_input, (0, 4)),
    )
    torch.testing.assert_close(lean_decoded(model, wide)[0], lean_decoded(model, batch)[0])


def test_dropout_is_drawn_in_training_only() -> None:
    batch = random_batch([5, 4], 3)
    model = random_t5(VOCAB_SIZE, dropout_rate=0.3)
    once, again = (lean_decoded(model.eval(), batch)[0] for _ in range(2))
    assert torch.equal(once, again)
    torch.manual_seed(0)
    drawn, again = (lean_decoded(model.train(), batch)[0] for _ in range(2))
    assert not torch.equal(drawn, again)
    torch.manual_seed(0)
    assert torch.equal(lean_decoded(model, batch)[0], drawn)


def test_the_norms_own_gradient_is_right() -> None:
    rows = torch.randn(4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    assert torch.autograd.gradcheck(lambda values: root_mean_square_norm(values, 1e-6), rows)
