"""PATCH /items/{item_id}, /items and /items/bulk: single fields change, everything else stays."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from clairo_core.bundle.bundle import Bundle
from service.items import describer
from tests.running_service import drawn_picture, running_service

MUG = {
    "title": "Dawn mug",
    "description": "Stoneware, pink glaze",
    "attributes": {"price": "18", "brand": "Fjord"},
    "picture": base64.b64encode(drawn_picture()).decode(),
}
MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}


@pytest.fixture
async def client(bundle: Bundle) -> AsyncIterator[httpx.AsyncClient]:
    async with running_service(bundle) as client:
        assert (await client.put("/items/mug", json=MUG)).status_code == 201
        yield client


async def patch(client: httpx.AsyncClient, item_id: str, status: int = 200, /, **changes: Any) -> dict[str, Any]:
    answer = await client.patch(f"/items/{item_id}", content=json.dumps(changes), headers=MERGE_PATCH)
    assert answer.status_code == status, answer.text
    return answer.json()  # type: ignore[no-any-return]


async def test_a_patch_changes_what_it_names(client: httpx.AsyncClient) -> None:
    before = (await client.get("/items/mug")).json()
    after = await patch(client, "mug", attributes={"price": "17", "brand": None})
    assert after["outcome"] == "changed"
    assert after["attributes"] == {"price": "17"}
    same = ("title", "texts", "feature_set", "picture_url", "missing_modalities")
    assert [after[name] for name in same] == [before[name] for name in same]
    assert (await client.get("/items/mug/picture")).content == drawn_picture()
    assert (await patch(client, "mug", attributes={"price": "17"}))["outcome"] == "unchanged"


async def test_new_words_describe_the_item_again(client: httpx.AsyncClient) -> None:
    after = await patch(client, "mug", title="Violet jug", texts={"care": "By hand"}, description=None)
    assert after["texts"] == {"title": "Violet jug", "care": "By hand"}
    assert after["picture_url"] is not None
    assert not after["features_kept"]


async def test_null_removes_the_picture(client: httpx.AsyncClient) -> None:
    after = await patch(client, "mug", picture=None)
    assert (after["picture_url"], after["missing_modalities"]) == (None, ["image"])
    after = await patch(client, "mug", picture=MUG["picture"])
    assert (after["picture_url"], after["missing_modalities"]) == ("/items/mug/picture", [])


async def test_an_item_of_the_bundle_keeps_its_picture_over_a_restart(bundle: Bundle, tmp_path: Path) -> None:
    item_id = bundle.catalogue.item_ids[0]
    async with running_service(bundle, data_dir=tmp_path, database_url="") as client:
        picture = (await client.get(f"/items/{item_id}/picture")).content
        before = (await client.get(f"/items/{item_id}")).json()
        after = await patch(client, item_id, attributes={"in_stock": False})
        assert after["attributes"] == before["attributes"] | {"in_stock": False}
        assert (after["origin"], after["texts"]) == ("posted", before["texts"])
    async with running_service(bundle, data_dir=tmp_path, database_url="") as client:
        assert (await client.get(f"/items/{item_id}/picture")).content == picture
        again = (await client.get(f"/items/{item_id}")).json()
        assert (again["attributes"], again["feature_set"]) == (after["attributes"], before["feature_set"])


async def test_a_filter_follows_a_patch_at_once(client: httpx.AsyncClient, bundle: Bundle) -> None:
    item_ids = list(bundle.catalogue.item_ids)
    patches = [{"item_id": item_id, "attributes": {"in_stock": n % 2 == 0}} for n, item_id in enumerate(item_ids)]
    answer = await client.patch("/items", json={"items": patches})
    assert answer.status_code == 200, answer.text
    assert {entry["outcome"] for entry in answer.json()["items"]} == {"changed"}
    assert [entry["item_id"] for entry in answer.json()["items"]] == item_ids
    request = {"history": [], "limit": 100, "filter": {"attribute": "in_stock", "equals": True}}
    for sold_out in (set(), {item_ids[2]}):
        if sold_out:
            await patch(client, item_ids[2], attributes={"in_stock": False})
        items = (await client.post("/recommend", json=request)).json()["items"]
        assert {item["item_id"] for item in items} == set(item_ids[::2]) - sold_out


async def test_attributes_are_patched_without_describing_anything(
    client: httpx.AsyncClient, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(describer, "step", None)
    items = [{"item_id": item_id, "attributes": {"price": "1"}} for item_id in ("mug", *bundle.catalogue.item_ids)]
    assert (await client.patch("/items", json={"items": items})).status_code == 200


async def test_a_retired_item_stays_retired(client: httpx.AsyncClient) -> None:
    await client.delete("/items/mug")
    assert (await patch(client, "mug", attributes={"price": "1"}))["is_retired"] is True


@pytest.mark.parametrize(
    ("changes", "loc", "reason"),
    [
        ({"attributes": {"price": ["1"]}}, ["body", "attributes", "price"], "expected text"),
        ({"attributes": {"price": {}}}, ["body", "attributes", "price"], "expected text, a number"),
        ({"title": None, "description": None, "picture": None}, ["body"], "neither words nor a picture would be left"),
        ({"picture": "no base64"}, ["body", "picture"], "not base64"),
        ({"texts": {"title": "Mug"}}, ["body"], "give title as a field of its own"),
        ({"colour": "red"}, ["body", "colour"], "unknown"),
        ({"item_id": "jug"}, ["body", "item_id"], "differs from the id in the url"),
        ({"attributes": {f"a{n}": "x" for n in range(50)}}, ["body", "attributes"], "expected at most 50"),
    ],
)
async def test_an_invalid_patch_changes_nothing(
    client: httpx.AsyncClient, changes: dict[str, Any], loc: list[str], reason: str
) -> None:
    before = (await client.get("/items/mug")).json()
    error = (await patch(client, "mug", 422, **changes))["errors"][0]
    assert error["loc"] == loc
    if reason != "unknown":
        assert reason in error["msg"]
    assert (await client.get("/items/mug")).json() == before


async def test_one_wrong_patch_refuses_all(client: httpx.AsyncClient) -> None:
    good = {"item_id": "mug", "attributes": {"price": "1"}}
    unknown = await client.patch("/items", json={"items": [good, {"item_id": "jug"}]})
    assert (unknown.status_code, "'jug'" in unknown.json()["detail"]) == (404, True)
    wrong = await client.patch(
        "/items", json={"items": [{"item_id": "item-0"}, {**good, "attributes": {"brand": True}}]}
    )
    assert wrong.json()["errors"][0]["loc"] == ["body", "items", 1, "attributes", "brand"]
    assert "item 'mug': attribute 'brand'" in wrong.json()["detail"]
    twice = await client.patch("/items", json={"items": [good, good]})
    assert (twice.status_code, "stands here twice" in twice.json()["detail"]) == (422, True)
    assert (await client.get("/items/mug")).json()["attributes"]["price"] == "18"
    assert (await client.patch("/items/nobody", json={})).status_code == 404


async def test_a_job_patches_line_by_line(client: httpx.AsyncClient) -> None:
    rows: list[dict[str, Any]] = [
        {"item_id": "mug", "attributes": {"price": "1"}},
        {"item_id": "nobody", "attributes": {"price": "1"}},
        {"item_id": "mug", "attributes": {"stock": 3}},
        {"item_id": "item-0", "attributes": {"stock": ["many"]}},
    ]
    lines = "\n".join(map(json.dumps, rows))
    job = await client.patch("/items/bulk", content=lines, headers={"Content-Type": "application/x-ndjson"})
    assert (job.status_code, job.json()["kind"]) == (202, "patches")
    give_up_at = time.monotonic() + 60
    while (done := (await client.get(job.headers["location"])).json())["state"] != "done":
        assert time.monotonic() < give_up_at
        await asyncio.sleep(0.02)
    assert (done["num_accepted"], [row["line"] for row in done["rejected"]]) == (2, [2, 4])
    assert "'nobody'" in done["rejected"][0]["reason"]
    assert "item 'item-0': attribute 'stock': got a list" in done["rejected"][1]["reason"]
    mug = (await client.get("/items/mug")).json()
    assert mug["attributes"] == {"price": "1", "brand": "Fjord", "stock": 3}


async def test_patches_reach_other_services_on_the_same_store(bundle: Bundle, tmp_path: Path) -> None:
    async with (
        running_service(bundle, data_dir=tmp_path, database_url="") as one,
        running_service(bundle, data_dir=tmp_path, database_url="") as two,
    ):
        fields = [{"a": "1"}, {"b": "2"}] * 3
        await asyncio.gather(
            *(patch([one, two][n % 2], "item-1", attributes=attributes) for n, attributes in enumerate(fields))
        )
        for client in (one, two):
            shown = (await patch(client, "item-1"))["attributes"]
            assert {"a": "1", "b": "2"}.items() <= shown.items()
