"""GET /items/{item_id}/similar: items most similar by content."""

import json
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Query
from pydantic import TypeAdapter, ValidationError

from clairo_core.selection.item_filters import AllOf, ItemFilter
from service.errors import NoEmbeddingsError
from service.http.field_errors import invalid_fields, readable_errors
from service.http.openapi import problem_answers
from service.routes.items import ITEM_PATH, ItemIdInPath, item_summary
from service.routes.parts import ReadyParts
from service.schemas.filter_types import check_filter
from service.schemas.filters import BoundedFilterBody, FilterBody
from service.schemas.recommend import MAX_RECOMMENDATIONS, SimilarItem, SimilarItems
from service.schemas.request_body import QueryInteger

router = APIRouter(tags=["recommendations"])

MAX_FILTER_CHARACTERS = 2000
"""Each may take 12 bytes of a URL, and the server bounds a request's head (`MAX_HEAD_BYTES`)."""
WHERE = ("query", "filter")
FILTERS: TypeAdapter[FilterBody] = TypeAdapter(BoundedFilterBody)


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
    item_filter: Annotated[
        str | None,
        Query(
            alias="filter",
            max_length=MAX_FILTER_CHARACTERS,
            description="A filter of POST /recommend, as JSON.",
        ),
    ] = None,
) -> SimilarItems:
    """List items most similar in picture and words, independent of interactions; posted items included.

    Retired items are not listed, but may be the item in the path.
    """
    table, live = await parts.served.recommendations.item_table.current(), parts.served.live
    row, catalogue, vectors = live.row_of(item_id), live.recommender.catalogue, table.vectors
    if vectors is None:
        raise NoEmbeddingsError(
            f"bundle {live.bundle_id} was trained on ready-made codes and has no item embeddings to compare; "
            "serve a bundle trained on pictures and words"
        )
    wanted: ItemFilter = AllOf(())
    if item_filter is not None:
        wanted = check_filter(parsed_filter(item_filter).item_filter(), parts.schema.declared)
    is_allowed = ~catalogue.is_retired & table.allowed_rows(wanted)
    rows, similarities = vectors.most_similar(row, limit, np.asarray(is_allowed))
    found = [table.items[similar] for similar in rows.tolist()]
    by_modality = table.modality_similarities(row, rows)
    return SimilarItems(
        item_id=item_id,
        bundle_id=live.bundle_id,
        catalogue_version=catalogue.version,
        warnings=list(table.warnings_of(wanted)),
        items=[
            SimilarItem(
                item=item_summary(similar), rank=rank, similarity=round(similarity, 6), modality_similarity=of_modality
            )
            for rank, (similar, similarity, of_modality) in enumerate(
                zip(found, similarities.tolist(), by_modality, strict=True), 1
            )
        ],
    )


def parsed_filter(text: str) -> FilterBody:
    """Parse the filter in a query parameter.

    Raises:
        InvalidBodyError: it is not JSON, or not a filter.
    """
    try:
        sent = json.loads(text)
    except (ValueError, RecursionError) as error:
        message = "not JSON; expected a filter of POST /recommend, as JSON"
        raise invalid_fields([{"loc": WHERE, "msg": message}]) from error
    try:
        return FILTERS.validate_python(sent)
    except ValidationError as error:
        errors = readable_errors(error.errors(), sent)
        raise invalid_fields([problem | {"loc": [*WHERE, *problem["loc"]]} for problem in errors]) from error
