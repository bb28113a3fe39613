"""/placements: rules that the service keeps for each place of a shop."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from fastapi.openapi.models import Example
from pydantic import BeforeValidator, Field

from service.http.body_route import BodyRoute
from service.http.disconnect import unless_disconnected
from service.http.openapi import problem_answers
from service.placements.combine import Placement
from service.routes.parts import ReadyParts
from service.routes.recommend import owner_of, recommend_under
from service.schemas.merchandising import PLACEMENT_NAME_PATTERN
from service.schemas.placements import PlacementAnswer, PlacementBody, PlacementList, PreviewAnswer, PreviewBody
from service.schemas.request_body import check_plain_integer

router = APIRouter(tags=["placements"], route_class=BodyRoute)

MAX_VERSION = 2**31 - 1
Version = Annotated[int, Field(ge=1, le=MAX_VERSION), BeforeValidator(check_plain_integer)]
PlacementNameInPath = Annotated[
    str,
    Path(
        pattern=PLACEMENT_NAME_PATTERN,
        description="`default` applies to requests that name no placement.",
        openapi_examples={"the default": Example(value="default")},
    ),
]
RULES = {
    "filter": {
        "all_of": [{"attribute": "stock", "range": {"gt": 0}}, {"not": {"attribute": "archived", "exists": True}}]
    },
    "boost": [{"name": "own-brand", "filter": {"attribute": "brand", "equals": "Fjord"}, "factor": 1.5}],
    "group": {"attribute": "brand", "limit": 3},
    "fields": ["title", "attributes", "picture_url"],
    "limit": 12,
}
EXAMPLES = {"in stock and not archived": {"value": RULES}}
PREVIEW_EXAMPLES = {"for one history": {"value": {"rules": RULES, "request": {"history": ["mug-12", "mug-7"]}}}}


@router.get(
    "/placements",
    operation_id="list_placements",
    summary="List placements",
    responses=problem_answers(503),
)
async def list_placements(parts: ReadyParts) -> PlacementList:
    """All saved placements with their newest rules, by name: at most 100."""
    return PlacementList(placements=list(parts.placements.all()))


@router.get(
    "/placements/{name}",
    operation_id="get_placement",
    summary="Get a placement",
    responses=problem_answers(404, 422, 503),
)
async def get_placement(
    name: PlacementNameInPath,
    parts: ReadyParts,
    version: Annotated[Version | None, Query(description="An earlier version; by default the newest.")] = None,
) -> PlacementAnswer:
    """A placement's rules. Earlier versions stay readable, also after the placement was deleted."""
    return await parts.placements.read(name, version)


@router.put(
    "/placements/{name}",
    operation_id="put_placement",
    summary="Save a placement",
    responses=problem_answers(409, 422, 503),
    openapi_extra={"requestBody": {"content": {"application/json": {"examples": EXAMPLES}}}},
)
async def put_placement(name: PlacementNameInPath, body: PlacementBody, parts: ReadyParts) -> PlacementAnswer:
    """Save rules as the placement's next version; every process applies them within two seconds.

    A request of POST /recommend with this `placement` adds to it: both filters must pass, boosts and buries of both
    act, and pins of both stand, the request's own where two meet. Its own `group`, `fields` and `limit` replace the
    placement's. `default` applies where no placement is named, and does not apply beside another one.
    """
    body.check_filters(parts.schema.declared)
    saved = await parts.placements.put(name, body)
    parts.publish_write()
    return saved


@router.delete(
    "/placements/{name}",
    status_code=204,
    operation_id="delete_placement",
    summary="Delete a placement",
    responses=problem_answers(404, 422, 503),
)
async def delete_placement(name: PlacementNameInPath, parts: ReadyParts) -> None:
    """Requests that name the placement are refused from now on. Its versions stay readable; PUT saves it again."""
    await parts.placements.delete(name)
    parts.publish_write()


@router.post(
    "/placements/{name}/preview",
    operation_id="preview_placement",
    summary="Try a placement",
    responses=problem_answers(400, 413, 422, 429, 503, 504),
    openapi_extra={"requestBody": {"content": {"application/json": {"examples": PREVIEW_EXAMPLES}}}},
)
async def preview_placement(
    name: PlacementNameInPath, body: PreviewBody, parts: ReadyParts, request: Request
) -> PreviewAnswer:
    """Answer one request under the saved placement and under a draft of it. Saves nothing, and counts in no metric."""
    body.rules.check_filters(parts.schema.declared)
    saved = parts.placements.find(name)
    owner = await owner_of(body.request, parts)

    async def before_and_after() -> PreviewAnswer:
        before, after = [
            await recommend_under(body.request, owner, placement, parts.served.recommendations, parts, is_preview=True)
            for placement in (None if saved is None else Placement(name, saved.rules), Placement(name, body.rules))
        ]
        return PreviewAnswer(before=before, after=after)

    return await unless_disconnected(request, before_and_after())
