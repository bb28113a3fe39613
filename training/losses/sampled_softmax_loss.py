"""Cross-entropy of hidden states against a few drawn rows that stand for all, without ever holding all logits.

Each state's own target counts once; a drawn row counts as many times as it stands for rows, the inverse of its chance
to be drawn (Horvitz & Thompson 1952), so the sum that normalizes is right on average. Source: Jean et al. 2015, "On
Using Very Large Target Vocabulary for Neural Machine Translation", and Bengio & Senécal 2008 for the correction. We
differ: a step draws its rows once, for all its targets, and the target, which is never left out, is not corrected.

Gradients are computed in the forward pass, as in `full_softmax_loss`.
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from training.losses.full_softmax_loss import STATES_AT_ONCE


def sampled_softmax_loss(
    states: Float[Tensor, "state dim"],
    rows: Float[Tensor, "row dim"],
    targets: Int[Tensor, "state"],
    drawn: Int[Tensor, "drawn"],
    log_counts: Float[Tensor, "drawn"],
    weights: Float[Tensor, "state"] | None = None,
) -> Float[Tensor, ""]:
    """The weighted sum over states of the cross-entropy, in nats, of `targets` among themselves and the drawn rows.

    Args:
        states: float32.
        rows: what is chosen from.
        targets: of the states, as places in `rows`.
        drawn: places in `rows`; one that is a state's target is left out for that state.
        log_counts: logarithm of how many rows each drawn one stands for.
        weights: of the states; without, each weighs 1.
    """
    loss: Float[Tensor, ""] = _SampledSoftmaxLoss.apply(  # type: ignore[no-untyped-call]
        states, rows[targets], rows[drawn], targets, drawn, log_counts, weights
    )
    return loss


class _SampledSoftmaxLoss(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any,
        states: Float[Tensor, "state dim"],
        own: Float[Tensor, "state dim"],
        others: Float[Tensor, "drawn dim"],
        targets: Int[Tensor, "state"],
        drawn: Int[Tensor, "drawn"],
        log_counts: Float[Tensor, "drawn"],
        weights: Float[Tensor, "state"] | None,
    ) -> Float[Tensor, ""]:
        num_drawn = len(others)
        buffer = states.new_empty(STATES_AT_ONCE * num_drawn)
        state_gradients, own_gradients = torch.empty_like(states), torch.empty_like(own)
        other_gradients, total = torch.zeros_like(others), states.new_zeros(())
        for start in range(0, len(states), STATES_AT_ONCE):
            block = slice(start, start + STATES_AT_ONCE)
            some = states[block]
            logits = torch.mm(some, others.T, out=buffer[: len(some) * num_drawn].view(len(some), num_drawn))
            logits.add_(log_counts)
            logits.masked_fill_(drawn == targets[block, None], -torch.inf)
            own_logits = (some * own[block]).sum(dim=1, keepdim=True)
            highest = torch.maximum(logits.amax(dim=1, keepdim=True), own_logits)
            chances = logits.sub_(highest).exp_()
            own_chances = (own_logits - highest).exp()
            sums = chances.sum(dim=1, keepdim=True) + own_chances
            losses = sums.log() + highest - own_logits
            off, own_off = chances.div_(sums), own_chances / sums - 1.0
            if weights is not None:
                weighs = weights[block, None]
                losses, off, own_off = losses * weighs, off.mul_(weighs), own_off * weighs
            total += losses.sum()
            torch.mm(off, others, out=state_gradients[block])
            state_gradients[block].addcmul_(own_off, own[block])
            torch.mul(own_off, some, out=own_gradients[block])
            other_gradients.addmm_(off.T, some)
        ctx.save_for_backward(state_gradients, own_gradients, other_gradients)
        return total

    @staticmethod
    def backward(  # type: ignore[override]
        ctx: Any, gradient: Float[Tensor, ""]
    ) -> tuple[Tensor, Tensor, Tensor, None, None, None, None]:
        of_states, of_own, of_others = ctx.saved_tensors
        return of_states * gradient, of_own * gradient, of_others * gradient, None, None, None, None
