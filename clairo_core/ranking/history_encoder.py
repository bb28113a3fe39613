"""Read vectors of a history's items and say, at every position, what the next item's vector is like.

Knows vectors and positions; knows nothing of items. A causal transformer as in Kang & McAuley 2018, "Self-Attentive
Sequential Recommendation" (SASRec). We differ: norms come first, GELU, and a norm at the end.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class HistoryEncoder(nn.Module):
    """Position t of the output has seen positions 0 to t of the input; padding therefore goes behind a history."""

    def __init__(
        self, dim: int, num_layers: int, num_heads: int, max_history_items: int, dropout_rate: float = 0.0
    ) -> None:
        super().__init__()
        self.dim = dim
        self.num_layers = num_layers
        self.num_heads = num_heads
        self.max_history_items = max_history_items
        self.positions = nn.Parameter(torch.randn(max_history_items, dim) * 0.02)
        self.dropout = nn.Dropout(dropout_rate)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                dim, num_heads, 4 * dim, dropout_rate, activation="gelu", batch_first=True, norm_first=True
            )
            for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(dim)

    def forward(self, vectors: Float[Tensor, "history position dim"]) -> Float[Tensor, "history position dim"]:
        """What comes next after each position; at most `max_history_items` positions."""
        length = vectors.shape[1]
        hidden = self.dropout(vectors * self.dim**0.5 + self.positions[:length])
        mask = nn.Transformer.generate_square_subsequent_mask(length, device=vectors.device, dtype=vectors.dtype)
        for layer in self.layers:
            hidden = layer(hidden, src_mask=mask, is_causal=True)
        encoded: Float[Tensor, "history position dim"] = self.norm(hidden)
        return encoded
