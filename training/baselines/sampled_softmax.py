"""Cross-entropy of hidden states against a few drawn items instead of all.

Source: Klenitskiy and Vasilev 2023, "Turning Dross Into Gold Loss", and arXiv 2508.06450 (eSASRec). We differ: 16
neighbouring states, roughly one history, share their negatives. Shared by a whole step, 256 of them would push away too
few items.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

NUM_NEGATIVES = 256
STATES_PER_DRAW = 16
_LEAST_WEIGHT = torch.finfo(torch.float32).tiny


def mean_sampled_softmax_loss(
    states: Float[Tensor, "state dim"],
    rows: Float[Tensor, "row dim"],
    targets: Int[Tensor, "state"],
    weights: Float[Tensor, "state"] | None = None,
) -> Float[Tensor, ""]:
    """Mean by weight of the cross-entropy of `targets` among themselves and their negatives; 0 where all weights are 0.

    Negatives are drawn uniformly, with replacement, from torch's random state, so no correction is due. One that is a
    state's target is left out for that state.
    """
    if weights is None:
        weights = states.new_ones(len(states))
    num_draws = -(-len(states) // STATES_PER_DRAW)
    filling = num_draws * STATES_PER_DRAW - len(states)
    negatives = torch.randint(len(rows), (num_draws, NUM_NEGATIVES))
    grouped = functional.pad(states, (0, 0, 0, filling)).view(num_draws, STATES_PER_DRAW, states.shape[1])
    of_negatives = torch.bmm(grouped, rows[negatives].transpose(1, 2)).flatten(0, 1)[: len(states)]
    is_target = negatives.repeat_interleave(STATES_PER_DRAW, dim=0)[: len(states)] == targets[:, None]
    of_targets = (states * rows[targets]).sum(dim=1)
    logits = torch.cat([of_targets[:, None], of_negatives.masked_fill(is_target, -torch.inf)], dim=1)
    losses = torch.logsumexp(logits, dim=1) - of_targets
    return (losses * weights).sum() / weights.sum().clamp(min=_LEAST_WEIGHT)
