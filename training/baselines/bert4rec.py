"""BERT4Rec: bidirectional self-attention over a history, trained to predict masked items.

Source: Sun et al. 2019, "BERT4Rec: Sequential Recommendation with Bidirectional Encoder Representations from
Transformer". As there, some windows mask only their last item, the task of inference. We differ: half of the windows
do, blocks are pre-norm, masks are drawn again each epoch instead of from a few prepared copies, and the output layer
is the item embeddings alone, without a bias or another matrix.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from training.baselines.padded_windows import Windows
from training.baselines.sequence_model import MAX_LENGTH, SequenceModelSettings
from training.baselines.transformer_block import TransformerBlock, start_small
from training.losses.full_softmax_loss import mean_full_softmax_loss

NUM_HEADS = 2
NUM_BLOCKS = 2
MASKED_SHARE = 0.3
MASKINGS = 3
"""Maskings per window and step: a step then predicts about as many items as one of SASRec."""


class Bert4Rec(nn.Module):
    """Item and position embeddings, bidirectional blocks, and the item embeddings as the output layer."""

    def __init__(self, num_items: int, settings: SequenceModelSettings) -> None:
        super().__init__()
        self.num_items = num_items
        self.mask = num_items + 1
        self.items = nn.Embedding(num_items + 2, settings.dim)
        # One more position for the mask after a full window.
        self.positions = nn.Embedding(MAX_LENGTH + 1, settings.dim)
        self.blocks = nn.ModuleList(
            TransformerBlock(settings.dim, NUM_HEADS, settings.dropout) for _ in range(NUM_BLOCKS)
        )
        self.input_norm, self.norm = nn.LayerNorm(settings.dim), nn.LayerNorm(settings.dim)
        self.dropout = nn.Dropout(settings.dropout)
        self.apply(start_small)

    def states(self, items: Int[Tensor, "user place"]) -> Float[Tensor, "user place dim"]:
        """Encode each place, to predict its own item; padding is never attended to."""
        may_attend = (items != self.num_items)[:, None, None, :]
        positions = self.positions(torch.arange(items.shape[1]))
        states = self.dropout(self.input_norm(self.items(items) + positions))
        for block in self.blocks:
            states = block(states, may_attend=may_attend)
        normed: Float[Tensor, "user place dim"] = self.norm(states)
        return normed

    def loss(self, windows: Windows) -> Float[Tensor, ""]:
        """Mean cross-entropy by weight, over all items, of the masked items."""
        items, lengths = windows.items.repeat(MASKINGS, 1), windows.lengths.repeat(MASKINGS)
        is_masked = places_to_mask(items.shape[1], lengths)
        states = self.states(items.masked_fill(is_masked, self.mask))
        targets = items[is_masked]
        weights = None if windows.weights is None else windows.weights.repeat(MASKINGS, 1)[is_masked]
        return mean_full_softmax_loss(states[is_masked], self.items.weight[: self.num_items], targets, weights)

    def scores(self, windows: Windows) -> Float[Tensor, "user item"]:
        """Score every item at a mask after the window."""
        users = torch.arange(len(windows.items))
        items = functional.pad(windows.items, (0, 1), value=self.num_items)
        items[users, windows.lengths] = self.mask
        return self.states(items)[users, windows.lengths] @ self.items.weight[: self.num_items].T


def places_to_mask(num_places: int, lengths: Int[Tensor, "window"]) -> Bool[Tensor, "window place"]:
    """Mask only the last item in half of the windows, a random share in the others; at least one in each."""
    places = torch.arange(num_places)
    drawn = torch.rand(len(lengths), num_places).masked_fill(places >= lengths[:, None], 2.0)
    is_masked = (drawn < MASKED_SHARE) | (drawn == drawn.min(dim=1, keepdim=True).values)
    asks_for_last = torch.rand(len(lengths), 1) < 0.5
    return torch.where(asks_for_last, places == lengths[:, None] - 1, is_masked)
