"""Merge the beams of a request's views into one ranking of items by mean probability."""

import itertools

import numpy as np
from jaxtyping import Float64, Int, Int64

from clairo_core.generation.search.beam_search import Beams


def fuse_views(
    beams: Beams, request_of_view: Int[np.ndarray, "view"], num_requests: int
) -> list[tuple[Int64[np.ndarray, "item"], Float64[np.ndarray, "item"]]]:
    """Return each request's item rows, best first, and their scores; ties are in the order of item rows.

    A score is the logarithm of the item's probability averaged over the request's views; a view whose beams lack the
    item contributes probability 0.

    The released code of Hou et al. 2025, "ActionPiece" (its model's `generate`), averages nDCG discounts of ranks. We
    differ: probabilities can be ranked jointly with those of other models.
    """
    num_views = np.bincount(request_of_view, minlength=num_requests)
    is_item = beams.item_rows >= 0
    requests = np.broadcast_to(np.asarray(request_of_view)[:, None], is_item.shape)[is_item]
    item_rows, scores = beams.item_rows[is_item], beams.scores[is_item].astype(np.float64)
    by_item = np.lexsort((item_rows, requests))
    requests, item_rows, scores = requests[by_item], item_rows[by_item], scores[by_item]
    is_first = np.ones(len(requests), dtype=np.bool_)
    is_first[1:] = (requests[1:] != requests[:-1]) | (item_rows[1:] != item_rows[:-1])
    firsts = np.flatnonzero(is_first)
    if not len(firsts):
        return [(np.zeros(0, dtype=np.int64), np.zeros(0))] * num_requests
    requests, item_rows = requests[firsts], item_rows[firsts]
    fused = np.logaddexp.reduceat(scores, firsts) - np.log(num_views[requests])
    best_first = np.lexsort((item_rows, -fused, requests))
    ends = np.searchsorted(requests[best_first], np.arange(num_requests + 1))
    return [
        (item_rows[best_first[begin:end]], fused[best_first[begin:end]])
        for begin, end in itertools.pairwise(ends.tolist())
    ]
