"""POST /recommend: a history in, ranked items out."""

import uuid

from fastapi import APIRouter, Request

from clairo_core.items import UserHistory
from clairo_core.recommender import RecommendationRequest
from service.disconnect import unless_disconnected
from service.openapi import problem_answers
from service.routes.parts import ReadyParts
from service.schemas import RecommendAnswer, RecommendBody, RecommendedItem

router = APIRouter(tags=["recommendations"])

# Ids that no catalogue needs to know: unknown items are left out and the popular ones come back.
EXAMPLES = {
    "from a history": {"value": {"history": ["mug-12", "mug-7"], "limit": 5}},
    "with timestamps": {
        "value": {
            "history": [
                {"item_id": "mug-12", "timestamp": 1700000000},
                {"item_id": "mug-7", "timestamp": 1700003600},
            ],
            "exclude_item_ids": ["mug-3"],
            "include_seen": True,
            "seed": 7,
        }
    },
    "for somebody new": {"value": {"history": []}},
}


@router.post(
    "/recommend",
    operation_id="recommend",
    summary="Recommend items for a history",
    responses=problem_answers(400, 413, 422, 429, 503, 504),
    openapi_extra={"requestBody": {"content": {"application/json": {"examples": EXAMPLES}}}},
)
async def recommend(body: RecommendBody, parts: ReadyParts, request: Request) -> RecommendAnswer:
    """`limit` distinct items, best first, none of them in the history unless `include_seen`.

    Items of the history that the catalogue does not know are left out and listed in `ignored_item_ids`. An empty
    history, or one of unknown items alone, gets the most popular items and a `fallback_reason`. The same request to
    the same catalogue version has the same answer, whatever else is asked at that moment.
    """
    asked = RecommendationRequest(
        history=UserHistory(body.history_item_ids()),
        limit=body.limit,
        include_seen=body.include_seen,
        exclude=tuple(body.exclude_item_ids),
        seed=body.seed,
    )
    recommended = await unless_disconnected(request, parts.recommendations.recommend(asked))
    return RecommendAnswer(
        recommendation_id=uuid.uuid4().hex,
        bundle_id=recommended.bundle_id,
        catalogue_version=recommended.catalogue_version,
        fallback_reason=recommended.answer.fallback_reason,
        ignored_item_ids=list(recommended.ignored_item_ids),
        items=[
            RecommendedItem(item_id=item.item_id, rank=item.rank, score=item.score, source=item.source)
            for item in recommended.answer.items
        ],
    )
