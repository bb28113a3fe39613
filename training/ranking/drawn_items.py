"""Draw the items that stand for the whole catalogue in one step's softmax: the batch's targets, and popular ones."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from clairo_core.sequences import ItemSequences

NUM_DRAWN = 4096
"""Draws per step, with replacement."""
SMOOTHING = 0.5
"""Items are drawn in proportion to this power of how often they occur: rare ones more often than batches hold them."""


@dataclass(frozen=True, eq=False)
class ItemDraw:
    """Draws items in proportion to a power of their popularity."""

    target_shares: Float[Tensor, "trained"]
    """How likely each trained item is to be a target of a batch."""
    drawn_shares: Float[Tensor, "trained"]
    """How likely it is to be drawn."""
    cumulative: Float[Tensor, "trained"]
    """Of `drawn_shares`; float64, since a share may be 10^-8."""

    def draw(self, targets: Int64[Tensor, "target"]) -> tuple[Int64[Tensor, "drawn"], Float[Tensor, "drawn"]]:
        """The targets of a batch and `NUM_DRAWN` draws, each item once, from torch's random state.

        Returns:
            Places among the trained items, ascending, and the logarithms of how many items each stands for: of the
            inverse of its chance to be among them. Popular items are sure to be, and stand for themselves.
        """
        at = torch.rand(NUM_DRAWN, dtype=torch.float64, device=targets.device) * self.cumulative[-1]
        drawn = torch.searchsorted(self.cumulative, at, right=True).clamp_(max=len(self.cumulative) - 1)
        items = torch.unique(torch.cat([targets, drawn]))
        expected = len(targets) * self.target_shares[items] + NUM_DRAWN * self.drawn_shares[items]
        return items, -torch.log(-torch.expm1(-expected))


def item_draw(training: ItemSequences, device: torch.device) -> ItemDraw:
    """Draw from the items of these sequences, at least one of which has two; places are those of their sorted rows."""
    follows = np.ones(len(training.items), np.bool_) if training.is_target is None else training.is_target.copy()
    follows[training.offsets[:-1][training.lengths > 0]] = False
    _, places, counts = np.unique(training.items, return_inverse=True, return_counts=True)
    drawn = counts.astype(np.float64) ** SMOOTHING
    targets = np.bincount(places[follows], minlength=len(counts)).astype(np.float64)
    shares = [torch.from_numpy((share / share.sum()).astype(np.float32)).to(device) for share in (targets, drawn)]
    return ItemDraw(shares[0], shares[1], torch.from_numpy(np.cumsum(drawn)).to(device))
