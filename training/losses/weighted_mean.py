"""Average the losses of examples that count differently."""

from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional


def weighted_mean(losses: Float[Tensor, "example"], weights: Float[Tensor, "example"] | None) -> Float[Tensor, ""]:
    """The mean of losses by weight; plain without weights, which are at least 0 and not all 0."""
    return losses.mean() if weights is None else weights @ losses / weights.sum()


def mean_cross_entropy(
    logits: Float[Tensor, "example class"],
    targets: Int[Tensor, "example"],
    weights: Float[Tensor, "example"] | None,
) -> Float[Tensor, ""]:
    """The `weighted_mean` of cross-entropies; without weights as torch sums them."""
    if weights is None:
        return functional.cross_entropy(logits, targets)
    return weighted_mean(functional.cross_entropy(logits, targets, reduction="none"), weights)
