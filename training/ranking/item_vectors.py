"""Give every item a vector to be learned: its content through a matrix, and something of its own.

Knows content embeddings; knows nothing of histories or of how the vectors are judged.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

_CONTENT_START, _OWN_START = 0.07, 0.02
"""Standard deviations: an item is at first what it looks like."""
_SPARSE_BELOW = 0.1
"""Share of numbers in the content that are not 0, below which only those are multiplied."""


class ItemVectors(nn.Module):
    """Vectors of the items of the training sequences, by their place among them; the others have content only."""

    def __init__(
        self,
        content: Float[Tensor, "item content"],
        is_trained: Bool[Tensor, "item"],
        is_held_out: Bool[Tensor, "item"],
        dim: int,
    ) -> None:
        super().__init__()
        norm = float(content.norm(dim=1).mean()) if content.numel() else 0.0
        self.scale = 1.0 / (norm or 1.0)
        self.rows: Tensor
        self.register_buffer("rows", torch.nonzero(is_trained).flatten(), persistent=False)
        self.places: Tensor
        """Of every row among the trained items; of no meaning for the others."""
        self.register_buffer("places", torch.cumsum(is_trained, dim=0) - 1, persistent=False)
        self.content: Tensor
        self.register_buffer("content", sparse_if_it_pays(content * self.scale), persistent=False)
        self.trained_content: Tensor
        trained_content = sparse_if_it_pays(content[is_trained] * self.scale)
        self.register_buffer("trained_content", trained_content, persistent=False)
        self.is_held_out: Tensor
        """Of the trained items."""
        self.register_buffer("is_held_out", is_held_out[is_trained][:, None], persistent=False)
        self.content_map = nn.Parameter(torch.randn(content.shape[1], dim) * _CONTENT_START)
        self.own = nn.Parameter(torch.randn(len(self.rows), dim) * _OWN_START)

    def trained(self, own_dropout: float) -> Float[Tensor, "trained dim"]:
        """Of the trained items; each one's own part is left out with this probability.

        What is held out keeps its own part, and no gradient reaches the map by its content: the map knows it as little
        as an item that is posted later.
        """
        is_kept = self.is_held_out | (torch.rand(len(self.own), 1, device=self.own.device) >= own_dropout)
        by_content = torch.mm(self.trained_content, self.content_map)
        return torch.where(self.is_held_out, by_content.detach(), by_content) + self.own * is_kept

    def all(self, *, as_new: bool) -> Float[Tensor, "item dim"]:
        """Of all items; `as_new` gives each the vector that it would have if it had been posted just now."""
        vectors = torch.mm(self.content, self.content_map)
        return vectors if as_new else vectors.index_add(0, self.rows, self.own)

    def map_of_content(self) -> Float[Tensor, "content dim"]:
        """Takes a content embedding as it comes to the vector."""
        return self.content_map.detach() * self.scale


def sparse_if_it_pays(content: Float[Tensor, "item content"]) -> Float[Tensor, "item content"]:
    """The same numbers, in PyTorch's sparse form if hardly any is other than 0."""
    is_sparse = content.numel() > 0 and float((content != 0).float().mean()) < _SPARSE_BELOW
    return content.to_sparse() if is_sparse else content
