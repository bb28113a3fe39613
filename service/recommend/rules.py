"""Merchandising rules of a request: boosts, pins and a group, applied to the items of this moment.

Rules act in this order: filter, boosts, group, diversity, pins. Boosts act on every item, inside the recommender; group
and pins act on finished lists, in `reranking`. Start at `rules_of_moment`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from jaxtyping import Bool, Float64

from clairo_core.catalogue import Catalogue
from clairo_core.recommender import Recommender
from service.recommend.item_table import ItemTable
from service.recommend.wanted import POPULAR_FOR_STRANGERS, Boost, Pin, Strangers, Wanted


class StrangerWeights(Protocol):
    """What ranks items for strangers other than popularity."""

    async def weights(self, strangers: Strangers) -> Mapping[str, float]:
        """Weights above 0 by item id; other items follow, by popularity.

        Raises:
            StoreError: the store cannot be read.
        """


@dataclass(frozen=True, slots=True, eq=False)
class RulesOfMoment:
    """A request's rules, resolved against one catalogue."""

    is_allowed: Bool[np.ndarray, "item"] | None = None
    """Whether an item passes the filter; None without one."""
    boosted: tuple[tuple[Boost, Bool[np.ndarray, "item"]], ...] = ()
    """Each boost, and the items that pass its filter."""
    pins: tuple[Pin, ...] = ()
    """Those that stand, by rank; others are passed by."""
    stranger_weights: Float64[np.ndarray, "item"] | None = None
    weighed_item_ids: frozenset[str] = frozenset()
    """Those that `stranger_weights` rank; by it, the others follow by popularity."""
    unknown_item_ids: tuple[str, ...] = ()
    """Candidates that are not in the catalogue, or retired."""
    warnings: tuple[str, ...] = ()

    @property
    def lifts(self) -> Float64[np.ndarray, "item"] | None:
        """What the boosts add to each item's log-probability; None without boosts."""
        if not self.boosted:
            return None
        total: Float64[np.ndarray, "item"] = sum(
            (boost.log_factor * passes for boost, passes in self.boosted), np.zeros(len(self.boosted[0][1]))
        )
        return total

    def boosts_of(self, row: int) -> tuple[str, ...]:
        """Names of the boosts that moved the item in this row."""
        return tuple(boost.name for boost, passes in self.boosted if row < len(passes) and passes[row])


def rules_of_moment(
    wanted: Wanted, table: ItemTable, recommender: Recommender, stranger_weights: Mapping[str, float] | None
) -> tuple[Wanted, RulesOfMoment]:
    """Resolve a request's rules. Return the request with its known candidates, and a limit that they can fill.

    Call it between two awaits, with a table and a recommender of the same moment.

    Args:
        wanted: the request.
        table: for filters.
        recommender: its catalogue holds candidates and pins.
        stranger_weights: for `wanted.strangers`, by item id; None if popularity ranks.
    """
    catalogue = recommender.catalogue
    filters = [] if wanted.item_filter is None else [wanted.item_filter]
    filters += [boost.item_filter for boost in wanted.boosts]
    warnings = [warning for item_filter in filters for warning in table.warnings_of(item_filter)]
    is_allowed = None if wanted.item_filter is None else table.allowed_rows(wanted.item_filter)
    unknown: list[str] = []
    if wanted.candidates is not None:
        distinct = tuple(dict.fromkeys(wanted.candidates))
        unknown = [item_id for item_id in distinct if not _is_live(catalogue, item_id)]
        left_out = {*unknown, *wanted.given}
        candidates = tuple(item_id for item_id in distinct if item_id not in left_out)
        wanted = replace(wanted, candidates=candidates, limit=min(wanted.limit, len(candidates)))
    pins, passed_by = _pins_that_stand(wanted, is_allowed, catalogue)
    rules = RulesOfMoment(
        is_allowed=is_allowed,
        boosted=tuple((boost, table.allowed_rows(boost.item_filter)) for boost in wanted.boosts),
        pins=pins,
        stranger_weights=None if stranger_weights is None else _by_row(stranger_weights, recommender),
        weighed_item_ids=frozenset(stranger_weights or ()),
        unknown_item_ids=tuple(unknown),
        warnings=tuple(dict.fromkeys([*warnings, *passed_by])),
    )
    return wanted, rules


def is_for_strangers(wanted: Wanted, catalogue: Catalogue) -> bool:
    """Whether the answer is a list for strangers other than the popular one."""
    return wanted.strangers != POPULAR_FOR_STRANGERS and not len(catalogue.known_rows(wanted.history.item_ids))


def _by_row(weights: Mapping[str, float], recommender: Recommender) -> Float64[np.ndarray, "item"]:
    """Weights by catalogue row: those given, and below the lowest of them each other item's popularity."""
    popularity = np.zeros(len(recommender.catalogue))
    popularity[: len(recommender.popular.weights)] = recommender.popular.weights
    lowest = min(weights.values(), default=1.0)
    by_row: Float64[np.ndarray, "item"] = lowest * popularity / (popularity.max(initial=0.0) + 1)
    for item_id, weight in weights.items():
        row = recommender.catalogue.find_row(item_id)
        if row is not None:
            by_row[row] = weight
    return by_row


def _pins_that_stand(
    wanted: Wanted, is_allowed: Bool[np.ndarray, "item"] | None, catalogue: Catalogue
) -> tuple[tuple[Pin, ...], list[str]]:
    """Pins still to come, by rank, and a warning for each one that is passed by.

    A pin overrules the model, group and diversity, never what may be recommended at all.
    """
    left_out = {*wanted.exclude, *wanted.disliked, *(() if wanted.include_seen else wanted.history.item_ids)}
    standing, warnings = [], []
    for pin in sorted(wanted.pins, key=lambda pin: pin.rank):
        reason = None
        if pin.item_id in wanted.given or pin.rank <= len(wanted.given):
            # On an earlier page; an item that was passed by there is ranked like any other.
            continue
        if not _is_live(catalogue, pin.item_id):
            reason = "is retired or not in the catalogue"
        elif wanted.candidates is not None:
            reason = None if pin.item_id in wanted.candidates else "is not among the candidates"
        elif is_allowed is not None and not is_allowed[catalogue.row_of(pin.item_id)]:
            reason = "does not pass the filter"
        elif pin.item_id in left_out:
            reason = "is excluded, disliked, or seen by this user"
        if reason is None:
            standing.append(pin)
        else:
            warnings.append(f"{pin.name} is passed by: item {pin.item_id[:100]!r} {reason}")
    return tuple(standing), warnings


def _is_live(catalogue: Catalogue, item_id: str) -> bool:
    row = catalogue.find_row(item_id)
    return row is not None and not catalogue.is_retired[row]
