"""Cut a longer generated list down to what was asked for: by chance, by diversity, or as it stands.

Knows recommendations and what is wanted of them; knows nothing of how they came about. Start at `reranked`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64

from clairo_core.recommendation import CATALOGUE_EXHAUSTED, POPULAR, Recommendation, RecommendationList
from clairo_core.selection.diversity import explored, rank_diverse

FILTER_EXHAUSTED = "filter_exhausted"
POOL_ITEMS = 50
"""Among so many, at least, another order is looked for: as many as are generated without more effort."""

Similarities = Callable[[Sequence[str]], Float64[np.ndarray, "item item"]]


@dataclass(frozen=True, slots=True)
class Reranking:
    """How a list is to be drawn from a longer one; not at all if both are 0."""

    diversity: float = 0.0
    temperature: float = 0.0
    seed: int = 0

    @property
    def is_needed(self) -> bool:
        """Whether the order may change."""
        return self.diversity > 0 or self.temperature > 0

    def pool_size(self, limit: int) -> int:
        """How many items to generate so that `limit` can be chosen among them."""
        return max(POOL_ITEMS, 2 * limit) if self.is_needed else limit


def reranked(
    pool: RecommendationList, limit: int, reranking: Reranking, similarities: Similarities
) -> RecommendationList:
    """The `limit` items to recommend, ranked; scores stay those of the model.

    What was generated and what merely fills the list up are ranked apart, the former first: their scores do not
    compare.
    """
    if not reranking.is_needed:
        return pool
    generated = [item for item in pool.items if item.source != POPULAR]
    popular = [item for item in pool.items if item.source == POPULAR]
    chosen: list[Recommendation] = []
    for items in (generated, popular):
        chosen += _chosen_among(items, limit - len(chosen), reranking, similarities)
    ranked = tuple(replace(item, rank=rank) for rank, item in enumerate(chosen, 1))
    # The pool may fall short of its own size while the list that was asked for does not.
    is_short = len(ranked) < limit
    reason = None if pool.fallback_reason == CATALOGUE_EXHAUSTED and not is_short else pool.fallback_reason
    return RecommendationList(ranked, reason)


def with_reason_for_filter(answer: RecommendationList, limit: int) -> RecommendationList:
    """The same list; if it is short, because no more items pass the filter."""
    return replace(answer, fallback_reason=FILTER_EXHAUSTED) if len(answer.items) < limit else answer


def _chosen_among(
    items: Sequence[Recommendation], count: int, reranking: Reranking, similarities: Similarities
) -> list[Recommendation]:
    if count < 1 or not items:
        return []
    scores = explored(np.array([item.score for item in items]), reranking.temperature, reranking.seed)
    if reranking.diversity == 0:
        places = np.argsort(-scores, kind="stable")[:count]
    else:
        places = rank_diverse(scores, similarities([item.item_id for item in items]), count, reranking.diversity)
    return [items[place] for place in places.tolist()]
