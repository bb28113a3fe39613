"""Calls that list items by what users did."""

import json
from collections.abc import Sequence
from typing import Any

from clairo_client.answers import (
    BoughtTogetherList,
    ComplementList,
    DueItemList,
    LatestItemList,
    PopularItemList,
    TrendingItemList,
)
from clairo_client.calls.call import Call, as_model, given, quoted
from clairo_client.calls.recommendations import ItemFilter


def list_popular_items(
    *, window: str = "7d", limit: int = 10, filter: ItemFilter | None = None
) -> Call[PopularItemList]:
    """List the items with most users within a window, such as `24h` or `7d`; `filter` as in `recommend`."""
    return Call("GET", "/popular", as_model(PopularItemList), query=_query(limit, filter, window))


def list_trending_items(
    *, window: str = "7d", limit: int = 10, filter: ItemFilter | None = None
) -> Call[TrendingItemList]:
    """List the items that have more users within a window than in the one before."""
    return Call("GET", "/trending", as_model(TrendingItemList), query=_query(limit, filter, window))


def list_latest_items(*, window: str = "7d", limit: int = 10, filter: ItemFilter | None = None) -> Call[LatestItemList]:
    """List the items that were posted within a window, newest first."""
    return Call("GET", "/latest", as_model(LatestItemList), query=_query(limit, filter, window))


def list_items_bought_together(
    item_id: str, *, limit: int = 10, filter: ItemFilter | None = None
) -> Call[BoughtTogetherList]:
    """List what users have together with an item more often than by chance."""
    path = f"/items/{quoted(item_id)}/bought-together"
    return Call("GET", path, as_model(BoughtTogetherList), query=_query(limit, filter))


def list_complements(
    item_ids: Sequence[str], *, limit: int = 10, filter: ItemFilter | None = None
) -> Call[ComplementList]:
    """List what users have together with the items of a cart more often than by chance."""
    # The service refuses a lone id; its letters would be a cart of unknown items.
    listed = item_ids if isinstance(item_ids, str) else list(item_ids)
    body = given(item_ids=listed, limit=limit, filter=filter)
    return Call("POST", "/complements", as_model(ComplementList), body=body)


def list_items_to_buy_again(user_id: str, *, limit: int = 10, filter: ItemFilter | None = None) -> Call[DueItemList]:
    """List the items that a user is due to buy again."""
    path = f"/users/{quoted(user_id)}/buy-again"
    return Call("GET", path, as_model(DueItemList), query=_query(limit, filter))


def _query(limit: int, filter: ItemFilter | None, window: str | None = None) -> dict[str, Any]:
    return given(limit=limit, filter=None if filter is None else json.dumps(filter), window=window)
