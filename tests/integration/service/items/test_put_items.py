"""PUT and DELETE /items/{item_id}: content changes, items are retired and restored."""

import asyncio
import base64
from pathlib import Path
from typing import Any

import httpx
import pytest

from clairo_core.bundle.bundle import Bundle
from clairo_core.bundle.load_bundle import load_bundle
from tests.running_service import drawn_picture, running_service
from tests.tiny import tiny_bundle

MUG = {"title": "Dawn mug", "description": "Stoneware, pink glaze", "attributes": {"price": "18"}}


async def put(client: httpx.AsyncClient, item_id: str, status: int, **content: Any) -> dict[str, Any]:
    answer = await client.put(f"/items/{item_id}", json=content)
    assert answer.status_code == status, answer.text
    return answer.json()  # type: ignore[no-any-return]


async def recommended(client: httpx.AsyncClient, bundle: Bundle) -> set[str]:
    request = {"history": [bundle.catalogue.item_ids[0]], "limit": 100}
    return {item["item_id"] for item in (await client.post("/recommend", json=request)).json()["items"]}


async def test_a_new_item_is_created_once(client: httpx.AsyncClient, bundle: Bundle) -> None:
    created = await put(client, "mug", 201, **MUG)
    assert (created["outcome"], created["features_kept"]) == ("created", False)
    assert "mug" in await recommended(client, bundle)
    unchanged = await put(client, "mug", 200, **MUG)
    assert (unchanged["outcome"], unchanged["features_kept"]) == ("unchanged", True)
    assert unchanged["catalogue_version"] == created["catalogue_version"]


async def test_changed_content_is_shown_and_searched(client: httpx.AsyncClient) -> None:
    created = await put(client, "mug", 201, **MUG)
    picture = base64.b64encode(drawn_picture()).decode()
    changed = await put(client, "mug", 200, title="Violet jug", attributes={"price": "21"}, picture=picture)
    assert changed["outcome"] == "changed"
    assert changed["catalogue_version"] == created["catalogue_version"] + 1
    found = (await client.get("/items/mug")).json()
    assert (found["title"], found["attributes"], found["texts"]) == (
        "Violet jug",
        {"price": "21"},
        {"title": "Violet jug"},
    )
    assert (await client.get(found["picture_url"])).content == drawn_picture()
    search = await client.get("/items", params={"q": "violet"})
    assert [item["item_id"] for item in search.json()["items"]] == ["mug"]
    assert (await client.get("/items", params={"q": "pink glaze"})).json()["items"] == []


async def test_a_picture_left_out_stays_and_null_removes_it(client: httpx.AsyncClient) -> None:
    await put(client, "mug", 201, **MUG, picture=base64.b64encode(drawn_picture()).decode())
    assert (await put(client, "mug", 200, title="Jug"))["picture_url"] is not None
    assert (await client.get("/items/mug/picture")).content == drawn_picture()
    changed = await put(client, "mug", 200, **MUG, picture=None)
    assert changed["picture_url"] is None
    assert (await client.get("/items/mug/picture")).status_code == 404


async def test_an_item_of_the_bundle_keeps_its_new_content_over_a_restart(bundle: Bundle, tmp_path: Path) -> None:
    item_id = bundle.catalogue.item_ids[3]
    async with running_service(bundle, data_dir=tmp_path, database_url="") as client:
        before = (await client.get(f"/items/{item_id}")).json()
        changed = await put(client, item_id, 200, **MUG)
        assert (changed["outcome"], changed["origin"]) == ("changed", "posted")
        assert changed["feature_set"] == before["feature_set"]
        assert (await put(client, item_id, 200, **MUG))["outcome"] == "unchanged"
    async with running_service(bundle, data_dir=tmp_path, database_url="") as client:
        after = (await client.get(f"/items/{item_id}")).json()
        assert (after["title"], after["attributes"]) == ("Dawn mug", {"price": "18"})
        assert after["catalogue_version"] == changed["catalogue_version"]


async def test_a_retired_item_is_not_recommended_until_it_is_put_again(
    client: httpx.AsyncClient, bundle: Bundle
) -> None:
    created = await put(client, "mug", 201, **MUG)
    for _ in range(2):
        assert (await client.delete("/items/mug")).status_code == 204
    retired = (await client.get("/items/mug")).json()
    assert (retired["is_retired"], retired["catalogue_version"]) == (True, created["catalogue_version"] + 1)
    assert "mug" not in await recommended(client, bundle)
    restored = await put(client, "mug", 200, **MUG)
    assert (restored["outcome"], restored["is_retired"]) == ("restored", False)
    assert restored["feature_set"] == created["feature_set"]
    assert "mug" in await recommended(client, bundle)
    assert (await client.delete("/items/nobody-posted-this")).status_code == 404


async def test_an_item_of_the_bundle_is_retired_and_restored_over_restarts(bundle: Bundle, tmp_path: Path) -> None:
    item_id = bundle.catalogue.item_ids[1]
    async with running_service(bundle, data_dir=tmp_path, database_url="") as client:
        assert (await client.delete(f"/items/{item_id}")).status_code == 204
    async with running_service(bundle, data_dir=tmp_path, database_url="") as client:
        assert item_id not in await recommended(client, bundle)
        assert (await put(client, item_id, 200, **MUG))["outcome"] == "restored"
    async with running_service(bundle, data_dir=tmp_path, database_url="") as client:
        assert item_id in await recommended(client, bundle)
        assert (await client.get(f"/items/{item_id}")).json()["title"] == "Dawn mug"


async def test_a_form_changes_an_item_as_json_does(client: httpx.AsyncClient) -> None:
    await put(client, "mug", 201, **MUG)
    files = {"picture": ("mug.png", drawn_picture(), "image/png")}
    answer = await client.put("/items/mug", data={"title": "Jug"}, files=files)
    assert (answer.status_code, answer.json()["title"], answer.json()["outcome"]) == (200, "Jug", "changed")


async def test_one_of_concurrent_puts_creates_and_the_last_one_wins(client: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(*(client.put("/items/mug", json={"title": f"Mug {n}"}) for n in range(6)))
    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [201]
    versions = {answer.json()["catalogue_version"]: answer.json()["title"] for answer in answers}
    assert (await client.get("/items/mug")).json()["title"] == versions[max(versions)]


@pytest.mark.parametrize(
    ("item_id", "content", "loc"),
    [
        ("mug", {"item_id": "jug", "title": "Jug"}, ["item_id"]),
        ("mug", {}, []),
        ("mug/picture", {"title": "Mug"}, ["path", "item_id"]),
        ("bulk", {"title": "Mug"}, ["path", "item_id"]),
        ("a//b", {"title": "Mug"}, ["path", "item_id"]),
        ("%00", {"title": "Mug"}, ["path", "item_id"]),
    ],
)
async def test_an_invalid_put_is_refused_with_a_reason(
    client: httpx.AsyncClient, item_id: str, content: dict[str, str], loc: list[str]
) -> None:
    answer = await client.put(f"/items/{item_id}", json=content)
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["loc"] == loc


async def test_a_bundle_of_precomputed_codes_takes_new_content_but_no_new_items(tmp_path: Path) -> None:
    codes = load_bundle(tiny_bundle(tmp_path / "codes", can_ingest=False))
    async with running_service(codes) as client:
        assert (await put(client, codes.catalogue.item_ids[0], 200, **MUG))["outcome"] == "changed"
        assert (await client.put("/items/new", json=MUG)).status_code == 409


async def test_changes_reach_other_services_on_the_same_store(bundle: Bundle, tmp_path: Path) -> None:
    async with (
        running_service(bundle, data_dir=tmp_path, database_url="") as one,
        running_service(bundle, data_dir=tmp_path, database_url="") as two,
    ):
        await put(one, "mug", 201, **MUG)
        await put(one, "mug", 200, title="Jug")
        await one.delete("/items/mug")
        learned = await put(two, "other", 201, title="Other")
        assert learned["catalogue_version"] == bundle.catalogue.version + 4
        seen = (await two.get("/items/mug")).json()
        assert (seen["title"], seen["is_retired"]) == ("Jug", True)
