"""Predict all codes of the next item at once. Start at `ParallelNetwork`.

    codes, own vectors -> item vectors -> reader of histories -> one head per codebook -> logits of codes -> item scores

Source: Hou et al. 2025, "Generating Long Semantic IDs in Parallel for Recommendation" (RPG). We differ: the reader is
recurrent; an item also has a vector of its own, dropped at random, as in `dense_head`; scores are scaled, since an
item's codes depend on each other; every item is scored, where RPG walks a graph of similar items.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from clairo_core.ranking.history_encoder import RecurrentHistoryEncoder

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
    num_items: int
    """Items with a vector of their own: those of the training data."""
    width: int
    """Length of every vector."""
    max_history_items: int


class ParallelNetwork(nn.Module):
    """Vectors of codes and items, a reader, and the heads.

    A code is named by its row in the table of all codes: codebook times `num_centroids`, plus the code.
    """

    def __init__(self, sizes: NetworkSizes, *, dropout_rate: float = 0.0, own_dropout: float = 0.0) -> None:
        super().__init__()
        self.sizes = sizes
        self.own_dropout = own_dropout
        num_codes = sizes.num_codebooks * sizes.num_centroids
        self.code_vectors = nn.Parameter(torch.randn(num_codes, sizes.width) * _START)
        # Zero, and without gradients, for items that training never saw.
        self.own_vectors = nn.Parameter(torch.zeros(sizes.num_items, sizes.width))
        self.reader = RecurrentHistoryEncoder(
            sizes.width, width=sizes.width, max_history_items=sizes.max_history_items, dropout_rate=dropout_rate
        )
        self.dropout = nn.Dropout(dropout_rate)
        self.heads = nn.Linear(sizes.width, sizes.num_codebooks * sizes.width)
        self.log_scale = nn.Parameter(torch.full((1,), math.log(_SCALE_START)))
        self.code_bias = nn.Parameter(torch.zeros(sizes.num_codebooks, 1, sizes.num_centroids))

    def forward(
        self, item_rows: Int[Tensor, "history position"], code_rows: Int[Tensor, "history position codebook"]
    ) -> Float[Tensor, "history position width"]:
        """Read the items of each history: the state after each position, which no later one changes."""
        by_codes = functional.embedding_bag(code_rows.flatten(0, 1), self.code_vectors, mode="mean")
        states: Float[Tensor, "history position width"] = self.reader(
            by_codes.view(*item_rows.shape, -1) + self.own_parts(item_rows)
        )
        return states

    def own_parts(self, item_rows: Int[Tensor, "*place"]) -> Float[Tensor, "*place width"]:
        """The items' own vectors: 0 for items posted after training, and for those dropped in this training step."""
        is_kept = torch.ones_like(self.own_vectors[:, 0])
        if self.training:
            is_kept = torch.empty_like(is_kept).bernoulli_(1.0 - self.own_dropout)
        places = item_rows.clamp(max=self.sizes.num_items - 1)
        weights = is_kept[places] * (item_rows < self.sizes.num_items)
        return self.own_vectors[places] * weights[..., None]

    def code_logits(self, states: Float[Tensor, "state width"]) -> Float[Tensor, "codebook state centroid"]:
        """Logits of the next item's codes after each state; float32."""
        sizes = self.sizes
        queries = self.heads(self.dropout(states)).view(len(states), sizes.num_codebooks, sizes.width).transpose(0, 1)
        keys = self.code_vectors.view(sizes.num_codebooks, sizes.num_centroids, sizes.width).transpose(1, 2)
        # The temperature divides the shorter side of the product.
        queries, keys = functional.normalize(queries, dim=2) / TEMPERATURE, functional.normalize(keys, dim=1)
        return torch.baddbmm(self.code_bias, queries, keys).float()

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
