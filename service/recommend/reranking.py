"""Turn a longer ranked list into the requested one: exploration, then group, diversity and pins. Start at `ranked`.

Generated items are ranked first and apart from popular ones, which fill the list up: their scores do not compare.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from clairo_core.attributes import Single
from clairo_core.recommendation import CATALOGUE_EXHAUSTED, POPULAR, Recommendation, RecommendationList
from clairo_core.selection.diversity import explored, rank_diverse
from service.recommend.wanted import Group, Pin, Wanted

FILTER_EXHAUSTED = "filter_exhausted"
GROUP_EXHAUSTED = "group_exhausted"
POOL_ITEMS = 50
"""Least number of items to reorder: ranking them takes hardly longer than ranking ten."""

Similarities = Callable[[Sequence[str]], Float64[np.ndarray, "item item"]]


class Placed(NamedTuple):
    """An item, and the names of the rules that moved it so far."""

    item: Recommendation
    rules: tuple[str, ...]


class GroupCap:
    """Counts the items of each group, and passes over those of a full one."""

    def __init__(self, group: Group | None, values_of: Callable[[str], tuple[Single, ...]]) -> None:
        """`values_of` gives the groups of an item; without a `group`, none is passed over."""
        self._group = group
        self._values_of = values_of
        self._counts: Counter[Single] = Counter()
        self.num_passed_over = 0

    def count(self, item_ids: Iterable[str]) -> None:
        """Count items that stand whether their groups are full or not."""
        for item_id in item_ids:
            self._counts.update(set(self._values_of(item_id)))

    def kept(self, items: Sequence[Recommendation]) -> list[Placed]:
        """The items of groups that are not full yet, in order."""
        if self._group is None:
            return [Placed(item, ()) for item in items]
        kept = []
        for item in items:
            values = set(self._values_of(item.item_id))
            if any(self._counts[value] >= self._group.limit for value in values):
                self.num_passed_over += 1
                continue
            self._counts.update(values)
            kept.append(Placed(item, (self._group.name,) if self.num_passed_over else ()))
        return kept

    @property
    def full(self) -> tuple[Single, ...]:
        """The groups that take no more items."""
        return tuple(value for value, count in self._counts.items() if self._group and count >= self._group.limit)


def pool_size(wanted: Wanted, temperature: float) -> int:
    """How many items to rank so that `wanted.limit` can be chosen among them."""
    is_reordered = wanted.diversity > 0 or temperature > 0 or wanted.group is not None
    return max(POOL_ITEMS, 2 * wanted.limit) if is_reordered else wanted.limit


def ranked(
    pool: RecommendationList,
    pinned: Sequence[tuple[Pin, Recommendation]],
    wanted: Wanted,
    temperature: float,
    similarities: Similarities,
    cap: GroupCap,
) -> RecommendationList:
    """Choose and rank `wanted.limit` items; scores stay those of the recommender.

    Args:
        pool: ranked items, without pinned ones.
        pinned: pins still to come, by rank, and their items.
        wanted: the request.
        temperature: of exploration.
        similarities: of items.
        cap: of the request's group, without counts. Pinned items count, and stand although their group is full.
    """
    cap.count(item.item_id for pin, item in pinned if pin.rank <= len(wanted.given) + wanted.limit)
    chosen: list[Placed] = []
    for is_popular in (False, True):
        items = [item for item in pool.items if (item.source == POPULAR) == is_popular]
        scores = explored(np.array([item.score for item in items]), temperature, wanted.seed)
        kept = cap.kept([items[place] for place in np.argsort(-scores, kind="stable").tolist()])
        score_of = {item.item_id: score for item, score in zip(items, scores.tolist(), strict=True)}
        chosen += _diverse(kept, score_of, wanted, wanted.limit - len(chosen), similarities)
    placed = with_pins(chosen, pinned, len(wanted.given), wanted.limit)
    reason = pool.fallback_reason
    is_short = len(placed) < wanted.limit
    if is_short and cap.num_passed_over:
        reason = GROUP_EXHAUSTED
    elif is_short and wanted.item_filter is not None:
        reason = FILTER_EXHAUSTED
    elif not is_short and reason == CATALOGUE_EXHAUSTED:
        # The pool fell short of its own size, the requested list did not.
        reason = None
    return RecommendationList(
        tuple(
            replace(item, rank=rank, rules=rules) for rank, (item, rules) in enumerate(placed, len(wanted.given) + 1)
        ),
        reason,
    )


def with_pins(
    items: Sequence[Placed], pinned: Sequence[tuple[Pin, Recommendation]], num_given: int, limit: int
) -> list[Placed]:
    """Place each pin at its rank, and the other items around the pins, in order, up to `limit`.

    Where the items run out before a pin's rank, the pins left follow by rank.

    Args:
        items: without those that are pinned.
        pinned: by rank, all above `num_given`.
        num_given: items of earlier pages.
        limit: of this page.
    """
    others, pins = list(reversed(items)), list(reversed(pinned))
    placed: list[Placed] = []
    while len(placed) < limit and (others or pins):
        rank = num_given + len(placed) + 1
        if pins and (not others or pins[-1][0].rank <= rank):
            pin, item = pins.pop()
            placed.append(Placed(item, (pin.name,)))
        else:
            placed.append(others.pop())
    return placed


def _diverse(
    items: Sequence[Placed],
    score_of: Mapping[str, float],
    wanted: Wanted,
    count: int,
    similarities: Similarities,
) -> list[Placed]:
    if count < 1 or not items:
        return []
    if wanted.diversity == 0:
        return list(items[:count])
    item_ids = [placed.item.item_id for placed in items]
    scores = np.array([score_of[item_id] for item_id in item_ids])
    return [items[place] for place in rank_diverse(scores, similarities(item_ids), count, wanted.diversity).tolist()]
