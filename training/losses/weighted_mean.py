"""Average the losses of examples that count differently."""

from jaxtyping import Float
from torch import Tensor


def weighted_mean(losses: Float[Tensor, "example"], weights: Float[Tensor, "example"] | None) -> Float[Tensor, ""]:
    """The mean of losses by weight; plain without weights, which are at least 0 and not all 0."""
    return losses.mean() if weights is None else weights @ losses / weights.sum()
