"""Calls that save, read, delete and try placements."""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from service.client.calls.call import Call, as_model, as_nothing, quoted
from service.client.calls.recommendations import Boost, Group, ItemFilter, Pin, RecommendRequest, recommend_body
from service.recommend.wanted import Strangers
from service.schemas.merchandising import ItemField
from service.schemas.placements import PlacementAnswer, PlacementList, PreviewAnswer


class PlacementRules(TypedDict, total=False):
    """Rules of a placement."""

    item_filter: ItemFilter | None
    boost: Sequence[Boost]
    bury: Sequence[Boost]
    group: Group | None
    pin: Sequence[Pin]
    fields: Sequence[ItemField]
    limit: int | None
    strangers: Strangers


def list_placements() -> Call[PlacementList]:
    """List all placements with their newest rules."""
    return Call("GET", "/placements", as_model(PlacementList))


def get_placement(name: str, *, version: int | None = None) -> Call[PlacementAnswer]:
    """Get a placement, or an earlier version of it."""
    query = {} if version is None else {"version": version}
    return Call("GET", f"/placements/{quoted(name)}", as_model(PlacementAnswer), query=query)


def put_placement(name: str, rules: PlacementRules) -> Call[PlacementAnswer]:
    """Save rules as the placement's next version."""
    return Call("PUT", f"/placements/{quoted(name)}", as_model(PlacementAnswer), body=_rules_body(rules))


def delete_placement(name: str) -> Call[None]:
    """Delete a placement. Its versions stay readable."""
    return Call("DELETE", f"/placements/{quoted(name)}", as_nothing)


def preview_placement(name: str, rules: PlacementRules, request: RecommendRequest) -> Call[PreviewAnswer]:
    """Answer one request under the saved placement and under these rules. Saves nothing."""
    body = {"rules": _rules_body(rules), "request": recommend_body(**request)}
    return Call("POST", f"/placements/{quoted(name)}/preview", as_model(PreviewAnswer), body=body)


def _rules_body(rules: PlacementRules) -> Mapping[str, Any]:
    body = {name: value for name, value in rules.items() if value is not None}
    return {"filter" if name == "item_filter" else name: value for name, value in body.items()}
