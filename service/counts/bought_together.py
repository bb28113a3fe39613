"""List what is bought together with some items, and similar items where behaviour has nothing to say.

Start at `complements`.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Int64

from clairo_core.ranking.lift import lifts
from clairo_core.selection.similar_items import EmbeddingTable
from service.counts.live_counts import PairCounts

MIN_SUPPORT = 2.0
"""What one user has together is chance, and his own affair."""


@dataclass(frozen=True, slots=True)
class Complement:
    """An item that goes with the given ones."""

    row: int
    source: Literal["behaviour", "content"]
    support: float
    """Users who have it and one of the given items, by weight; summed over the given items."""
    lift: float | None
    """How much more often than by chance; None for content."""


def complements(
    pairs: PairCounts,
    vectors: EmbeddingTable | None,
    item_rows: Int64[np.ndarray, "given"],
    is_allowed: Bool[np.ndarray, "item"],
    limit: int,
) -> list[Complement]:
    """List up to `limit` allowed items: by lift, highest first, then those most similar to any of the given items.

    Args:
        pairs: counts of the served bundle.
        vectors: item embeddings; None leaves behaviour alone.
        item_rows: given items, each once. They are not listed.
        is_allowed: of all items.
        limit: length of the list.
    """
    may_be_listed = is_allowed.copy()
    may_be_listed[item_rows] = False
    found = lifts(pairs.together, pairs.interactions, item_rows)
    num_counted = min(len(found.lift), len(is_allowed))
    support, lift = found.support[:num_counted], found.lift[:num_counted]
    by_behaviour = np.flatnonzero(may_be_listed[:num_counted] & (support >= MIN_SUPPORT) & (lift > 1))
    best = by_behaviour[np.lexsort((by_behaviour, -support[by_behaviour], -lift[by_behaviour]))][:limit]
    listed = [Complement(row, "behaviour", float(support[row]), float(lift[row])) for row in best.tolist()]
    if vectors is not None and len(listed) < limit and len(item_rows):
        may_be_listed[best] = False
        similarities = np.max([vectors.cosines_with(row) for row in item_rows.tolist()], axis=0)
        similarities = similarities[: len(is_allowed)]
        others = np.flatnonzero(may_be_listed[: len(similarities)] & (similarities > 0))
        nearest = others[np.lexsort((others, -similarities[others]))][: limit - len(listed)]
        listed += [Complement(row, "content", 0.0, None) for row in nearest.tolist()]
    return listed
