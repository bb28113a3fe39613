"""GET /popular, /trending and /latest: lists of items by what all users did of late."""

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.openapi.models import Example

from service.counts.windows import latest_rows, popular_rows, trending_rows
from service.http.openapi import problem_answers
from service.routes.items import item_summary
from service.routes.parts import ReadyParts
from service.routes.query_filter import FilterInQuery, allowed_items, parsed_filter
from service.schemas.behaviour import (
    LatestItem,
    LatestItemList,
    PopularItem,
    PopularItemList,
    TrendingItem,
    TrendingItemList,
    Window,
    seconds_of_window,
)
from service.schemas.merchandising import MAX_RECOMMENDATIONS
from service.schemas.request_body import QueryInteger

router = APIRouter(tags=["recommendations"])

WindowInQuery = Annotated[
    Window,
    Query(
        description="Hours or days before now.",
        openapi_examples={"a week": Example(value="7d"), "a day": Example(value="24h")},
    ),
]
Limit = Annotated[QueryInteger, Query(ge=1, le=MAX_RECOMMENDATIONS, description="Maximum number of items.")]


@router.get(
    "/popular", operation_id="list_popular_items", summary="List popular items", responses=problem_answers(422, 503)
)
async def list_popular_items(
    parts: ReadyParts, window: WindowInQuery = "7d", limit: Limit = 10, item_filter: FilterInQuery = None
) -> PopularItemList:
    """List the items with most users in feedback within the window, then others by popularity over all time.

    Users are counted, not events: each by the weight of his heaviest positive event, by the bundle's rules.
    """
    wanted = parsed_filter(item_filter)
    users = await parts.served.windows.users(seconds_of_window(window))
    allowed = await allowed_items(parts, wanted)
    found = popular_rows(users, parts.served.live.recommender, allowed.is_allowed, limit)
    return PopularItemList(
        **allowed.described(),
        window=window,
        items=[
            PopularItem(item=item_summary(allowed.table.items[row]), rank=rank, num_users=num_users)
            for rank, (row, num_users) in enumerate(zip(found.rows.tolist(), found.num_users.tolist(), strict=True), 1)
        ],
    )


@router.get(
    "/trending", operation_id="list_trending_items", summary="List trending items", responses=problem_answers(422, 503)
)
async def list_trending_items(
    parts: ReadyParts, window: WindowInQuery = "7d", limit: Limit = 10, item_filter: FilterInQuery = None
) -> TrendingItemList:
    """List the items with more users within the window than in the one before, those that rise most first.

    A rise counts in standard deviations by chance: from 2 to 10 users is more than from 102 to 110.
    """
    wanted, seconds = parsed_filter(item_filter), seconds_of_window(window)
    users, users_before = await parts.served.windows.users(seconds), await parts.served.windows.users(seconds, 1)
    allowed = await allowed_items(parts, wanted)
    found = trending_rows(users, users_before, allowed.catalogue, allowed.is_allowed, limit)
    counts = zip(found.rows.tolist(), found.num_users.tolist(), found.num_users_before.tolist(), strict=True)
    return TrendingItemList(
        **allowed.described(),
        window=window,
        items=[
            TrendingItem(item=item_summary(allowed.table.items[row]), rank=rank, num_users=now, num_users_before=before)
            for rank, (row, now, before) in enumerate(counts, 1)
        ],
    )


@router.get(
    "/latest", operation_id="list_latest_items", summary="List the latest items", responses=problem_answers(422, 503)
)
async def list_latest_items(
    parts: ReadyParts, window: WindowInQuery = "7d", limit: Limit = 10, item_filter: FilterInQuery = None
) -> LatestItemList:
    """List the items that were posted within the window, newest first."""
    wanted = parsed_filter(item_filter)
    posted = await parts.served.windows.posted(seconds_of_window(window))
    allowed = await allowed_items(parts, wanted)
    found = latest_rows(posted, allowed.catalogue, allowed.is_allowed, limit)
    return LatestItemList(
        **allowed.described(),
        window=window,
        items=[
            LatestItem(item=item_summary(allowed.table.items[row]), rank=rank, posted_at=posted_at)
            for rank, (row, posted_at) in enumerate(zip(found.rows.tolist(), found.posted_at.tolist(), strict=True), 1)
        ],
    )
