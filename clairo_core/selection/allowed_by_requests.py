"""Decide which items each request may be answered with: its filter, exclusions and dislikes, and whether seen
items count; or its candidates."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int64

from clairo_core.catalogue import Catalogue
from clairo_core.ranking.allowed_items import AllowedItems, all_but
from clairo_core.recommendation import RecommendationRequest


def allowed_items(
    catalogue: Catalogue,
    requests: Sequence[RecommendationRequest],
    histories: Sequence[Int64[np.ndarray, "position"]],
) -> list[AllowedItems] | None:
    """The items that each request allows, retired ones included; None if every request allows all."""
    if all(
        request.include_seen
        and not request.exclude
        and not request.disliked
        and request.is_allowed is None
        and request.candidates is None
        for request in requests
    ):
        return None
    return [allowed_items_of(catalogue, request, rows) for request, rows in zip(requests, histories, strict=True)]


def allowed_items_of(
    catalogue: Catalogue, request: RecommendationRequest, history: Int64[np.ndarray, "position"]
) -> AllowedItems:
    """The items that one request allows, retired ones included; `history` holds the rows of its known items."""
    num_items, mask = len(catalogue), None
    if request.candidates is not None:
        mask = np.zeros(num_items, dtype=np.bool_)
        mask[catalogue.known_rows(request.candidates)] = True
        return AllowedItems(num_items, np.zeros(0, dtype=np.int64), mask)
    if request.is_allowed is not None:
        mask = np.zeros(num_items, dtype=np.bool_)
        num_known = min(num_items, len(request.is_allowed))
        mask[:num_known] = request.is_allowed[:num_known]
    seen = history[:0] if request.include_seen else history
    left_out = [seen, catalogue.known_rows(request.exclude), catalogue.known_rows(request.disliked)]
    return AllowedItems(num_items, all_but(np.concatenate(left_out), num_items).left_out, mask)
