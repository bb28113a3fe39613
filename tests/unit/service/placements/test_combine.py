"""What a request adds to its placement, and what it replaces."""

import math
from typing import Any

import pytest
from pydantic import ValidationError

from clairo_core.selection.item_filters import AllOf, IsOneOf
from service.placements.combine import Combined, Placement, combined
from service.schemas.placements import PlacementBody
from service.schemas.recommend import RecommendBody

FJORD, MUG = {"attribute": "brand", "equals": "Fjord"}, {"attribute": "kind", "equals": "mug"}
RULES = {
    "filter": FJORD,
    "boost": [{"filter": MUG, "factor": 2}],
    "bury": [{"name": "slow", "filter": MUG, "factor": 4}],
    "group": {"attribute": "brand", "limit": 3},
    "pin": [{"item_id": "a", "rank": 1}, {"item_id": "b", "rank": 2}, {"item_id": "c", "rank": 3}],
    "fields": ["title"],
    "limit": 12,
    "strangers": "latest",
}


def under(rules: dict[str, Any] | None, **request: Any) -> Combined:
    placement = None if rules is None else Placement("home", PlacementBody.model_validate(rules))
    return combined(RecommendBody.model_validate({"history": [], **request}), placement)


def test_a_request_without_a_placement_stands_alone() -> None:
    alone = under(None)
    assert (alone.item_filter, alone.boosts, alone.group, alone.pins, alone.fields) == (None, (), None, (), [])
    assert (alone.limit, alone.strangers) == (10, "popular")


def test_a_placement_gives_what_the_request_leaves_open() -> None:
    of_placement = under(RULES)
    assert of_placement.item_filter == AllOf((IsOneOf("brand", ("Fjord",)),))
    assert [(boost.name, boost.log_factor) for boost in of_placement.boosts] == [
        ("home.boost-1", pytest.approx(math.log(2))),
        ("slow", pytest.approx(-math.log(4))),
    ]
    assert of_placement.group is not None
    assert of_placement.group.name == "home.group"
    assert [pin.name for pin in of_placement.pins] == ["home.pin-1", "home.pin-2", "home.pin-3"]
    assert (of_placement.limit, of_placement.fields, of_placement.strangers) == (12, ["title"], "latest")


def test_a_request_adds_filters_and_boosts_and_replaces_group_fields_and_limit() -> None:
    both = under(
        RULES, filter=MUG, boost=[{"filter": FJORD, "factor": 3}], group={"attribute": "kind", "limit": 1}, fields=[]
    )
    assert both.item_filter == AllOf((IsOneOf("brand", ("Fjord",)), IsOneOf("kind", ("mug",))))
    assert [boost.name for boost in both.boosts] == ["home.boost-1", "slow", "boost-1"]
    assert both.group is not None
    assert (both.group.name, both.group.attribute) == ("group", "kind")
    assert both.fields == []
    assert under(RULES, limit=5).limit == 5


def test_where_two_pins_meet_the_requests_own_stands() -> None:
    pins = under(RULES, pin=[{"item_id": "x", "rank": 1}, {"item_id": "b", "rank": 7}]).pins
    assert [(pin.item_id, pin.rank) for pin in pins] == [("x", 1), ("b", 7), ("c", 3)]


def test_candidates_come_back_complete_under_a_placement() -> None:
    complete = under(RULES, candidates=["a", "b"])
    assert (complete.item_filter, complete.group, complete.limit) == (None, None, 1000)
    assert len(complete.boosts) == 2
    assert under(RULES, candidates=["a", "b"], limit=1).limit == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"boost": [{"filter": MUG, "factor": 0.5}]},
        {"boost": [{"factor": 2}]},
        {"pin": [{"item_id": "a", "rank": 1}, {"item_id": "a", "rank": 2}]},
        {"group": {"attribute": "brand", "limit": 0}},
        {"fields": ["price"]},
        {"strangers": "nobody"},
        {"candidates": ["a"]},
        {"boost": [{"name": "two words", "filter": MUG, "factor": 2}]},
    ],
)
def test_wrong_rules_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        PlacementBody.model_validate(wrong)
