"""Cut a longer generated list down to the requested length: by exploration, by diversity, or unchanged.

Start at `ranked`.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float64

from clairo_core.recommendation import CATALOGUE_EXHAUSTED, POPULAR, Recommendation, RecommendationList
from clairo_core.selection.diversity import explored, rank_diverse
from service.recommend.wanted import Wanted

FILTER_EXHAUSTED = "filter_exhausted"
POOL_ITEMS = 50
"""Least number of items to reorder: ranking them takes hardly longer than ranking ten."""

Similarities = Callable[[Sequence[str]], Float64[np.ndarray, "item item"]]


def pool_size(wanted: Wanted, temperature: float) -> int:
    """How many items to generate so that `wanted.limit` can be chosen among them."""
    return max(POOL_ITEMS, 2 * wanted.limit) if _is_reordered(wanted, temperature) else wanted.limit


def ranked(
    pool: RecommendationList, wanted: Wanted, temperature: float, similarities: Similarities
) -> RecommendationList:
    """Choose and rank `wanted.limit` items of the pool; scores stay those of the model.

    Generated items are ranked first and apart from popular ones, which fill the list up: their scores do not compare.
    """
    items, reason = pool.items, pool.fallback_reason
    if _is_reordered(wanted, temperature):
        generated = [item for item in pool.items if item.source != POPULAR]
        popular = [item for item in pool.items if item.source == POPULAR]
        chosen: list[Recommendation] = []
        for candidates in (generated, popular):
            chosen += _chosen(candidates, wanted.limit - len(chosen), wanted, temperature, similarities)
        items = tuple(replace(item, rank=rank) for rank, item in enumerate(chosen, 1))
    is_short = len(items) < wanted.limit
    if is_short and wanted.item_filter is not None:
        reason = FILTER_EXHAUSTED
    elif not is_short and reason == CATALOGUE_EXHAUSTED:
        # The pool fell short of its own size, the requested list did not.
        reason = None
    return RecommendationList(items, reason)


def _is_reordered(wanted: Wanted, temperature: float) -> bool:
    return wanted.diversity > 0 or temperature > 0


def _chosen(
    items: Sequence[Recommendation], count: int, wanted: Wanted, temperature: float, similarities: Similarities
) -> list[Recommendation]:
    if count < 1 or not items:
        return []
    scores = explored(np.array([item.score for item in items]), temperature, wanted.seed)
    if wanted.diversity == 0:
        places = np.argsort(-scores, kind="stable")[:count]
    else:
        places = rank_diverse(scores, similarities([item.item_id for item in items]), count, wanted.diversity)
    return [items[place] for place in places.tolist()]
