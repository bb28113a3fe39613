"""The request form inside the service, made once from the JSON of POST /recommend and its placement."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from clairo_core.items import UserHistory
from clairo_core.selection.item_filters import ItemFilter
from clairo_core.serving_points import BALANCED, Quality

Strangers: TypeAlias = Literal["popular", "trending", "latest"]
"""What a history without known items is answered with."""
POPULAR_FOR_STRANGERS: Strangers = "popular"


@dataclass(frozen=True, slots=True)
class Boost:
    """Items that pass the filter rise, or sink if `log_factor` is negative."""

    name: str
    item_filter: ItemFilter
    log_factor: float
    """Added to the log-probability."""


@dataclass(frozen=True, slots=True)
class Group:
    """A page lists at most `limit` items per value of an attribute; items without the attribute are not limited."""

    name: str
    attribute: str
    limit: int


@dataclass(frozen=True, slots=True)
class Pin:
    """An item that stands at this rank, counted from 1 over all pages."""

    name: str
    item_id: str
    rank: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One request for recommendations."""

    history: UserHistory
    limit: int
    include_seen: bool = False
    exclude: tuple[str, ...] = ()
    disliked: tuple[str, ...] = ()
    """Never recommended, and items like them sink."""
    item_filter: ItemFilter | None = None
    candidates: tuple[str, ...] | None = None
    """Rank exactly these, without filter, exclusions and group."""
    boosts: tuple[Boost, ...] = ()
    group: Group | None = None
    pins: tuple[Pin, ...] = ()
    """Of distinct items and ranks."""
    given: tuple[str, ...] = ()
    """Items of earlier pages, never listed again."""
    strangers: Strangers = POPULAR_FOR_STRANGERS
    diversity: float = 0.0
    explain: bool = False
    seed: int = 0
    quality: Quality = BALANCED
    placement: str | None = None
    """For metrics alone."""
