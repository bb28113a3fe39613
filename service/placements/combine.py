"""Combine a request with its placement. Start at `combined`.

A request adds to its placement: both filters must pass, boosts and buries of both act, and pins of both stand, the
request's own where two meet. Its own `group`, `fields` and `limit` replace the placement's. `candidates` come back
complete: then the placement's filter and group do not apply.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from clairo_core.selection.item_filters import AllOf, ItemFilter
from service.recommend.wanted import Boost, Group, Pin, Strangers
from service.schemas.merchandising import DEFAULT_LIMIT, ItemField, boosts_of, group_of, pins_of
from service.schemas.placements import PlacementBody
from service.schemas.recommend import MAX_CANDIDATES, RecommendBody


@dataclass(frozen=True, slots=True)
class Placement:
    """A placement that is saved, or tried."""

    name: str
    rules: PlacementBody


@dataclass(frozen=True, slots=True)
class Combined:
    """Rules, fields and limit of one request under its placement."""

    item_filter: ItemFilter | None
    boosts: tuple[Boost, ...]
    group: Group | None
    pins: tuple[Pin, ...]
    fields: Sequence[ItemField]
    limit: int
    strangers: Strangers


def combined(body: RecommendBody, placement: Placement | None) -> Combined:
    """Combine a request with its placement; without one it stands alone."""
    prefix, rules = ("", PlacementBody()) if placement is None else (f"{placement.name}.", placement.rules)
    is_complete = body.candidates is not None
    filters = [sent.item_filter() for sent in (None if is_complete else rules.filter, body.filter) if sent is not None]
    own_pins = pins_of(body.pin)
    taken = {pin.item_id for pin in own_pins} | {pin.rank for pin in own_pins}
    return Combined(
        item_filter=AllOf(tuple(filters)) if filters else None,
        boosts=boosts_of(rules.boost, rules.bury, prefix) + boosts_of(body.boost, body.bury),
        group=None if is_complete else group_of(body.group) or group_of(rules.group, prefix),
        pins=own_pins + tuple(pin for pin in pins_of(rules.pin, prefix) if not {pin.item_id, pin.rank} & taken),
        fields=(rules.fields or []) if body.fields is None else body.fields,
        limit=body.limit or (MAX_CANDIDATES if is_complete else rules.limit or DEFAULT_LIMIT),
        strangers=rules.strangers,
    )
