"""The fused loss of a full softmax: agreement with torch's cross-entropy and gradients at all sizes."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from training.losses.full_softmax_loss import STATES_AT_ONCE, full_softmax_loss


def test_two_equal_rows_cost_one_bit() -> None:
    rows = torch.zeros(2, 3, requires_grad=True)
    states = torch.ones(1, 3, requires_grad=True)
    loss = full_softmax_loss(states, rows, torch.tensor([0]))
    loss.backward()
    assert float(loss.detach()) == pytest.approx(math.log(2))
    assert rows.grad is not None
    assert rows.grad.tolist() == [[-0.5] * 3, [0.5] * 3]


@given(
    st.sampled_from([1, 5, STATES_AT_ONCE, STATES_AT_ONCE + 1, 2 * STATES_AT_ONCE + 7]),
    st.integers(1, 30),
    st.sampled_from([0.0, 0.1]),
    st.floats(0.1, 20.0),
    st.booleans(),
)
def test_loss_and_gradients_are_those_of_torch(
    num_states: int, num_rows: int, smoothing: float, scale: float, are_weighted: bool
) -> None:
    torch.manual_seed(num_states * num_rows)
    states, rows = (
        torch.randn(num_states, 6, dtype=torch.float64) * scale,
        torch.randn(num_rows, 6, dtype=torch.float64),
    )
    targets = torch.randint(num_rows, (num_states,))
    weights = torch.rand(num_states, dtype=torch.float64) if are_weighted else None
    gradients = []
    for is_fused in (True, False):
        parts = [part.clone().requires_grad_() for part in (states, rows)]
        if is_fused:
            loss = full_softmax_loss(*parts, targets, smoothing, weights)
        else:
            logits = parts[0] @ parts[1].T
            losses = functional.cross_entropy(logits, targets, reduction="none", label_smoothing=smoothing)
            loss = losses.sum() if weights is None else weights @ losses
        (3.0 * loss).backward()
        gradients.append([loss.detach(), *(part.grad for part in parts if part.grad is not None)])
    for fused, torchs in zip(*gradients, strict=True):
        assert torch.allclose(fused, torchs, rtol=1e-9, atol=1e-9)


def test_the_loss_of_no_states_is_zero() -> None:
    rows = torch.randn(4, 3, requires_grad=True)
    loss = full_softmax_loss(torch.empty(0, 3), rows, torch.empty(0, dtype=torch.long))
    loss.backward()
    assert float(loss.detach()) == 0.0
