"""GET /items/{item_id}/similar: by content, per modality, posted items included."""

import json
from typing import Any

import httpx
import numpy as np
import pytest

from clairo_core.bundle.bundle import Bundle
from clairo_core.bundle.load_bundle import load_bundle
from tests.running_service import running_service
from tests.tiny import tiny_bundle


async def similar_to(client: httpx.AsyncClient, item_id: str, **query: Any) -> dict[str, Any]:
    answer = await client.get(f"/items/{item_id}/similar", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


async def test_the_most_similar_items_come_first(client: httpx.AsyncClient, bundle: Bundle) -> None:
    assert bundle.item_embeddings is not None
    vectors = bundle.item_embeddings.item_embeddings
    directions = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = directions @ directions[4]
    answer = await similar_to(client, "item-4", limit=5)
    expected = [f"item-{row}" for row in np.argsort(-cosines, kind="stable").tolist() if row != 4][:5]
    assert [similar["item"]["item_id"] for similar in answer["items"]] == expected
    assert [similar["rank"] for similar in answer["items"]] == [1, 2, 3, 4, 5]
    assert answer["items"][0]["similarity"] == pytest.approx(float(np.sort(cosines)[-2]), abs=1e-5)
    assert answer["bundle_id"] == bundle.manifest.bundle_id
    assert set(answer["items"][0]["modality_similarity"]) == {"text", "image"}


async def test_a_modality_that_either_item_lacks_has_no_similarity(client: httpx.AsyncClient) -> None:
    # Every seventh item of the tiny shop has no picture.
    for similar in (await similar_to(client, "item-6", limit=100))["items"]:
        assert similar["modality_similarity"]["image"] is None
        assert similar["modality_similarity"]["text"] is not None


async def test_a_filter_narrows_the_list(client: httpx.AsyncClient) -> None:
    mugs = {"attribute": "category", "equals": "mug"}
    answer = await similar_to(client, "item-4", limit=100, filter=json.dumps(mugs))
    assert {similar["item"]["attributes"]["category"] for similar in answer["items"]} == {"mug"}


async def test_a_posted_item_finds_and_is_found(client: httpx.AsyncClient, bundle: Bundle) -> None:
    item = bundle.items[6]
    posted = {"item_id": "twin/of six", "title": item.title, "description": item.texts["description"]}
    assert (await client.post("/items", json=posted)).status_code == 201
    first = (await similar_to(client, "item-6"))["items"][0]
    assert first["item"]["item_id"] == "twin/of six"
    assert first["similarity"] == pytest.approx(1.0, abs=1e-4)
    assert first["modality_similarity"]["text"] == pytest.approx(1.0, abs=1e-3)
    assert first["item"]["origin"] == "posted"
    assert (await similar_to(client, "twin%2Fof%20six", limit=1))["items"][0]["item"]["item_id"] == "item-6"


@pytest.mark.parametrize(
    ("query", "where"),
    [
        ({"limit": 0}, ["query", "limit"]),
        ({"limit": 101}, ["query", "limit"]),
        ({"limit": "many"}, ["query", "limit"]),
        ({"filter": "mug"}, ["query", "filter"]),
        ({"filter": "[]"}, ["query", "filter"]),
        ({"filter": "[" * 5000}, ["query", "filter"]),
        ({"filter": "{}"}, ["query", "filter"]),
        ({"filter": '{"attribute": "price", "range": {"gte": "x"}}'}, ["query", "filter", "range", "gte"]),
        ({"filter": "x" * 8001}, ["query", "filter"]),
        ({"filter": '{"only_new": NaN}'}, ["query", "filter"]),
    ],
)
async def test_an_invalid_query_is_refused_by_name(
    client: httpx.AsyncClient, query: dict[str, Any], where: list[str]
) -> None:
    answer = await client.get("/items/item-1/similar", params=query)
    assert answer.status_code == 422, answer.text
    assert any(error["loc"][: len(where)] == where for error in answer.json()["errors"]), answer.text


async def test_an_unknown_item_is_a_404(client: httpx.AsyncClient) -> None:
    answer = await client.get("/items/nobody/similar")
    assert answer.status_code == 404
    assert answer.json()["type"] == "urn:clairo:problem:unknown-item"


async def test_a_bundle_of_ready_made_codes_has_no_similar_items(tmp_path_factory: pytest.TempPathFactory) -> None:
    codes = load_bundle(tiny_bundle(tmp_path_factory.mktemp("bundles") / "codes", num_items=20, can_ingest=False))
    async with running_service(codes) as client:
        answer = await client.get("/items/item-1/similar")
        assert answer.status_code == 409
        assert answer.json()["type"] == "urn:clairo:problem:no-embeddings"
        diverse = await client.post("/recommend", json={"history": ["item-1"], "limit": 5, "diversity": 0.5})
        assert len({item["item_id"] for item in diverse.json()["items"]}) == 5
        explained = await client.post("/recommend", json={"history": ["item-1", "item-2"], "explain": True})
        assert explained.status_code == 200
        assert explained.json()["items"][0]["explanation"]["text"]


async def test_a_filter_on_an_attribute_of_no_item_lists_nothing_and_warns(client: httpx.AsyncClient) -> None:
    answer = await client.get("/items/item-1/similar", params={"filter": '{"attribute": "colour", "exists": true}'})
    assert answer.status_code == 200
    assert answer.json()["items"] == []
    assert answer.json()["warnings"] == ["no item has an attribute 'colour': the condition matches no item"]
