"""Dropout with an eighth of the random draws: each 64-bit draw decides over eight values.

On a CPU, torch draws a float per value, which took a quarter to half of a training step. Rates are rounded to a 256th,
and kept values are scaled by the rounded rate, so the mean is exact. On a GPU, torch's own dropout is faster.

Source: Srivastava et al. 2014, "Dropout". We differ: rates are rounded.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

_LEVELS = 256


class EightBitDropout(nn.Module):
    """Replaces `nn.Dropout`. Draws from torch's global random state."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.num_dropped_levels = round(rate * _LEVELS)

    def forward(self, values: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Zero about `rate` of the values and scale up the others. In evaluation mode, the identity."""
        if not self.training or self.num_dropped_levels == 0:
            return values
        draws = torch.empty(-(-values.numel() // 8), dtype=torch.int64).random_(-(2**63), None)
        is_kept = draws.view(torch.uint8)[: values.numel()].view(values.shape) >= self.num_dropped_levels
        scale = _LEVELS / (_LEVELS - self.num_dropped_levels)
        kept: Float[Tensor, "*shape"] = values * is_kept.to(values.dtype).mul_(scale)
        return kept

    def extra_repr(self) -> str:
        """The rounded rate."""
        return f"rate={self.num_dropped_levels / _LEVELS}"
