"""Cross-entropy of hidden states against a few drawn items instead of all.

With 256 uniform negatives SASRec ranks as with a full softmax (Klenitskiy and Vasilev 2023).
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from training.losses.sampled_softmax_loss import sampled_softmax_loss

NUM_NEGATIVES = 256
_LEAST_WEIGHT = torch.finfo(torch.float32).tiny


def mean_sampled_softmax_loss(
    states: Float[Tensor, "state dim"],
    rows: Float[Tensor, "row dim"],
    targets: Int[Tensor, "state"],
    weights: Float[Tensor, "state"] | None = None,
) -> Float[Tensor, ""]:
    """Mean by weight of `sampled_softmax_loss` with the step's negatives; 0 where all weights are 0.

    Negatives are drawn uniformly, with replacement, from torch's random state, so no correction is due.
    """
    negatives = torch.randint(len(rows), (NUM_NEGATIVES,))
    total = sampled_softmax_loss(states, rows, targets, negatives, weights=weights)
    return total / (len(targets) if weights is None else weights.sum().clamp(min=_LEAST_WEIGHT))
