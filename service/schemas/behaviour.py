"""JSON of lists by behaviour: popular, trending and latest items, bought together, buy again."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field, WithJsonSchema

from service.schemas.filters import BoundedFilterBody
from service.schemas.items import ItemId, ItemSummary
from service.schemas.merchandising import MAX_RECOMMENDATIONS
from service.schemas.recommend import FILTER_WARNINGS
from service.schemas.request_body import RequestBody

MAX_GIVEN_ITEMS = 100
SECONDS_OF = {"h": 3600.0, "d": 86_400.0}
WINDOW_PATTERN = "^[1-9][0-9]{0,2}[hd]$"


def check_window(text: str) -> str:
    """Refuse a window that is not a number of hours or days.

    Raises:
        ValueError: it is not.
    """
    if not re.fullmatch(WINDOW_PATTERN, text):
        raise ValueError(f"got {text[:20]!r}, expected hours or days, 1 to 999 of them, such as 24h or 7d")
    return text


def seconds_of_window(text: str) -> float:
    """Length of a window.

    >>> seconds_of_window("7d")
    604800.0
    """
    return int(text[:-1]) * SECONDS_OF[text[-1]]


Window = Annotated[str, AfterValidator(check_window), WithJsonSchema({"type": "string", "pattern": WINDOW_PATTERN})]


class ItemList(BaseModel):
    """What every list says of itself."""

    bundle_id: str
    catalogue_version: int
    warnings: list[str] = Field(default=[], description=FILTER_WARNINGS)


class PopularItem(BaseModel):
    """A popular item."""

    item: ItemSummary
    rank: int = Field(description="1 is most popular.")
    num_users: int = Field(description="Users with a positive event on it within the window.")


class PopularItemList(ItemList):
    """Items of a window by users, then others by popularity over all time."""

    window: str
    items: list[PopularItem]


class TrendingItem(BaseModel):
    """An item with more users than in the window before."""

    item: ItemSummary
    rank: int = Field(description="1 rises most.")
    num_users: int = Field(description="Users with a positive event on it within the window.")
    num_users_before: int = Field(description="The same within the window before.")


class TrendingItemList(ItemList):
    """Items that rise; fewer than `limit` where few do."""

    window: str
    items: list[TrendingItem]


class LatestItem(BaseModel):
    """A posted item."""

    item: ItemSummary
    rank: int = Field(description="1 is newest.")
    posted_at: float = Field(description="Seconds since 1970.")


class LatestItemList(ItemList):
    """Items posted within a window, newest first."""

    window: str
    items: list[LatestItem]


class ComplementsBody(RequestBody):
    """Items, such as those of a cart."""

    item_ids: list[ItemId] = Field(min_length=1, max_length=MAX_GIVEN_ITEMS, description="Items that others go with.")
    limit: int = Field(default=10, ge=1, le=MAX_RECOMMENDATIONS, description="Maximum number of items.")
    filter: BoundedFilterBody | None = Field(default=None, description="List only items that pass.")


class ComplementItem(BaseModel):
    """An item that goes with the given ones."""

    item: ItemSummary
    rank: int = Field(description="1 is best.")
    source: Literal["behaviour", "content"] = Field(
        description="`behaviour` where users have both; `content`, similar in picture and words, fills the list."
    )
    support: float = Field(description="Users who have both, by weight of their events; 0 for `content`.")
    lift: float | None = Field(
        description="How much more often users have both than by chance, 5 users added to both sides; null for "
        "`content`."
    )


class BoughtTogetherList(ItemList):
    """What goes with an item."""

    item_id: str
    items: list[ComplementItem]


class ComplementList(ItemList):
    """What goes with several items."""

    ignored_item_ids: list[str] = Field(description="Given items missing from the catalogue.")
    items: list[ComplementItem]


class DueItem(BaseModel):
    """An item that the user is due to buy again."""

    item: ItemSummary
    rank: int = Field(description="1 became due last.")
    last_bought_at: float = Field(description="By this user, in seconds since 1970.")
    due_at: float = Field(description="`last_bought_at` and one interval, in seconds since 1970.")
    interval_days: float = Field(description="Median between two purchases of it by one user.")
    num_intervals: int = Field(description="Intervals that the median is of.")


class DueItemList(ItemList):
    """Items that a user is due to buy again."""

    user_id: str
    items: list[DueItem]
