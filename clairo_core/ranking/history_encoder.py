"""Encode the item vectors of a history: at every position, predict the next item's vector.

Two networks are available: a recurrent one as in Hidasi et al. 2016, "Session-based Recommendations with Recurrent
Neural Networks" (GRU4Rec), or a causal transformer as in Kang & McAuley 2018, "Self-Attentive Sequential
Recommendation" (SASRec). We differ: the recurrent state is wider than an item's vector and projected back; the
transformer is pre-norm, with GELU and a final norm; one form of it normalizes its input.
"""

from collections.abc import Mapping
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn


class HistoryEncoder(nn.Module):
    """Output position t depends on input positions 0 to t, so padding belongs behind a history."""

    kind: ClassVar[str]
    size_names: ClassVar[tuple[str, ...]]
    """Attributes, and keyword arguments, that define the shape besides `dim`."""
    norm: nn.LayerNorm
    """Of the output."""

    def __init__(self, dim: int, max_history_items: int) -> None:
        super().__init__()
        self.dim = dim
        self.max_history_items = max_history_items

    @property
    def sizes(self) -> dict[str, int]:
        """Sizes by name."""
        return {name: getattr(self, name) for name in self.size_names}


class RecurrentHistoryEncoder(HistoryEncoder):
    """One layer of gated recurrent units."""

    kind = "gated-recurrent"
    size_names = ("width", "max_history_items")

    def __init__(self, dim: int, *, width: int, max_history_items: int, dropout_rate: float = 0.0) -> None:
        super().__init__(dim, max_history_items)
        self.width = width
        self.input_norm, self.norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout_rate)
        self.recurrent = nn.GRU(dim, width, batch_first=True)
        self.projection = nn.Linear(width, dim, bias=False)

    def forward(self, vectors: Float[Tensor, "history position dim"]) -> Float[Tensor, "history position dim"]:
        """Predict the next vector after each position; at most `max_history_items` positions."""
        states, _ = self.recurrent(self.dropout(self.input_norm(vectors)))
        encoded: Float[Tensor, "history position dim"] = self.norm(self.projection(self.dropout(states)))
        return encoded


class TransformerHistoryEncoder(HistoryEncoder):
    """Layers of causal self-attention."""

    kind = "causal-transformer"
    size_names = ("num_layers", "num_heads", "max_history_items")

    def __init__(
        self, dim: int, *, num_layers: int, num_heads: int, max_history_items: int, dropout_rate: float = 0.0
    ) -> None:
        super().__init__(dim, max_history_items)
        self.num_layers = num_layers
        self.num_heads = num_heads
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
        """Predict the next vector after each position; at most `max_history_items` positions."""
        length = vectors.shape[1]
        hidden = self.dropout(self.scaled(vectors) + self.positions[:length])
        mask = nn.Transformer.generate_square_subsequent_mask(length, device=vectors.device, dtype=vectors.dtype)
        for layer in self.layers:
            hidden = layer(hidden, src_mask=mask, is_causal=True)
        encoded: Float[Tensor, "history position dim"] = self.norm(hidden)
        return encoded

    def scaled(self, vectors: Float[Tensor, "history position dim"]) -> Float[Tensor, "history position dim"]:
        """The vectors as the first layer reads them, before positions are added."""
        lengthened: Float[Tensor, "history position dim"] = vectors * self.dim**0.5
        return lengthened


class NormalizedTransformerHistoryEncoder(TransformerHistoryEncoder):
    """Layers of causal self-attention over normalized vectors.

    For vectors that start small: what the layers add would drown them.
    """

    kind = "normalized-causal-transformer"

    def __init__(self, dim: int, *, dropout_rate: float = 0.0, **sizes: int) -> None:
        super().__init__(dim, dropout_rate=dropout_rate, **sizes)
        self.input_norm = nn.LayerNorm(dim)

    def scaled(self, vectors: Float[Tensor, "history position dim"]) -> Float[Tensor, "history position dim"]:
        """The vectors as the first layer reads them, before positions are added."""
        normalized: Float[Tensor, "history position dim"] = self.input_norm(vectors)
        return normalized


HISTORY_ENCODERS: Mapping[str, type[HistoryEncoder]] = {
    encoder.kind: encoder
    for encoder in (RecurrentHistoryEncoder, TransformerHistoryEncoder, NormalizedTransformerHistoryEncoder)
}
"""By kind."""
