"""Merge the beams of a request's views into one ranking of items.

Knows item rows and log-probabilities; knows nothing of how they came about.
"""

import itertools
from enum import StrEnum

import numpy as np
from jaxtyping import Float64, Int, Int64

from clairo_core.generation.search.beam_search import Beams


class ViewFusion(StrEnum):
    """What an item's score is averaged from."""

    PROBABILITY = "probability"
    RANK = "rank"


def fuse_views(
    beams: Beams,
    request_of_view: Int[np.ndarray, "view"],
    num_requests: int,
    fusion: ViewFusion = ViewFusion.PROBABILITY,
) -> list[tuple[Int64[np.ndarray, "item"], Float64[np.ndarray, "item"]]]:
    """For each request its items, best first, and their scores; ties are in the order of item rows.

    A score is the logarithm of the item's probability, averaged over the request's views; a view in whose beams the
    item is not adds nothing.

    With `ViewFusion.RANK`, as in the released code of Hou et al. 2025, "ActionPiece" (its model's `generate`), a view
    adds the discount that nDCG gives the item's rank, 1 / log2(rank + 1), and the score is the mean, no logarithm. We
    differ: all of a view's beams count, not only the first 10, so that a longer list begins with the shorter one.
    """
    num_views = np.bincount(request_of_view, minlength=num_requests)
    is_item = beams.item_rows >= 0
    requests = np.broadcast_to(np.asarray(request_of_view)[:, None], is_item.shape)[is_item]
    item_rows, scores = beams.item_rows[is_item], beams.scores[is_item].astype(np.float64)
    by_item = np.lexsort((item_rows, requests))
    if fusion is ViewFusion.RANK:
        discounts = 1.0 / np.log2(np.arange(is_item.shape[1]) + 2.0)
        scores = np.broadcast_to(discounts, is_item.shape)[is_item]
    requests, item_rows, scores = requests[by_item], item_rows[by_item], scores[by_item]
    is_first = np.ones(len(requests), dtype=np.bool_)
    is_first[1:] = (requests[1:] != requests[:-1]) | (item_rows[1:] != item_rows[:-1])
    firsts = np.flatnonzero(is_first)
    if not len(firsts):
        return [(np.zeros(0, dtype=np.int64), np.zeros(0))] * num_requests
    requests, item_rows = requests[firsts], item_rows[firsts]
    if fusion is ViewFusion.RANK:
        fused = np.add.reduceat(scores, firsts) / num_views[requests]
    else:
        fused = np.logaddexp.reduceat(scores, firsts) - np.log(num_views[requests])
    best_first = np.lexsort((item_rows, -fused, requests))
    ends = np.searchsorted(requests[best_first], np.arange(num_requests + 1))
    return [
        (item_rows[best_first[begin:end]], fused[best_first[begin:end]])
        for begin, end in itertools.pairwise(ends.tolist())
    ]
