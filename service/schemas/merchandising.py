"""JSON of merchandising rules, in POST /recommend and in placements."""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field, StringConstraints

from clairo_core.attributes import AttributeType
from service.recommend.wanted import Boost, Group, Pin
from service.schemas.filter_types import check_filter
from service.schemas.filters import BoundedFilterBody
from service.schemas.items import ItemId
from service.schemas.request_body import FieldName, RequestBody

MAX_RECOMMENDATIONS = 100
DEFAULT_LIMIT = 10
MAX_BOOSTS = 20
MAX_PINS = 20
MAX_FACTOR = 1_000_000.0
MAX_PIN_RANK = 1000
MAX_GROUP_ITEMS = 100

RuleName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
PLACEMENT_NAME_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,62}$"
PlacementName = Annotated[str, StringConstraints(pattern=PLACEMENT_NAME_PATTERN)]
ItemField: TypeAlias = Literal["title", "attributes", "picture_url"]
RULE_NAME = "Shown in `rules` of each item that the rule moved."


class BoostBody(RequestBody):
    """Items that pass the filter become `factor` times as probable, or as improbable under `bury`."""

    name: RuleName | None = Field(default=None, description=f"{RULE_NAME} By default `boost-1`, `bury-2`, ...")
    filter: BoundedFilterBody
    factor: float = Field(ge=1, le=MAX_FACTOR, description="The score gains, or under `bury` loses, its logarithm.")


class GroupBody(RequestBody):
    """At most `limit` items of each value of an attribute, on each page."""

    name: RuleName | None = Field(default=None, description=f"{RULE_NAME} By default `group`.")
    attribute: FieldName = Field(description="Such as the brand. Items without it are not limited.")
    limit: int = Field(ge=1, le=MAX_GROUP_ITEMS, description="Items per value.")


class PinBody(RequestBody):
    """An item that stands at a rank, whatever its score."""

    name: RuleName | None = Field(default=None, description=f"{RULE_NAME} By default `pin-1`, `pin-2`, ...")
    item_id: ItemId
    rank: int = Field(ge=1, le=MAX_PIN_RANK, description="Counted from 1 over all pages.")


def check_pins(pins: list[PinBody]) -> list[PinBody]:
    """Refuse two pins of one item or one rank.

    Raises:
        ValueError: there are two.
    """
    for what, values in (("rank", [str(pin.rank) for pin in pins]), ("item_id", [pin.item_id for pin in pins])):
        if repeated := sorted(value for value in set(values) if values.count(value) > 1):
            raise ValueError(f"several pins have {what} {repeated[0]}; pin each item and each rank once")
    return pins


class RulesBody(RequestBody):
    """Rules of a request or a placement."""

    limit: int | None = Field(
        default=None,
        ge=1,
        le=MAX_RECOMMENDATIONS,
        description=f"Number of distinct items; by default the placement's, else {DEFAULT_LIMIT}, or all `candidates`.",
    )
    filter: BoundedFilterBody | None = Field(default=None, description="Recommend only items that pass.")
    boost: list[BoostBody] = Field(default=[], max_length=MAX_BOOSTS, description="Items that rise, and how far.")
    bury: list[BoostBody] = Field(default=[], max_length=MAX_BOOSTS, description="Items that sink, and how far.")
    group: GroupBody | None = Field(default=None, description="Limits the items of one brand or category.")
    pin: Annotated[list[PinBody], AfterValidator(check_pins)] = Field(
        default=[],
        max_length=MAX_PINS,
        description="Items at fixed ranks. One that may not be recommended (retired, filtered out, excluded, disliked, "
        "or seen without `include_seen`) is passed by with a warning.",
    )
    fields: list[ItemField] | None = Field(
        default=None,
        max_length=3,
        description="What to show of each item; by default the placement's, else nothing.",
    )

    def check_filters(self, declared: Mapping[str, AttributeType]) -> None:
        """Check every filter against declared types of attributes.

        Raises:
            InvalidBodyError: one cannot fit.
        """
        for sent in (self.filter, *(body.filter for body in (*self.boost, *self.bury))):
            if sent is not None:
                check_filter(sent.item_filter(), declared)


def boosts_of(boost: Sequence[BoostBody], bury: Sequence[BoostBody], prefix: str = "") -> tuple[Boost, ...]:
    """Boosts and buries as rules. The prefix goes before the names of rules that have none of their own."""
    return tuple(
        Boost(body.name or f"{prefix}{kind}-{place}", body.filter.item_filter(), sign * math.log(body.factor))
        for kind, sign, bodies in (("boost", 1, boost), ("bury", -1, bury))
        for place, body in enumerate(bodies, 1)
    )


def pins_of(bodies: Sequence[PinBody], prefix: str = "") -> tuple[Pin, ...]:
    """Pins as rules; see `boosts_of`."""
    return tuple(
        Pin(body.name or f"{prefix}pin-{place}", body.item_id, body.rank) for place, body in enumerate(bodies, 1)
    )


def group_of(body: GroupBody | None, prefix: str = "") -> Group | None:
    """The group as a rule; see `boosts_of`."""
    return None if body is None else Group(body.name or f"{prefix}group", body.attribute, body.limit)
