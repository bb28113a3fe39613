"""The fused loss of a sampled softmax: worked by hand, as torch computes it, and the full softmax if all is drawn."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from training.losses.full_softmax_loss import STATES_AT_ONCE, full_softmax_loss
from training.losses.sampled_softmax_loss import sampled_softmax_loss


def test_a_row_that_stands_for_three_counts_three_times_and_the_target_once() -> None:
    rows, states = torch.zeros(5, 2), torch.ones(1, 2)
    drawn, log_counts = torch.tensor([0, 4]), torch.tensor([5.0, 3.0]).log()
    # The target 0 is drawn too, and stands for itself alone.
    assert float(sampled_softmax_loss(states, rows, torch.tensor([0]), drawn, log_counts)) == pytest.approx(math.log(4))


@given(
    st.sampled_from([1, STATES_AT_ONCE, 2 * STATES_AT_ONCE + 7]),
    st.integers(1, 20),
    st.floats(0.1, 20.0),
    st.booleans(),
)
def test_loss_and_gradients_are_those_of_torch(num_states: int, num_drawn: int, scale: float, is_plain: bool) -> None:
    torch.manual_seed(num_states * num_drawn)
    states, rows = torch.randn(num_states, 6).double() * scale, torch.randn(12, 6).double()
    targets, drawn = torch.randint(12, (num_states,)), torch.randint(12, (num_drawn,))
    log_counts = torch.rand(num_drawn).double()
    weights = None if is_plain else torch.rand(num_states).double()
    gradients = []
    for is_fused in (True, False):
        parts = [part.clone().requires_grad_() for part in (states, rows)]
        if is_fused:
            loss = sampled_softmax_loss(*parts, targets, drawn, log_counts, weights)
        else:
            logits = parts[0] @ parts[1].T
            others = (logits[:, drawn] + log_counts).masked_fill(drawn == targets[:, None], -torch.inf)
            logits = torch.cat([logits.gather(1, targets[:, None]), others], dim=1)
            losses = functional.cross_entropy(logits, torch.zeros_like(targets), reduction="none")
            loss = losses.sum() if weights is None else weights @ losses
        (3.0 * loss).backward()
        gradients.append([loss.detach(), *(part.grad for part in parts if part.grad is not None)])
    for fused, torchs in zip(*gradients, strict=True):
        assert torch.allclose(fused, torchs, rtol=1e-9, atol=1e-9)


def test_with_every_row_drawn_it_is_the_full_softmax() -> None:
    torch.manual_seed(0)
    states, rows, targets = torch.randn(7, 4), torch.randn(9, 4), torch.randint(9, (7,))
    sampled = sampled_softmax_loss(states, rows, targets, torch.arange(9), torch.zeros(9))
    torch.testing.assert_close(sampled, full_softmax_loss(states, rows, targets))
