"""Dropout whose random numbers cost an eighth: one 64-bit draw decides over eight values.

Knows tensors and modules; knows nothing of T5. On a processor torch draws a float for each value, one after the other,
and that was a quarter to a half of a training step. Rates are rounded to a 256th; what is kept is scaled by the rounded
rate, so that the mean stays. On a GPU torch's own is faster.

Source: Srivastava et al. 2014, "Dropout". We differ: in the rounding.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

_LEVELS = 256


class EightBitDropout(nn.Module):
    """In place of `nn.Dropout`; draws from torch's own random state."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.num_dropped_levels = round(rate * _LEVELS)

    def forward(self, values: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Zero about `rate` of the values and scale up the others; in evaluation, the values as they are."""
        if not self.training or self.num_dropped_levels == 0:
            return values
        draws = torch.empty(-(-values.numel() // 8), dtype=torch.int64).random_(-(2**63), None)
        is_kept = draws.view(torch.uint8)[: values.numel()].view(values.shape) >= self.num_dropped_levels
        scale = _LEVELS / (_LEVELS - self.num_dropped_levels)
        kept: Float[Tensor, "*shape"] = values * is_kept.to(values.dtype).mul_(scale)
        return kept

    def extra_repr(self) -> str:
        """The rate as it was rounded."""
        return f"rate={self.num_dropped_levels / _LEVELS}"
