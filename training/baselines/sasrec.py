"""SASRec and its kin: causal blocks over a history, each place predicting the next item.

Source: Kang and McAuley 2018, "Self-Attentive Sequential Recommendation". We differ: the softmax runs over all items
(Klenitskiy and Vasilev 2023 show that this, not the architecture, explains BERT4Rec's lead), blocks are pre-norm, items
are normalized before the first block, and positions count from a window's start.

Blocks and loss are parts. LiGR blocks and sampled softmax make eSASRec (arXiv 2508.06450), HSTU blocks and sampled
softmax HSTU (Zhai et al. 2024). We differ: both have two blocks and the grid of SASRec, and scores are inner products.
"""

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn

from training.baselines.padded_windows import Windows
from training.baselines.sequence_model import MAX_LENGTH, SequenceModelSettings
from training.baselines.transformer_block import TransformerBlock, start_small
from training.losses.full_softmax_loss import mean_full_softmax_loss

NUM_HEADS = 2
NUM_BLOCKS = 2

NewBlock: TypeAlias = Callable[[int, int, float], nn.Module]
"""Width, heads and dropout -> a block, in which no place attends to a later one."""
MeanLoss: TypeAlias = Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]
"""States, item embeddings, targets and weights of the targets -> mean loss by weight."""


class SasRec(nn.Module):
    """Item and position embeddings, causal blocks, and the item embeddings as the output layer."""

    def __init__(
        self,
        num_items: int,
        settings: SequenceModelSettings,
        new_block: NewBlock = partial(TransformerBlock, is_causal=True),
        mean_loss: MeanLoss = mean_full_softmax_loss,
    ) -> None:
        super().__init__()
        self.num_items = num_items
        self.mean_loss = mean_loss
        self.items = nn.Embedding(num_items + 1, settings.dim)
        self.positions = nn.Embedding(MAX_LENGTH, settings.dim)
        self.blocks = nn.ModuleList(new_block(settings.dim, NUM_HEADS, settings.dropout) for _ in range(NUM_BLOCKS))
        self.input_norm, self.norm = nn.LayerNorm(settings.dim), nn.LayerNorm(settings.dim)
        self.dropout = nn.Dropout(settings.dropout)
        self.apply(start_small)

    def states(self, windows: Windows) -> Float[Tensor, "user place dim"]:
        """Encode each place, from itself and earlier places, to predict the next item."""
        positions = self.positions(torch.arange(windows.items.shape[1]))
        states = self.dropout(self.input_norm(self.items(windows.items)) + positions)
        for block in self.blocks:
            # Padding follows the items: with causal attention no item attends to it.
            states = block(states)
        normed: Float[Tensor, "user place dim"] = self.norm(states)
        return normed

    def loss(self, windows: Windows) -> Float[Tensor, ""]:
        """Mean loss by weight of every item but a window's first."""
        followers = windows.items[:, 1:]
        is_item = followers < self.num_items
        states, targets = self.states(windows)[:, :-1][is_item], followers[is_item]
        weights = None if windows.weights is None else windows.weights[:, 1:][is_item]
        return self.mean_loss(states, self.items.weight[: self.num_items], targets, weights)

    def scores(self, windows: Windows) -> Float[Tensor, "user item"]:
        """Score every item as the next one; an empty window is scored from the padding in its first place."""
        last = self.states(windows)[torch.arange(len(windows.items)), (windows.lengths - 1).clamp(min=0)]
        return last @ self.items.weight[: self.num_items].T
