"""Calls that recommend, for one history or many, and find similar items."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Required, TypedDict

from clairo_core.serving_points import BALANCED, Quality
from service.client.calls.call import Call, as_model, quoted
from service.schemas.merchandising import ItemField
from service.schemas.recommend import RecommendAnswer, RecommendBatchAnswer, SimilarItems

HistoryEntry = str | tuple[str, float | str]
"""An item id, or an item id with a timestamp: seconds since 1970, or ISO 8601 with zone."""

ItemFilter = Mapping[str, Any]
"""A filter in the JSON of POST /recommend, such as `{"attribute": "brand", "equals": "Fjord"}`."""


class Boost(TypedDict, total=False):
    """Items that pass a filter, and how far they rise or sink. The filter is in the JSON of POST /recommend."""

    name: str | None
    filter: Required[ItemFilter]
    factor: Required[float]


class Group(TypedDict, total=False):
    """At most `limit` items of each value of an attribute."""

    name: str | None
    attribute: Required[str]
    limit: Required[int]


class Pin(TypedDict, total=False):
    """An item at a rank, counted from 1."""

    name: str | None
    item_id: Required[str]
    rank: Required[int]


class RecommendRequest(TypedDict, total=False):
    """A request of `recommend_batch`, with the arguments of `recommend`; needs a history or a user_id."""

    history: Sequence[HistoryEntry] | None
    user_id: str | None
    limit: int | None
    item_filter: ItemFilter | None
    candidates: Sequence[str] | None
    fields: Sequence[ItemField] | None
    boost: Sequence[Boost]
    bury: Sequence[Boost]
    group: Group | None
    pin: Sequence[Pin]
    placement: str | None
    cursor: str | None
    exclude_item_ids: Sequence[str]
    include_seen: bool
    diversity: float
    explain: bool
    seed: int | None
    quality: Quality


def recommend(
    history: Sequence[HistoryEntry] | None = None,
    *,
    user_id: str | None = None,
    limit: int | None = None,
    item_filter: ItemFilter | None = None,
    candidates: Sequence[str] | None = None,
    fields: Sequence[ItemField] | None = None,
    boost: Sequence[Boost] = (),
    bury: Sequence[Boost] = (),
    group: Group | None = None,
    pin: Sequence[Pin] = (),
    placement: str | None = None,
    cursor: str | None = None,
    exclude_item_ids: Sequence[str] = (),
    include_seen: bool = False,
    diversity: float = 0.0,
    explain: bool = False,
    seed: int | None = None,
    quality: Quality = BALANCED,
) -> Call[RecommendAnswer]:
    """Recommend items for a history, oldest first, or for a user with feedback.

    `cursor` is the previous page's `next_cursor`, beside the same arguments.
    """
    body = recommend_body(
        history=history,
        user_id=user_id,
        limit=limit,
        item_filter=item_filter,
        candidates=None if candidates is None else list(candidates),
        fields=None if fields is None else list(fields),
        boost=list(boost),
        bury=list(bury),
        group=group,
        pin=list(pin),
        placement=placement,
        cursor=cursor,
        exclude_item_ids=exclude_item_ids,
        include_seen=include_seen,
        diversity=diversity,
        explain=explain,
        seed=seed,
        quality=quality,
    )
    return Call("POST", "/recommend", as_model(RecommendAnswer), body=body)


def recommend_batch(requests: Sequence[RecommendRequest]) -> Call[RecommendBatchAnswer]:
    """Run many `recommend` requests in one call. Each yields a recommendation or a problem, in order."""
    body = {"requests": [recommend_body(**request) for request in requests]}
    return Call("POST", "/recommend/batch", as_model(RecommendBatchAnswer), body=body)


def list_similar_items(item_id: str, *, limit: int = 10, item_filter: ItemFilter | None = None) -> Call[SimilarItems]:
    """List the items most similar to an item in picture and words."""
    query = {"limit": limit} | ({} if item_filter is None else {"filter": json.dumps(item_filter)})
    return Call("GET", f"/items/{quoted(item_id)}/similar", as_model(SimilarItems), query=query)


def recommend_body(
    *,
    history: Sequence[HistoryEntry] | None = None,
    item_filter: ItemFilter | None = None,
    exclude_item_ids: Sequence[str] = (),
    **further: Any,
) -> dict[str, Any]:
    """The JSON of a request: arguments that are None are left out."""
    body = {name: value for name, value in further.items() if value is not None}
    if history is not None:
        body["history"] = [
            entry if isinstance(entry, str) else {"item_id": entry[0], "timestamp": entry[1]} for entry in history
        ]
    if item_filter is not None:
        body["filter"] = item_filter
    return body | {"exclude_item_ids": list(exclude_item_ids)}
