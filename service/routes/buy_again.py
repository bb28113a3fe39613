"""GET /users/{user_id}/buy-again: items that a user is due to buy again."""

import time
from typing import Annotated

from fastapi import APIRouter, Query

from service.counts.buy_again import due_items
from service.http.openapi import problem_answers
from service.routes.items import item_summary
from service.routes.parts import ReadyParts
from service.routes.query_filter import FilterInQuery, allowed_items, parsed_filter
from service.routes.users import USER_PATH, UserIdInPath
from service.schemas.behaviour import SECONDS_OF, DueItem, DueItemList
from service.schemas.merchandising import MAX_RECOMMENDATIONS
from service.schemas.request_body import QueryInteger

router = APIRouter(tags=["users"])


@router.get(
    f"{USER_PATH}/buy-again",
    operation_id="list_items_to_buy_again",
    summary="List items to buy again",
    responses=problem_answers(422, 503),
)
async def list_items_to_buy_again(
    user_id: UserIdInPath,
    parts: ReadyParts,
    limit: Annotated[QueryInteger, Query(ge=1, le=MAX_RECOMMENDATIONS, description="Maximum number of items.")] = 10,
    item_filter: FilterInQuery = None,
) -> DueItemList:
    """List items that the user bought at least one interval ago, those that just became due first.

    An item's interval is the median between two purchases of it by one user, in feedback, and known from three of
    them on. Purchases are the bundle's targets; where it has none, events of type `purchase`. Disliked and retired
    items are left out. Empty for an unknown user.
    """
    wanted = parsed_filter(item_filter)
    due = await due_items(user_id, parts.served.live, parts.behaviour, parts.feedback, time.time())
    allowed = await allowed_items(parts, wanted)
    rows = [(item, allowed.catalogue.find_row(item.item_id)) for item in due]
    listed = [(item, row) for item, row in rows if row is not None and allowed.is_allowed[row]][:limit]
    return DueItemList(
        **allowed.described(),
        user_id=user_id,
        items=[
            DueItem(
                item=item_summary(allowed.table.items[row]),
                rank=rank,
                last_bought_at=item.last_bought_at,
                due_at=item.last_bought_at + item.interval_seconds,
                interval_days=round(item.interval_seconds / SECONDS_OF["d"], 2),
                num_intervals=item.num_intervals,
            )
            for rank, (item, row) in enumerate(listed, 1)
        ],
    )
