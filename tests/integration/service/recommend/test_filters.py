"""Filters in POST /recommend: which items pass, posted ones included, and errors of invalid filters."""

import json
from typing import Any

import httpx
import pytest

from clairo_core.bundle.bundle import Bundle
from service.schemas.filters import MAX_FILTER_CONDITIONS, MAX_FILTER_DEPTH

MUGS = {"attribute": "category", "equals": "mug"}


async def recommended(client: httpx.AsyncClient, item_filter: dict[str, Any], **request: Any) -> dict[str, Any]:
    answer = await client.post("/recommend", json={"history": ["item-0"], "filter": item_filter} | request)
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


def ids_of(answer: dict[str, Any]) -> set[str]:
    return {item["item_id"] for item in answer["items"]}


def attributes_of(bundle: Bundle) -> dict[str, Any]:
    return {item.item_id: item.attributes for item in bundle.items}


async def test_exactly_the_items_that_pass_the_filter_are_recommended(
    client: httpx.AsyncClient, bundle: Bundle
) -> None:
    attributes = attributes_of(bundle)
    cheap = {"attribute": "price", "range": {"gte": 10, "lt": 40}}
    answer = await recommended(client, {"all_of": [MUGS, cheap]}, limit=100)
    expected = {
        item_id
        for item_id, of_item in attributes.items()
        if of_item["category"] == "mug" and 10 <= float(of_item["price"]) < 40 and item_id != "item-0"
    }
    assert ids_of(answer) == expected
    assert answer["fallback_reason"] == "filter_exhausted"


async def test_a_filter_still_gives_limit_items(client: httpx.AsyncClient, bundle: Bundle) -> None:
    attributes = attributes_of(bundle)
    answer = await recommended(client, {"not": MUGS}, limit=10)
    assert len(ids_of(answer)) == 10
    assert all(attributes[item_id]["category"] != "mug" for item_id in ids_of(answer))
    assert answer["fallback_reason"] is None
    assert {item["source"] for item in answer["items"]} == {"generative"}


async def test_a_new_user_gets_popular_items_that_pass(client: httpx.AsyncClient, bundle: Bundle) -> None:
    answer = await recommended(client, MUGS, history=[], limit=3)
    assert all(attributes_of(bundle)[item_id]["category"] == "mug" for item_id in ids_of(answer))
    assert len(ids_of(answer)) == 3
    assert answer["fallback_reason"] == "empty_history"
    everything = await recommended(client, MUGS, history=[], limit=100)
    assert everything["fallback_reason"] == "filter_exhausted"


async def test_a_filter_that_no_item_passes_gives_an_empty_list_and_a_reason(client: httpx.AsyncClient) -> None:
    answer = await recommended(client, {"attribute": "category", "equals": "boat"})
    assert answer["items"] == []
    assert answer["fallback_reason"] == "filter_exhausted"


async def test_a_posted_item_passes_by_its_own_attributes(client: httpx.AsyncClient) -> None:
    assert (await recommended(client, {"only_new": True}))["items"] == []
    assert (await recommended(client, {"attribute": "colour", "equals": "teal"}))["items"] == []
    posted = {"item_id": "new", "title": "A teal mug", "attributes": {"category": "mug", "colour": "teal"}}
    assert (await client.post("/items", json=posted)).status_code == 201
    assert ids_of(await recommended(client, {"attribute": "colour", "equals": "teal"})) == {"new"}
    assert ids_of(await recommended(client, {"only_new": True})) == {"new"}
    assert "new" in ids_of(await recommended(client, MUGS, limit=100))
    assert "new" not in ids_of(await recommended(client, {"only_new": False}, limit=100))
    has_no_price = {"attribute": "price", "exists": False}
    assert ids_of(await recommended(client, has_no_price)) == {"new"}


async def test_another_filter_gets_another_answer(client: httpx.AsyncClient) -> None:
    lamps = {"attribute": "category", "in": ["lamp"]}
    mugs = await recommended(client, MUGS, limit=5)
    assert not ids_of(mugs) & ids_of(await recommended(client, lamps, limit=5))
    assert (await recommended(client, MUGS, limit=5))["items"] == mugs["items"]


def nested(depth: int) -> dict[str, Any]:
    innermost: dict[str, Any] = {"only_new": True}
    for _ in range(depth - 1):
        innermost = {"not": innermost}
    return innermost


@pytest.mark.parametrize(
    ("item_filter", "where"),
    [
        ({}, []),
        ("mug", []),
        ({"brand": "x"}, []),
        ({"equals": "mug"}, []),
        ({"attribute": "category"}, []),
        ({"attribute": "category", "only_new": True}, []),
        (MUGS | {"exists": True}, []),
        ({"attribute": "category", "equals": None}, []),
        ({"attribute": "category", "equals": ["mug"]}, ["equals"]),
        ({"attribute": "category", "in": "mug"}, ["in"]),
        ({"attribute": "category", "in": ["x"] * 1001}, ["in"]),
        ({"attribute": "price", "range": {}}, ["range"]),
        ({"attribute": "price", "range": {"gte": "5"}}, ["range", "gte"]),
        ({"attribute": "price", "range": {"min": 5}}, ["range", "min"]),
        ({"attribute": "price", "equals": 10**400}, []),
        ({"all_of": [MUGS, {"any_of": [{"exists": 1}]}]}, ["all_of", 1, "any_of", 0]),
        (nested(MAX_FILTER_DEPTH + 1), []),
        ({"any_of": [MUGS] * MAX_FILTER_CONDITIONS}, []),
        ({"attribute": "\ud800", "exists": True}, []),
    ],
)
async def test_an_invalid_filter_is_refused_by_name(
    client: httpx.AsyncClient, item_filter: Any, where: list[Any]
) -> None:
    body = json.dumps({"history": ["item-0"], "filter": item_filter})
    answer = await client.post("/recommend", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422, answer.text
    expected = ["body", "filter", *where]
    assert any(error["loc"][: len(expected)] == expected for error in answer.json()["errors"]), answer.text


async def test_a_filter_means_the_same_before_and_after_the_last_item_has_its_attribute(
    client: httpx.AsyncClient,
) -> None:
    in_stock = {"not": {"attribute": "soldout", "equals": "yes"}}
    before = await recommended(client, in_stock)
    assert before["warnings"] == ["no item has an attribute 'soldout': the condition matches no item"]
    put = {"title": "A cup", "attributes": {"soldout": "yes"}}
    assert (await client.put("/items/sold-1", json=put)).status_code == 201
    meanwhile = await recommended(client, in_stock, limit=100)
    assert "sold-1" not in ids_of(meanwhile)
    assert meanwhile["warnings"] == []
    assert (await client.put("/items/sold-1", json=put | {"attributes": {}})).status_code == 200
    after = await recommended(client, in_stock, limit=100)
    assert after["warnings"] == before["warnings"]
    assert "sold-1" in ids_of(after)
    for wanted in (True, False):
        answer = await recommended(client, {"attribute": "soldout", "exists": wanted})
        assert bool(answer["items"]) is not wanted


async def test_numbers_can_be_asked_of_an_attribute_that_once_held_words(client: httpx.AsyncClient) -> None:
    put = {"title": "A cup", "attributes": {"size": "large"}}
    assert (await client.put("/items/sized", json=put)).status_code == 201
    large = {"attribute": "size", "range": {"gte": 5}}
    answer = await recommended(client, large)
    assert answer["items"] == []
    assert answer["warnings"][0].startswith("1 of 1 items have an attribute 'size' that is not a number, such as 'lar")
    await client.put("/items/sized", json=put | {"attributes": {"size": "6"}})
    answer = await recommended(client, large)
    assert ids_of(answer) == {"sized"}
    assert answer["warnings"] == []


async def test_a_cached_answer_carries_the_warnings_of_this_moment(client: httpx.AsyncClient) -> None:
    everything = {"attribute": "colour", "exists": False}
    first, again = await recommended(client, everything), await recommended(client, everything)
    assert first["warnings"] == again["warnings"] != []
    without = await client.post("/recommend", json={"history": ["item-0"]})
    assert without.json()["warnings"] == []


async def test_a_filter_of_the_greatest_depth_and_size_is_accepted(client: httpx.AsyncClient) -> None:
    assert (await recommended(client, nested(MAX_FILTER_DEPTH)))["items"] is not None
    many = {"any_of": [MUGS] * (MAX_FILTER_CONDITIONS - 1)}
    assert (await recommended(client, many, limit=2))["fallback_reason"] is None


async def test_extreme_nesting_is_refused(client: httpx.AsyncClient) -> None:
    body = '{"history": [], "filter": ' + '{"not": ' * 900 + '{"only_new": true}' + "}" * 901
    answer = await client.post("/recommend", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422, answer.text


TYPED = {
    "category": "Home > Kitchen > Mugs",
    "sizes": ["S", "M"],
    "in_stock": True,
    "weight": 0.25,
    "since": "2024-05-31",
}


@pytest.mark.parametrize(
    "condition",
    [
        {"attribute": "category", "starts_with": "Home > Kitchen"},
        {"attribute": "sizes", "equals": "M"},
        {"attribute": "sizes", "any_of": ["M", "XL"]},
        {"attribute": "sizes", "all_of": ["S", "M"]},
        {"attribute": "in_stock", "equals": True},
        {"attribute": "weight", "range": {"lt": 0.5}},
        {"attribute": "since", "range": {"gte": "2024-05-01", "lt": "2024-06-01T00:00:00Z"}},
    ],
)
async def test_an_attribute_of_any_type_finds_a_posted_item(
    client: httpx.AsyncClient, condition: dict[str, Any]
) -> None:
    posted = await client.post("/items", json={"item_id": "typed", "title": "Typed mug", "attributes": TYPED})
    assert posted.json()["attributes"] == TYPED
    assert ids_of(await recommended(client, condition)) == {"typed"}
    assert ids_of(await recommended(client, {"all_of": [{"attribute": "sizes", "all_of": ["S", "L"]}]})) == set()


@pytest.mark.parametrize(
    ("item_filter", "words"),
    [
        ({"any_of": ["M"]}, "any_of needs filters without an attribute"),
        ({"attribute": "sizes", "all_of": [MUGS]}, "all_of needs values for its attribute"),
        ({"attribute": "since", "range": {"gte": "soon"}}, "expected a date and time"),
        ({"attribute": "since", "range": {"gte": "2024-05-31", "lt": 3}}, "give bounds of one kind"),
        ({"attribute": "sizes", "any_of": [["M"]]}, "any_of"),
    ],
)
async def test_a_filter_that_mixes_values_and_filters_is_refused_in_words(
    client: httpx.AsyncClient, item_filter: dict[str, Any], words: str
) -> None:
    answer = await client.post("/recommend", json={"history": ["item-0"], "filter": item_filter})
    assert answer.status_code == 422
    assert words in answer.text
