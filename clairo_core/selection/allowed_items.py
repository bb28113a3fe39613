"""Decide which items each request may be answered with: its filter, exclusions and dislikes, and whether seen
items count; or its candidates."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int64

from clairo_core.catalogue import Catalogue
from clairo_core.recommendation import RecommendationRequest


def allowed_items(
    catalogue: Catalogue,
    requests: Sequence[RecommendationRequest],
    histories: Sequence[Int64[np.ndarray, "position"]],
) -> Bool[np.ndarray, "request item"] | None:
    """Mark the items that each request allows, retired ones included; None if every request allows all."""
    if all(
        request.include_seen
        and not request.exclude
        and not request.disliked
        and request.is_allowed is None
        and request.candidates is None
        for request in requests
    ):
        return None
    return np.stack(
        [allowed_items_of(catalogue, request, rows) for request, rows in zip(requests, histories, strict=True)]
    )


def allowed_items_of(
    catalogue: Catalogue, request: RecommendationRequest, history: Int64[np.ndarray, "position"]
) -> Bool[np.ndarray, "item"]:
    """Mark the items that one request allows, retired ones included; `history` holds the rows of its known items."""
    if request.candidates is not None:
        is_candidate = np.zeros(len(catalogue), dtype=np.bool_)
        is_candidate[catalogue.known_rows(request.candidates)] = True
        return is_candidate
    is_allowed = np.ones(len(catalogue), dtype=np.bool_)
    if request.is_allowed is not None:
        num_known = min(len(is_allowed), len(request.is_allowed))
        is_allowed[:num_known] = request.is_allowed[:num_known]
        is_allowed[num_known:] = False
    if not request.include_seen:
        is_allowed[history] = False
    for left_out in (request.exclude, request.disliked):
        is_allowed[catalogue.known_rows(left_out)] = False
    return is_allowed
