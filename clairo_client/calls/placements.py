"""Calls that save, read, delete and try placements."""

from collections.abc import Sequence
from typing import Literal

from typing_extensions import TypedDict

from clairo_client.answers import PlacementAnswer, PlacementList, PreviewAnswer
from clairo_client.calls.call import Call, as_model, as_nothing, given, quoted
from clairo_client.calls.recommendations import Boost, Group, ItemField, ItemFilter, Pin, RecommendRequest

Strangers = Literal["popular", "trending", "latest"]


class PlacementRules(TypedDict, total=False):
    """Rules of a placement; see `recommend`. `strangers` is what a history without known items gets."""

    filter: ItemFilter
    boost: Sequence[Boost]
    bury: Sequence[Boost]
    group: Group
    pin: Sequence[Pin]
    fields: Sequence[ItemField]
    limit: int
    strangers: Strangers


def list_placements() -> Call[PlacementList]:
    """List all placements with their newest rules."""
    return Call("GET", "/placements", as_model(PlacementList))


def get_placement(name: str, *, version: int | None = None) -> Call[PlacementAnswer]:
    """Get a placement, or an earlier version of it."""
    return Call("GET", f"/placements/{quoted(name)}", as_model(PlacementAnswer), query=given(version=version))


def put_placement(
    name: str,
    *,
    filter: ItemFilter | None = None,
    boost: Sequence[Boost] | None = None,
    bury: Sequence[Boost] | None = None,
    group: Group | None = None,
    pin: Sequence[Pin] | None = None,
    fields: Sequence[ItemField] | None = None,
    limit: int | None = None,
    strangers: Strangers | None = None,
) -> Call[PlacementAnswer]:
    """Save rules, as in `recommend`, as the placement's next version; what is left out is not kept from the last one.

    Args:
        name: lower-case letters, digits, - and _; `default` applies to requests that name no placement.
        filter: only items that pass.
        boost: items that rise.
        bury: items that sink.
        group: at most so many items of each value of an attribute.
        pin: items at fixed ranks.
        fields: what to show of each item.
        limit: number of items where the request has no limit.
        strangers: what a history without known items gets; popular items by default.
    """
    body = given(
        filter=filter, boost=boost, bury=bury, group=group, pin=pin, fields=fields, limit=limit, strangers=strangers
    )
    return Call("PUT", f"/placements/{quoted(name)}", as_model(PlacementAnswer), body=body)


def delete_placement(name: str) -> Call[None]:
    """Delete a placement. Its versions stay readable."""
    return Call("DELETE", f"/placements/{quoted(name)}", as_nothing)


def preview_placement(name: str, rules: PlacementRules, request: RecommendRequest) -> Call[PreviewAnswer]:
    """Answer one request under the saved placement and under these rules. Saves nothing."""
    body = {"rules": dict(rules), "request": dict(request)}
    return Call("POST", f"/placements/{quoted(name)}/preview", as_model(PreviewAnswer), body=body)
