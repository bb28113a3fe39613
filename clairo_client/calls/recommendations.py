"""Calls that recommend, for one history or many, and find similar items."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Required

from typing_extensions import TypedDict

from clairo_client.answers import RecommendAnswer, RecommendBatchAnswer, SimilarItems
from clairo_client.calls.call import Call, as_model, given, quoted

Quality = Literal["fast", "balanced", "best"]

ItemFilter = Mapping[str, Any]
"""A filter in the JSON of POST /recommend, such as `{"attribute": "brand", "equals": "Fjord"}`."""


class HistoryEntry(TypedDict, total=False):
    """An item of a history and when it was met: seconds since 1970, or ISO 8601 with zone."""

    item_id: Required[str]
    timestamp: float | str


ItemField = Literal["title", "attributes", "picture_url"]


class Boost(TypedDict, total=False):
    """Items that pass a filter, and how far they rise or sink."""

    name: str
    filter: Required[ItemFilter]
    factor: Required[float]


class Group(TypedDict, total=False):
    """At most `limit` items of each value of an attribute."""

    name: str
    attribute: Required[str]
    limit: Required[int]


class Pin(TypedDict, total=False):
    """An item at a rank, counted from 1."""

    name: str
    item_id: Required[str]
    rank: Required[int]


class RecommendRequest(TypedDict, total=False):
    """A request of `recommend_batch`, with the arguments of `recommend`; needs a history, a user_id or a session_id."""

    history: Sequence[str | HistoryEntry]
    user_id: str
    session_id: str
    limit: int
    filter: ItemFilter
    candidates: Sequence[str]
    fields: Sequence[ItemField]
    boost: Sequence[Boost]
    bury: Sequence[Boost]
    group: Group
    pin: Sequence[Pin]
    placement: str
    bundle_id: str
    cursor: str
    exclude_item_ids: Sequence[str]
    include_seen: bool
    diversity: float
    explain: bool
    seed: int
    quality: Quality


def recommend(
    history: Sequence[str | HistoryEntry] | None = None,
    *,
    user_id: str | None = None,
    session_id: str | None = None,
    limit: int | None = None,
    filter: ItemFilter | None = None,
    candidates: Sequence[str] | None = None,
    fields: Sequence[ItemField] | None = None,
    boost: Sequence[Boost] = (),
    bury: Sequence[Boost] = (),
    group: Group | None = None,
    pin: Sequence[Pin] = (),
    placement: str | None = None,
    bundle_id: str | None = None,
    cursor: str | None = None,
    exclude_item_ids: Sequence[str] = (),
    include_seen: bool = False,
    diversity: float = 0.0,
    explain: bool = False,
    seed: int | None = None,
    quality: Quality = "balanced",
) -> Call[RecommendAnswer]:
    """Recommend items for a history, or for a user or session with feedback.

    Args:
        history: item ids or entries with timestamps, oldest first; [] for a new user.
        user_id: take the history from this user's feedback.
        session_id: take it from the feedback of a visitor who is not signed in.
        limit: 1 to 100 distinct items; by default the placement's limit, else 10, or all candidates.
        filter: only items that pass, such as {"attribute": "brand", "equals": "Fjord"}; further operators are in,
            range, exists, not, all_of, any_of and only_new.
        candidates: rank exactly these items.
        fields: what to show of each item.
        boost: items that rise: a filter, and the factor by which they become more probable.
        bury: items that sink, likewise.
        group: at most so many items of each value of an attribute.
        pin: items at fixed ranks.
        placement: saved rules that apply too.
        bundle_id: answer from this bundle, one of `answering_bundle_ids` of `info`.
        cursor: `next_cursor` of the page before, beside the same arguments.
        exclude_item_ids: items to leave out.
        include_seen: allow items of the history.
        diversity: 0 ranks by score; up to 1 prefers items unlike each other.
        explain: add which items of the history led to each recommendation.
        seed: the same seed gives the same answer.
        quality: how far to search.
    """
    body = given(
        history=history,
        user_id=user_id,
        session_id=session_id,
        limit=limit,
        filter=filter,
        candidates=candidates,
        fields=fields,
        boost=boost,
        bury=bury,
        group=group,
        pin=pin,
        placement=placement,
        bundle_id=bundle_id,
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
    return Call("POST", "/recommend/batch", as_model(RecommendBatchAnswer), body={"requests": list(requests)})


def list_similar_items(item_id: str, *, limit: int = 10, filter: ItemFilter | None = None) -> Call[SimilarItems]:
    """List the items most similar to an item in picture and words; `filter` as in `recommend`."""
    query = given(limit=limit, filter=None if filter is None else json.dumps(filter))
    return Call("GET", f"/items/{quoted(item_id)}/similar", as_model(SimilarItems), query=query)
