"""Item vectors to be learned: content through a matrix, plus a part of each item's own."""

from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

_CONTENT_START, _OWN_START = 0.07, 0.02
"""Standard deviations: at first, content decides."""
_SPARSE_BELOW = 0.1
"""Below this share of nonzero numbers, content is stored sparsely."""


class LearnedItemVectors(nn.Module):
    """Vectors of all items. Items of the training sequences have a part of their own; the others have content only."""

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
        """Each row's place among the trained items; meaningless for other rows."""
        self.register_buffer("places", torch.cumsum(is_trained, dim=0) - 1, persistent=False)
        self.content: Tensor
        self.register_buffer("content", sparse_if_it_pays(content * self.scale), persistent=False)
        self.is_held_out: Tensor
        """Of the trained items."""
        self.register_buffer("is_held_out", is_held_out[is_trained][:, None], persistent=False)
        self.content_map = nn.Parameter(torch.randn(content.shape[1], dim) * _CONTENT_START)
        self.own = nn.Parameter(torch.randn(len(self.rows), dim) * _OWN_START)

    @cached_property
    def trained_content(self) -> Float[Tensor, "trained content"]:
        """Scaled, on the device where it is first read; `some` does without this copy."""
        content = self.content.index_select(0, self.rows)
        return content.coalesce() if content.is_sparse else content

    def start_from(self, trained: Float[Tensor, "item dim"], content_map: Float[Tensor, "content dim"]) -> None:
        """Take over trained vectors of all items and their `map_of_content`.

        An item without a part of its own in them starts with zeros.
        """
        with torch.no_grad():
            self.content_map.copy_(content_map / self.scale)
            self.own.copy_((trained - self.all(as_new=True))[self.rows])

    def trained(self, own_dropout: float) -> Float[Tensor, "trained dim"]:
        """Vectors of the trained items. Own parts are dropped with this probability.

        Held-out items keep their own part, and their content passes no gradient to the map: the map learns as little
        from them as from items posted later.
        """
        is_kept = self.is_held_out | (torch.rand(len(self.own), 1, device=self.own.device) >= own_dropout)
        by_content = torch.mm(self.trained_content, self.content_map)
        return torch.where(self.is_held_out, by_content.detach(), by_content) + self.own * is_kept

    def some(self, places: Int[Tensor, "some"], own_dropout: float) -> Float[Tensor, "some dim"]:
        """`trained` for different places among the trained items, at a cost that does not grow with the others.

        The gradient of own parts is sparse.
        """
        is_held_out = self.is_held_out[places]
        is_kept = is_held_out | (torch.rand(len(places), 1, device=self.own.device) >= own_dropout)
        by_content = torch.mm(self.content.index_select(0, self.rows[places]), self.content_map)
        own = functional.embedding(places, self.own, sparse=True)
        return torch.where(is_held_out, by_content.detach(), by_content) + own * is_kept

    def all(self, *, as_new: bool) -> Float[Tensor, "item dim"]:
        """Vectors of all items; with `as_new`, those that they would have if they had just been posted."""
        vectors = torch.mm(self.content, self.content_map)
        return vectors if as_new else vectors.index_add(0, self.rows, self.own)

    def map_of_content(self) -> Float[Tensor, "content dim"]:
        """The matrix from an unscaled content embedding to the vector."""
        return self.content_map.detach() * self.scale


def sparse_if_it_pays(content: Float[Tensor, "item content"]) -> Float[Tensor, "item content"]:
    """The same numbers, as a sparse tensor if nearly all are 0."""
    is_sparse = content.numel() > 0 and float((content != 0).float().mean()) < _SPARSE_BELOW
    return content.to_sparse() if is_sparse else content
