"""Predict all codes of the next item at once. Start at `ParallelNetwork`.

    codes -> item vectors -> reader of histories -> one head per codebook -> logits of codes -> item scores

Source: Hou et al. 2025, "Generating Long Semantic IDs in Parallel for Recommendation" (RPG). We differ: the reader may
be recurrent, and normalizes what it reads; heads are linear; scores are scaled, since an item's codes depend on each
other. Items have no parameters of their own, so a posted one is read and scored like any other.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from clairo_core.ranking.history_encoder import HISTORY_ENCODERS, RecurrentHistoryEncoder

TEMPERATURE = 0.1
"""Divides the cosines of states and codes."""
_START = 0.02
_SCALE_START = 0.15


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSizes:
    """The shape of a network."""

    num_codebooks: int
    num_centroids: int
    """Of the largest codebook."""
    width: int
    """Length of every vector."""
    max_history_items: int
    reader: str = RecurrentHistoryEncoder.kind
    """A kind of history encoder."""
    num_layers: int = 1
    num_heads: int = 1
    """Of a transformer, like `num_layers`."""


class ParallelNetwork(nn.Module):
    """Vectors of codes, a reader, and the heads.

    A code is named by its row in the table of all codes: codebook times `num_centroids`, plus the code.
    """

    def __init__(self, sizes: NetworkSizes, *, dropout_rate: float = 0.0) -> None:
        super().__init__()
        self.sizes = sizes
        num_codes = sizes.num_codebooks * sizes.num_centroids
        self.code_vectors = nn.Parameter(torch.randn(num_codes, sizes.width) * _START)
        reader = HISTORY_ENCODERS[sizes.reader]
        shape: dict[str, Any] = {name: getattr(sizes, name) for name in reader.size_names}
        self.reader = reader(sizes.width, **shape | {"dropout_rate": dropout_rate})
        self.dropout = nn.Dropout(dropout_rate)
        self.heads = nn.Linear(sizes.width, sizes.num_codebooks * sizes.width)
        self.log_scale = nn.Parameter(torch.full((1,), math.log(_SCALE_START)))
        self.code_bias = nn.Parameter(torch.zeros(sizes.num_codebooks, 1, sizes.num_centroids))

    def forward(self, codes: Int[Tensor, "history position codebook"]) -> Float[Tensor, "history position width"]:
        """Read the items of each history: the state after each position, which no later one changes."""
        vectors = functional.embedding_bag(codes.flatten(0, 1), self.code_vectors, mode="mean")
        states: Float[Tensor, "history position width"] = self.reader(vectors.view(*codes.shape[:2], -1))
        return states

    @property
    def vectors_by_codebook(self) -> Float[Tensor, "codebook centroid width"]:
        """The vectors of all codes."""
        return self.code_vectors.view(self.sizes.num_codebooks, self.sizes.num_centroids, self.sizes.width)

    def code_logits(self, states: Float[Tensor, "state width"]) -> Float[Tensor, "codebook state centroid"]:
        """Logits of the next item's codes after each state; float32."""
        sizes = self.sizes
        queries = self.heads(self.dropout(states)).view(len(states), sizes.num_codebooks, sizes.width).transpose(0, 1)
        keys = self.vectors_by_codebook.transpose(1, 2)
        # The temperature divides the shorter side of the product.
        queries, keys = functional.normalize(queries, dim=2) / TEMPERATURE, functional.normalize(keys, dim=1)
        return torch.baddbmm(self.code_bias, queries, keys).float()

    def code_scores(self, code_logits: Float[Tensor, "codebook state centroid"]) -> Float[Tensor, "state code"]:
        """Scores whose sum over an item's codes is the item's; see `item_scores`."""
        table = functional.log_softmax(code_logits, dim=2) * self.log_scale.float().exp()
        return table.transpose(0, 1).flatten(1)

    def item_scores(
        self, code_logits: Float[Tensor, "codebook state centroid"], codes: Int[Tensor, "item codebook"]
    ) -> Float[Tensor, "item state"]:
        """Score these items after each state: the sum of their codes' log-probabilities, scaled.

        A log-softmax over items makes log-probabilities of it.
        """
        table = functional.log_softmax(code_logits, dim=2).transpose(1, 2).flatten(0, 1)
        # A copy: in the strides of a single state, the sum is ten times slower.
        table = table.clone(memory_format=torch.contiguous_format)
        scores: Float[Tensor, "item state"] = functional.embedding_bag(codes, table, mode="sum")
        return scores * self.log_scale.float().exp()
