"""GET /items/{item_id}/similar: items most similar by content."""

from typing import Annotated

from fastapi import APIRouter, Query

from service.errors import NoEmbeddingsError
from service.http.openapi import problem_answers
from service.routes.items import ITEM_PATH, ItemIdInPath, item_summary
from service.routes.parts import ReadyParts
from service.routes.query_filter import FilterInQuery, allowed_items, parsed_filter
from service.schemas.merchandising import MAX_RECOMMENDATIONS
from service.schemas.recommend import SimilarItem, SimilarItems
from service.schemas.request_body import QueryInteger

router = APIRouter(tags=["recommendations"])


@router.get(
    f"{ITEM_PATH}/similar",
    operation_id="list_similar_items",
    summary="List similar items",
    responses=problem_answers(404, 409, 422, 503),
)
async def list_similar_items(
    item_id: ItemIdInPath,
    parts: ReadyParts,
    limit: Annotated[QueryInteger, Query(ge=1, le=MAX_RECOMMENDATIONS, description="Maximum number of items.")] = 10,
    item_filter: FilterInQuery = None,
) -> SimilarItems:
    """List items most similar in picture and words, independent of interactions; posted items included.

    Retired items are not listed, but may be the item in the path.
    """
    wanted = parsed_filter(item_filter)
    allowed, live = await allowed_items(parts, wanted), parts.served.live
    table, row, vectors = allowed.table, live.row_of(item_id), allowed.table.vectors
    if vectors is None:
        raise NoEmbeddingsError(
            f"bundle {live.bundle_id} {live.bundle.manifest.why_no_encoders} and has no item embeddings to compare; "
            "serve a bundle trained on pictures and words"
        )
    rows, similarities = vectors.most_similar(row, limit, allowed.is_allowed)
    found = [table.items[similar] for similar in rows.tolist()]
    by_modality = table.modality_similarities(row, rows)
    return SimilarItems(
        item_id=item_id,
        bundle_id=live.bundle_id,
        catalogue_version=allowed.catalogue.version,
        warnings=allowed.warnings,
        items=[
            SimilarItem(
                item=item_summary(similar), rank=rank, similarity=round(similarity, 6), modality_similarity=of_modality
            )
            for rank, (similar, similarity, of_modality) in enumerate(
                zip(found, similarities.tolist(), by_modality, strict=True), 1
            )
        ],
    )
