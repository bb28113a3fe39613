"""GRU4Rec: a recurrent network over a history, each place predicting the next item.

Source: Hidasi et al. 2016, "Session-based Recommendations with Recurrent Neural Networks", with the shared item
embeddings of Hidasi and Karatzoglou 2018. We differ: a softmax over all items instead of sampled ones, and whole
histories as sessions.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from training.baselines.padded_windows import Windows
from training.baselines.sequence_model import SequenceModelSettings
from training.losses.full_softmax_loss import mean_full_softmax_loss


class Gru4Rec(nn.Module):
    """Item embeddings, one layer of gated recurrent units, and the item embeddings as the output layer."""

    def __init__(self, num_items: int, settings: SequenceModelSettings) -> None:
        super().__init__()
        self.num_items = num_items
        self.items = nn.Embedding(num_items + 1, settings.dim)
        torch.nn.init.normal_(self.items.weight, std=0.02)
        self.input_norm, self.output_norm = nn.LayerNorm(settings.dim), nn.LayerNorm(settings.dim)
        self.recurrent = nn.GRU(settings.dim, settings.dim, batch_first=True)
        self.dropout = nn.Dropout(settings.dropout)

    def states(self, windows: Windows) -> Float[Tensor, "user place dim"]:
        """Encode each place, to predict the next item."""
        states, _ = self.recurrent(self.dropout(self.input_norm(self.items(windows.items))))
        normed: Float[Tensor, "user place dim"] = self.output_norm(self.dropout(states))
        return normed

    def loss(self, windows: Windows) -> Float[Tensor, ""]:
        """Mean cross-entropy by weight, over all items, of every item but a window's first."""
        followers = windows.items[:, 1:]
        is_item = followers < self.num_items
        states, targets = self.states(windows)[:, :-1][is_item], followers[is_item]
        weights = None if windows.weights is None else windows.weights[:, 1:][is_item]
        return mean_full_softmax_loss(states, self.items.weight[: self.num_items], targets, weights)

    def scores(self, windows: Windows) -> Float[Tensor, "user item"]:
        """Score every item as the next one; an empty window is scored from the padding in its first place."""
        last = self.states(windows)[torch.arange(len(windows.items)), (windows.lengths - 1).clamp(min=0)]
        return last @ self.items.weight[: self.num_items].T
