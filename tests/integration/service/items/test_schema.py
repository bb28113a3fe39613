"""GET and PUT /schema: types of attributes, for items and filters."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from clairo_core.bundle.bundle import Bundle
from tests.running_service import running_service

FIRST_USES = {"category": {"type": "text", "is_declared": False}, "price": {"type": "text", "is_declared": False}}


async def declare(client: httpx.AsyncClient, **types: str) -> httpx.Response:
    return await client.put("/schema", json={"attributes": {name: {"type": type_} for name, type_ in types.items()}})


async def recommended(client: httpx.AsyncClient, item_filter: dict[str, Any]) -> httpx.Response:
    return await client.post("/recommend", json={"history": [], "limit": 100, "filter": item_filter})


async def test_the_bundles_items_are_the_first_use(client: httpx.AsyncClient) -> None:
    assert (await client.get("/schema")).json() == {"attributes": FIRST_USES}
    created = await client.put("/items/mug", json={"title": "Mug", "attributes": {"price": "18", "stock": 3}})
    assert created.json()["attributes"] == {"price": "18", "stock": 3}
    assert (await client.get("/schema")).json()["attributes"]["stock"] == {"type": "number", "is_declared": False}
    refused = await client.put("/items/jug", json={"title": "Jug", "attributes": {"price": 18}})
    assert refused.status_code == 422
    assert "item 'jug': attribute 'price': got a number ('18'), expected text" in refused.json()["detail"]


async def test_a_text_price_stays_comparable_as_a_number(client: httpx.AsyncClient, bundle: Bundle) -> None:
    answer = await recommended(client, {"attribute": "price", "range": {"lt": 30}})
    cheap = {item.item_id for item in bundle.items if float(str(item.attributes["price"])) < 30}
    assert {item["item_id"] for item in answer.json()["items"]} == cheap


async def test_a_declared_type_holds_for_new_values_and_the_bundles(client: httpx.AsyncClient) -> None:
    await client.put("/items/mug", json={"title": "Mug", "attributes": {"price": "18.00"}})
    declared = await declare(client, price="number", in_stock="boolean")
    assert (declared.status_code, declared.json()["num_converted_items"]) == (200, 1)
    assert declared.json()["attributes"]["price"] == {"type": "number", "is_declared": True}
    assert (await client.get("/items/mug")).json()["attributes"]["price"] == 18
    of_bundle = (await client.get("/items/item-0")).json()
    assert not isinstance(of_bundle["attributes"]["price"], str)
    assert of_bundle["origin"] == "bundle"
    refused = await client.patch("/items/item-0", json={"attributes": {"price": "cheap"}})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["loc"] == ["body", "attributes", "price"]
    for part in ("item 'item-0'", "attribute 'price'", "got text ('cheap')", "expected a number"):
        assert part in refused.json()["detail"]
    await declare(client)
    assert (await client.get("/items/item-0")).json()["attributes"][
        "price"
    ] == f"{of_bundle['attributes']['price']:.2f}"


async def test_declared_lists_and_booleans_are_filtered_by_in_the_bundle_too(
    client: httpx.AsyncClient, bundle: Bundle
) -> None:
    await declare(client, category="list")
    answer = await recommended(client, {"attribute": "category", "any_of": ["mug"]})
    mugs = {item.item_id for item in bundle.items if item.attributes["category"] == "mug"}
    assert {item["item_id"] for item in answer.json()["items"]} == mugs


async def test_a_type_that_values_do_not_have_is_refused(client: httpx.AsyncClient) -> None:
    before = (await client.get("/schema")).json()
    refused = await declare(client, category="number")
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:clairo:problem:stored-values")
    assert "attribute 'category': 60 items have values that are not a number, such as" in refused.json()["detail"]
    assert (await client.get("/schema")).json() == before


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        ({"attribute": "in_stock", "range": {"gte": 1}}, "got range, which it has no order for"),
        ({"attribute": "in_stock", "equals": "yes"}, "got 'yes', expected true or false"),
        ({"attribute": "price", "range": {"gte": "2024-05-31"}}, "got a range of dates, expected one of numbers"),
        ({"attribute": "price", "starts_with": "Home"}, "got starts_with, which is for category paths"),
        ({"attribute": "price", "in": [18, True]}, "got True, expected a number"),
    ],
)
async def test_a_filter_that_cannot_fit_a_declared_type_is_refused(
    client: httpx.AsyncClient, condition: dict[str, Any], reason: str
) -> None:
    assert (await recommended(client, condition)).status_code == 200
    await declare(client, price="number", in_stock="boolean")
    nested = {"not": {"all_of": [condition, {"only_new": True}]}}
    for answer in (
        await recommended(client, condition),
        await recommended(client, nested),
        await client.get("/items/item-0/similar", params={"filter": json.dumps(condition)}),
    ):
        assert (answer.status_code, reason in answer.json()["detail"]) == (422, True), answer.text
        assert answer.json()["errors"][0]["loc"][-1] == "filter"
    assert (await recommended(client, {"attribute": "nobody has it", "range": {"gte": 1}})).status_code == 200


async def test_a_declaration_reaches_other_processes_within_seconds(bundle: Bundle, tmp_path: Path) -> None:
    async with (
        running_service(bundle, data_dir=tmp_path, database_url="") as one,
        running_service(bundle, data_dir=tmp_path, database_url="") as two,
    ):
        await declare(one, price="number")
        answer = await two.put("/items/mug", json={"title": "Mug", "attributes": {"price": "18"}})
        assert answer.status_code == 422
        async with asyncio.timeout(30):
            while isinstance((await two.get("/items/item-0")).json()["attributes"]["price"], str):
                await asyncio.sleep(0.1)
    async with running_service(bundle, data_dir=tmp_path, database_url="") as again:
        assert (await again.get("/schema")).json()["attributes"]["price"]["is_declared"]
        assert not isinstance((await again.get("/items/item-0")).json()["attributes"]["price"], str)
