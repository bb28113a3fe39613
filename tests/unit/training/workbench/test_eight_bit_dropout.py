"""Dropout with a draw per eight values: rate, mean, gradient, seed."""

import pytest
import torch

from training.workbench.eight_bit_dropout import EightBitDropout


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.5])
def test_the_rate_is_dropped_and_the_mean_stays(rate: float) -> None:
    torch.manual_seed(0)
    dropped = EightBitDropout(rate)(torch.ones(200_003))
    assert float((dropped == 0).float().mean()) == pytest.approx(round(rate * 256) / 256, abs=0.004)
    assert float(dropped.mean()) == pytest.approx(1.0, abs=0.01)
    # Neighbours share a draw and must still be independent.
    pairs = (dropped[:200_000].view(-1, 2) == 0).float()
    assert float((pairs[:, 0] * pairs[:, 1]).mean()) == pytest.approx(rate**2, abs=0.01)


def test_gradients_pass_where_values_passed() -> None:
    torch.manual_seed(0)
    values = torch.randn(7, 5, requires_grad=True)
    dropped = EightBitDropout(0.5)(values)
    dropped.sum().backward()
    assert values.grad is not None
    assert torch.equal(values.grad, torch.where(dropped == 0, 0.0, 2.0))


def test_the_same_seed_drops_the_same() -> None:
    dropout = EightBitDropout(0.3)
    draws = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        draws.append(dropout(torch.ones(100)))
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_nothing_is_dropped_in_evaluation_or_at_rate_zero() -> None:
    values = torch.ones(4)
    assert EightBitDropout(0.5).eval()(values) is values
    assert EightBitDropout(0.0)(values) is values
