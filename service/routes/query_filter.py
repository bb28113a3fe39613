"""The filter of a GET call: JSON in a query parameter."""

import json
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from fastapi import Query
from jaxtyping import Bool
from pydantic import TypeAdapter, ValidationError

from clairo_core.catalogue import Catalogue
from clairo_core.selection.item_filters import AllOf, ItemFilter
from service.http.field_errors import invalid_fields, readable_errors
from service.recommend.item_table import ItemTable
from service.routes.parts import Parts
from service.schemas.filter_types import check_filter
from service.schemas.filters import BoundedFilterBody, FilterBody

MAX_FILTER_CHARACTERS = 2000
"""Each may take 12 bytes of a URL, and the server bounds a request's head (`MAX_HEAD_BYTES`)."""
WHERE: list[str | int] = ["query", "filter"]
FILTERS: TypeAdapter[FilterBody] = TypeAdapter(BoundedFilterBody)

FilterInQuery = Annotated[
    str | None,
    Query(alias="filter", max_length=MAX_FILTER_CHARACTERS, description="A filter of POST /recommend, as JSON."),
]


@dataclass(frozen=True, slots=True, eq=False)
class AllowedItems:
    """Items that pass a filter and are not retired, by row of one catalogue."""

    table: ItemTable
    catalogue: Catalogue
    is_allowed: Bool[np.ndarray, "item"]
    warnings: list[str]

    def described(self) -> dict[str, Any]:
        """The fields of an answer that say what was listed from."""
        return {
            "bundle_id": self.table.bundle_id,
            "catalogue_version": self.catalogue.version,
            "warnings": self.warnings,
        }


async def allowed_items(parts: Parts, item_filter: FilterBody | None) -> AllowedItems:
    """Apply a filter to the served items; what it returns is in step with them until the caller's next await.

    Raises:
        InvalidBodyError: a condition does not fit the declared type of its attribute.
    """
    table = await parts.served.recommendations.item_table.current()
    catalogue = parts.served.live.recommender.catalogue
    wanted: ItemFilter = AllOf(())
    if item_filter is not None:
        wanted = check_filter(item_filter.item_filter(), parts.schema.declared)
    is_allowed = np.asarray(~catalogue.is_retired & table.allowed_rows(wanted))
    return AllowedItems(table, catalogue, is_allowed, list(table.warnings_of(wanted)))


def parsed_filter(text: str | None) -> FilterBody | None:
    """Parse the filter in a query parameter.

    Raises:
        InvalidBodyError: it is not JSON, or not a filter.
    """
    if text is None:
        return None
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
