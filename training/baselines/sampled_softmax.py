"""Cross-entropy of hidden states against a few drawn items instead of all.

Source: Jean et al. 2015, "On Using Very Large Target Vocabulary for Neural Machine Translation"; with 256 uniform
negatives SASRec ranks as with a full softmax (Klenitskiy and Vasilev 2023). We differ: a step draws its negatives once,
for all its targets.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

NUM_NEGATIVES = 256
_LEAST_WEIGHT = torch.finfo(torch.float32).tiny


def mean_sampled_softmax_loss(
    states: Float[Tensor, "state dim"],
    rows: Float[Tensor, "row dim"],
    targets: Int[Tensor, "state"],
    weights: Float[Tensor, "state"] | None = None,
) -> Float[Tensor, ""]:
    """Mean by weight of the cross-entropy, in nats, of `targets` among themselves and the step's negatives.

    Negatives are drawn uniformly, with replacement, from torch's random state, so no correction is due. A negative
    that is a state's own target is left out for it. 0 where all weights are 0.
    """
    negatives = torch.randint(len(rows), (NUM_NEGATIVES,))
    of_targets = (states * rows[targets]).sum(dim=1, keepdim=True)
    of_negatives = (states @ rows[negatives].T).masked_fill(negatives == targets[:, None], -torch.inf)
    losses = functional.cross_entropy(
        torch.cat([of_targets, of_negatives], dim=1), torch.zeros_like(targets), reduction="none"
    )
    if weights is None:
        return losses.mean()
    return weights @ losses / weights.sum().clamp(min=_LEAST_WEIGHT)
