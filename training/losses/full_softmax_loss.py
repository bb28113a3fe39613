"""Cross-entropy of hidden states against every row of a table, without ever holding all logits.

The gradient of a softmax is the softmax minus the target, so the forward pass computes both gradients too. It takes
some states at a time in one buffer that fits the caches: two thirds of the time of a matrix product followed by
cross-entropy, and with 40,000 rows gigabytes less memory.
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

STATES_AT_ONCE = 96
"""Enough rows for a fast matrix product, few enough for their logits to fit the caches."""
_LEAST_WEIGHT = torch.finfo(torch.float32).tiny


def full_softmax_loss(
    states: Float[Tensor, "state dim"],
    rows: Float[Tensor, "row dim"],
    targets: Int[Tensor, "state"],
    label_smoothing: float = 0.0,
    weights: Float[Tensor, "state"] | None = None,
) -> Float[Tensor, ""]:
    """The weighted sum over states of the cross-entropy of `targets` among all rows, in nats, smoothed as in torch.

    Equals `cross_entropy(states @ rows.T, targets, reduction="none") @ weights` for float32, up to rounding. Without
    weights, every state weighs 1.
    """
    loss: Float[Tensor, ""] = _FullSoftmaxLoss.apply(states, rows, targets, label_smoothing, weights)  # type: ignore[no-untyped-call]
    return loss


def mean_full_softmax_loss(
    states: Float[Tensor, "state dim"],
    rows: Float[Tensor, "row dim"],
    targets: Int[Tensor, "state"],
    weights: Float[Tensor, "state"] | None = None,
) -> Float[Tensor, ""]:
    """`full_softmax_loss` as a mean by weight; 0 where all weights are 0."""
    if weights is None:
        return full_softmax_loss(states, rows, targets) / len(targets)
    return full_softmax_loss(states, rows, targets, weights=weights) / weights.sum().clamp(min=_LEAST_WEIGHT)


class _FullSoftmaxLoss(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any,
        states: Float[Tensor, "state dim"],
        rows: Float[Tensor, "row dim"],
        targets: Int[Tensor, "state"],
        label_smoothing: float,
        weights: Float[Tensor, "state"] | None,
    ) -> Float[Tensor, ""]:
        num_rows = len(rows)
        buffer = states.new_empty(STATES_AT_ONCE * num_rows)
        state_gradients, row_gradients = torch.empty_like(states), torch.zeros_like(rows)
        total = states.new_zeros(())
        for start in range(0, len(states), STATES_AT_ONCE):
            some, wanted = states[start : start + STATES_AT_ONCE], targets[start : start + STATES_AT_ONCE, None]
            logits = torch.mm(some, rows.T, out=buffer[: len(some) * num_rows].view(len(some), num_rows))
            target_logits = logits.gather(1, wanted)
            highest = logits.amax(dim=1, keepdim=True)
            chances = logits.sub_(highest).exp_()
            sums = chances.sum(dim=1, keepdim=True)
            losses = sums.log() + highest - (1.0 - label_smoothing) * target_logits
            off = chances.div_(sums)
            off.scatter_add_(1, wanted, torch.full_like(sums, label_smoothing - 1.0))
            if weights is not None:
                weighs = weights[start : start + STATES_AT_ONCE, None]
                losses, off = losses * weighs, off.mul_(weighs)
            total += losses.sum()
            torch.mm(off, rows, out=state_gradients[start : start + STATES_AT_ONCE])
            row_gradients.addmm_(off.T, some)
        if label_smoothing:
            mean_row = rows.mean(dim=0)
            sum_of_states = states.sum(dim=0) if weights is None else weights @ states
            total -= label_smoothing * (sum_of_states @ mean_row)
            smoothing = label_smoothing * mean_row
            state_gradients -= smoothing if weights is None else weights[:, None] * smoothing
            row_gradients -= label_smoothing / num_rows * sum_of_states
        ctx.save_for_backward(state_gradients, row_gradients)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Float[Tensor, ""]) -> tuple[Tensor, Tensor, None, None, None]:  # type: ignore[override]
        state_gradients, row_gradients = ctx.saved_tensors
        return state_gradients * gradient, row_gradients * gradient, None, None, None
