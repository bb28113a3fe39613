"""`view_fusion.fuse_views` in fixed shapes: the last part of a recorded search."""

import math

import torch
from jaxtyping import Float32, Float64, Int64
from torch import Tensor

from clairo_core.generation.search.beam_candidates import MINUS_INFINITY


def fuse_views_of_all(
    item_rows: Int64[Tensor, "view beam"], scores: Float32[Tensor, "view beam"], views_per_request: int
) -> tuple[Int64[Tensor, "request place"], Float64[Tensor, "request place"]]:
    """Fuse each request's items, best first, ties in the order of item rows; filled with -1 and minus infinity.

    Args:
        item_rows: -1 where a view has fewer items; distinct within a view. A request's views are adjacent.
        scores: log-probabilities.
        views_per_request: number of views over which an item's probability is averaged.
    """
    by_request = (len(item_rows) // views_per_request, -1)
    rows, order = item_rows.reshape(by_request).sort(dim=1, stable=True)
    fused = scores.reshape(by_request).gather(1, order).double()
    alone = fused
    # An item's places are adjacent, one per view that found it; the first collects their sum.
    for ahead in range(1, min(views_per_request, rows.shape[1])):
        is_same = rows[:, ahead:] == rows[:, :-ahead]
        sums = torch.where(is_same, torch.logaddexp(fused[:, :-ahead], alone[:, ahead:]), fused[:, :-ahead])
        fused = torch.cat([sums, fused[:, -ahead:]], dim=1)
    is_first = torch.ones_like(rows, dtype=torch.bool)
    is_first[:, 1:] = rows[:, 1:] != rows[:, :-1]
    fused = torch.where(is_first & (rows >= 0), fused - math.log(views_per_request), MINUS_INFINITY)
    best, order = fused.sort(dim=1, descending=True, stable=True)
    return torch.where(best > MINUS_INFINITY, rows.gather(1, order), -1), best
