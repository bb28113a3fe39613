"""GET /items/{item_id}/bought-together and POST /complements: what users have together."""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Query

from service.counts.bought_together import complements
from service.http.body_route import BodyRoute
from service.http.openapi import problem_answers
from service.routes.items import ITEM_PATH, ItemIdInPath, item_summary
from service.routes.parts import Parts, ReadyParts
from service.routes.query_filter import AllowedItems, FilterInQuery, allowed_items, parsed_filter
from service.schemas.behaviour import BoughtTogetherList, ComplementItem, ComplementList, ComplementsBody
from service.schemas.merchandising import MAX_RECOMMENDATIONS
from service.schemas.request_body import QueryInteger

router = APIRouter(tags=["recommendations"], route_class=BodyRoute)

EXAMPLES = {"a cart": {"value": {"item_ids": ["mug-12", "mug-7"], "limit": 5}}}


@router.get(
    f"{ITEM_PATH}/bought-together",
    operation_id="list_items_bought_together",
    summary="List items bought together with one",
    responses=problem_answers(404, 422, 503),
)
async def list_items_bought_together(
    item_id: ItemIdInPath,
    parts: ReadyParts,
    limit: Annotated[QueryInteger, Query(ge=1, le=MAX_RECOMMENDATIONS, description="Maximum number of items.")] = 10,
    item_filter: FilterInQuery = None,
) -> BoughtTogetherList:
    """List what users have together with the item more often than by chance, so never simply what is popular.

    Training's counts and the feedback since decide. Where they have too little to say, items similar in picture and
    words follow, with `source` `content`. Retired items are not listed, but may be the item in the path.
    """
    allowed = await allowed_items(parts, parsed_filter(item_filter))
    row = parts.served.live.row_of(item_id)
    items = _listed(parts, allowed, [row], limit)
    return BoughtTogetherList(**allowed.described(), item_id=item_id, items=items)


@router.post(
    "/complements",
    operation_id="list_complements",
    summary="List items that complete a cart",
    responses=problem_answers(400, 413, 422, 503),
    openapi_extra={"requestBody": {"content": {"application/json": {"examples": EXAMPLES}}}},
)
async def list_complements(body: ComplementsBody, parts: ReadyParts) -> ComplementList:
    """List what users have together with the given items more often than by chance, none of them among it.

    As GET /items/{item_id}/bought-together, for several items at once. Items missing from the catalogue are ignored
    and listed in `ignored_item_ids`.
    """
    allowed = await allowed_items(parts, body.filter)
    given = {item_id: allowed.catalogue.find_row(item_id) for item_id in body.item_ids}
    items = _listed(parts, allowed, [row for row in given.values() if row is not None], body.limit)
    ignored = [item_id for item_id, row in given.items() if row is None]
    return ComplementList(**allowed.described(), ignored_item_ids=ignored, items=items)


def _listed(parts: Parts, allowed: AllowedItems, rows: Sequence[int], limit: int) -> list[ComplementItem]:
    found = complements(
        parts.served.counts.pairs, allowed.table.vectors, np.array(rows, dtype=np.int64), allowed.is_allowed, limit
    )
    return [
        ComplementItem(
            item=item_summary(allowed.table.items[one.row]),
            rank=rank,
            source=one.source,
            support=round(one.support, 3),
            lift=None if one.lift is None else round(one.lift, 3),
        )
        for rank, one in enumerate(found, 1)
    ]
