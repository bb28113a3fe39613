"""POST and GET /items: adding, reading, paging; after a restart and under another bundle."""

import asyncio
import base64
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from clairo_core.bundle.bundle import Bundle
from clairo_core.bundle.load_bundle import load_bundle
from tests.running_service import drawn_picture, running_service
from tests.tiny import tiny_bundle

MUG = {
    "item_id": "mug-dawn",
    "title": "Dawn mug",
    "description": "Stoneware, pink glaze",
    "attributes": {"price": "18"},
}


async def post(client: httpx.AsyncClient, **item: Any) -> dict[str, Any]:
    answer = await client.post("/items", json=item)
    assert answer.status_code == 201, answer.text
    return answer.json()  # type: ignore[no-any-return]


async def everything_recommended(client: httpx.AsyncClient, bundle: Bundle) -> dict[str, str]:
    """Item id -> source, for every item recommendable after the bundle's first item."""
    history = [bundle.catalogue.item_ids[0]]
    answer = (await client.post("/recommend", json={"history": history, "limit": 100})).json()
    return {item["item_id"]: item["source"] for item in answer["items"]}


async def test_the_next_request_can_generate_a_posted_item(client: httpx.AsyncClient, bundle: Bundle) -> None:
    assert "mug-dawn" not in await everything_recommended(client, bundle)
    posted = await post(client, **MUG)
    assert (await everything_recommended(client, bundle))["mug-dawn"] == "generative"
    assert posted["catalogue_version"] == bundle.catalogue.version + 1


async def test_a_posted_item_works_in_a_history(client: httpx.AsyncClient) -> None:
    await post(client, **MUG)
    answer = (await client.post("/recommend", json={"history": ["mug-dawn"]})).json()
    assert answer["fallback_reason"] is None
    assert answer["ignored_item_ids"] == []


async def test_the_answer_shows_features_and_tokens(client: httpx.AsyncClient, bundle: Bundle) -> None:
    answer = await client.post("/items", json=MUG | {"picture": base64.b64encode(drawn_picture()).decode()})
    assert answer.status_code == 201
    assert answer.headers["location"] == "/items/mug-dawn"
    item = answer.json()
    assert item == (await client.get("/items/mug-dawn")).json()
    assert item["texts"] == {"title": "Dawn mug", "description": "Stoneware, pink glaze"}
    assert item["attributes"] == {"price": "18"}
    assert item["origin"] == "posted"
    assert item["missing_modalities"] == []
    feature_set = [feature["value"] for feature in item["feature_set"]]
    assert item["semantic_id"] == feature_set[:-1]
    in_tokens = [(feature["category"], feature["value"]) for token in item["tokens"] for feature in token["features"]]
    assert sorted(in_tokens) == sorted((feature["category"], feature["value"]) for feature in item["feature_set"])


async def test_a_form_with_a_file_equals_json(client: httpx.AsyncClient) -> None:
    picture = drawn_picture()
    as_json = await post(client, **MUG, picture=base64.b64encode(picture).decode())
    fields = {"item_id": "mug-form", "title": MUG["title"], "description": MUG["description"]}
    answer = await client.post(
        "/items",
        data=fields | {"attributes": '{"price": "18"}'},
        files={"picture": ("mug.png", picture, "application/octet-stream")},
    )
    assert answer.status_code == 201, answer.text
    assert answer.json()["semantic_id"] == as_json["semantic_id"]
    assert answer.json()["attributes"] == {"price": "18"}


@pytest.mark.parametrize(("kind", "media_type"), [("PNG", "image/png"), ("JPEG", "image/jpeg"), ("WEBP", "image/webp")])
async def test_a_posted_picture_is_returned_unchanged(client: httpx.AsyncClient, kind: str, media_type: str) -> None:
    picture = drawn_picture(kind=kind)
    posted = await post(client, item_id="pictured", picture=base64.b64encode(picture).decode())
    answer = await client.get(posted["picture_url"])
    assert answer.content == picture
    assert answer.headers["content-type"] == media_type
    again = await client.get(posted["picture_url"], headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


async def test_a_picture_of_the_bundle_is_served(client: httpx.AsyncClient, bundle: Bundle) -> None:
    row = next(row for row in range(len(bundle.items)) if bundle.has_picture(row))
    item = (await client.get(f"/items/{bundle.items[row].item_id}")).json()
    assert (await client.get(item["picture_url"])).content == bundle.read_picture(row)


async def test_missing_modalities_are_listed(client: httpx.AsyncClient) -> None:
    words = await post(client, **MUG)
    assert words["missing_modalities"] == ["image"]
    assert words["picture_url"] is None
    no_picture = await client.get("/items/mug-dawn/picture")
    assert no_picture.status_code == 404
    assert no_picture.json()["type"] == "urn:clairo:problem:no-picture"
    picture = await post(client, item_id="wordless", picture=base64.b64encode(drawn_picture()).decode())
    assert picture["missing_modalities"] == ["text"]
    assert picture["title"] == "wordless"


async def test_identical_items_get_distinct_feature_sets(client: httpx.AsyncClient) -> None:
    alike = await asyncio.gather(*(post(client, item_id=f"mug-{n}", title="The same mug") for n in range(8)))
    feature_sets = [tuple(feature["value"] for feature in item["feature_set"]) for item in alike]
    assert len(set(feature_sets)) == 8
    assert len({item["catalogue_version"] for item in alike}) == 8


async def test_one_of_equal_ids_posted_at_once_wins(client: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(*(client.post("/items", json=MUG | {"title": f"Mug {n}"}) for n in range(5)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409]
    winner = next(answer.json() for answer in answers if answer.status_code == 201)
    assert (await client.get("/items/mug-dawn")).json()["title"] == winner["title"]


async def test_an_id_of_the_bundle_is_taken(client: httpx.AsyncClient, bundle: Bundle) -> None:
    answer = await client.post("/items", json=MUG | {"item_id": bundle.catalogue.item_ids[0]})
    assert answer.status_code == 409
    assert answer.json()["type"] == "urn:clairo:problem:item-exists"


@pytest.mark.parametrize(
    "item_id", ["mugs/blue 12", "Krüge/ö?#%25&", "100%", "a.b", "茶碗", "picture", "'; DROP TABLE"]
)
async def test_ids_of_any_characters_have_a_url(client: httpx.AsyncClient, item_id: str) -> None:
    picture = drawn_picture()
    answer = await client.post("/items", json=MUG | {"item_id": item_id, "picture": base64.b64encode(picture).decode()})
    assert answer.status_code == 201, answer.text
    found = (await client.get(answer.headers["location"])).json()
    assert found["item_id"] == item_id
    assert (await client.get(found["picture_url"])).content == picture


async def test_pages_list_every_item_once_newest_first(client: httpx.AsyncClient, bundle: Bundle) -> None:
    await post(client, **MUG)
    item_ids: list[str] = []
    cursor = None
    while True:
        page = (await client.get("/items", params={"limit": 7} | ({"cursor": cursor} if cursor else {}))).json()
        item_ids += [item["item_id"] for item in page["items"]]
        if not item_ids[7:]:
            # Added at the front between two pages: later pages must not shift.
            await post(client, **MUG | {"item_id": "meanwhile"})
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert item_ids == ["mug-dawn", *reversed(bundle.catalogue.item_ids)]


async def test_a_search_finds_words_in_any_case_and_order(client: httpx.AsyncClient) -> None:
    await post(client, item_id="x-1", title="Straße Lamp", attributes={"brand": "Fjord"})
    for words in ("lamp strasse", "FJORD", "x-1", "  lamp  "):
        page = (await client.get("/items", params={"q": words})).json()
        assert "x-1" in [item["item_id"] for item in page["items"]], words
    assert (await client.get("/items", params={"q": "fjord chair"})).json() == {"items": [], "next_cursor": None}


async def test_a_bundle_of_precomputed_codes_refuses_new_items(tmp_path: Path) -> None:
    codes = load_bundle(tiny_bundle(tmp_path / "codes", can_ingest=False))
    async with running_service(codes) as client:
        assert (await client.get("/info")).json()["can_ingest"] is False
        answer = await client.post("/items", json=MUG)
        assert answer.status_code == 409
        assert answer.json()["type"] == "urn:clairo:problem:cannot-ingest"
        history = [codes.catalogue.item_ids[0]]
        assert (await client.post("/recommend", json={"history": history})).status_code == 200


async def test_a_bundle_of_numbered_items_refuses_new_items_and_names_its_preset(tmp_path: Path) -> None:
    codes = load_bundle(tiny_bundle(tmp_path / "codes", can_ingest=False))
    numbered = replace(codes.manifest, preset="p5_ids", settings={"quantize": {"kind": "sequential"}})
    async with running_service(replace(codes, manifest=numbered)) as client:
        answer = await client.post("/items", json=MUG)
        assert answer.status_code == 409
        assert "was trained by preset p5_ids on item numbers in place of content" in answer.json()["detail"]


async def test_posted_items_survive_a_restart(bundle: Bundle, tmp_path: Path) -> None:
    picture = drawn_picture(3)
    async with running_service(bundle, data_dir=tmp_path, database_url="") as client:
        await post(client, item_id="first", title="First")
        posted = await post(client, **MUG, picture=base64.b64encode(picture).decode())
    async with running_service(bundle, data_dir=tmp_path, database_url="") as client:
        assert (await client.get("/items/mug-dawn")).json() == posted
        assert (await client.get(posted["picture_url"])).content == picture
        assert (await everything_recommended(client, bundle))["mug-dawn"] == "generative"


async def test_another_bundle_describes_posted_items_again_and_features_under_the_first_stay(
    bundle: Bundle, tmp_path: Path
) -> None:
    other = load_bundle(tiny_bundle(tmp_path / "other", num_items=50, seed=5))
    assert other.manifest.bundle_id != bundle.manifest.bundle_id
    data_dir = tmp_path / "store"
    async with running_service(bundle, data_dir=data_dir, database_url="") as client:
        before = await post(client, **MUG, picture=base64.b64encode(drawn_picture()).decode())
    for _ in range(2):
        async with running_service(other, data_dir=data_dir, database_url="") as client:
            described = (await client.get("/items/mug-dawn")).json()
            assert described["bundle_id"] == other.manifest.bundle_id
            assert described["texts"] == before["texts"]
            assert described["missing_modalities"] == []
            assert (await everything_recommended(client, other))["mug-dawn"] == "generative"
            await post(client, item_id=f"later-{described['catalogue_version']}-{_}", title="Later")
    async with running_service(bundle, data_dir=data_dir, database_url="") as client:
        after = (await client.get("/items/mug-dawn")).json()
        assert after["feature_set"] == before["feature_set"]


async def test_a_bundle_of_precomputed_codes_serves_without_the_items_it_cannot_describe(
    bundle: Bundle, tmp_path: Path
) -> None:
    codes = load_bundle(tiny_bundle(tmp_path / "codes", can_ingest=False))
    data_dir = tmp_path / "store"
    async with running_service(bundle, data_dir=data_dir, database_url="") as client:
        await post(client, **MUG)
    async with running_service(codes, data_dir=data_dir, database_url="") as client:
        assert (await client.get("/items/mug-dawn")).status_code == 404
    async with running_service(bundle, data_dir=data_dir, database_url="") as client:
        assert (await client.get("/items/mug-dawn")).status_code == 200


async def test_two_services_on_one_store_never_give_two_items_one_feature_set(bundle: Bundle, tmp_path: Path) -> None:
    async with (
        running_service(bundle, data_dir=tmp_path, database_url="") as one,
        running_service(bundle, data_dir=tmp_path, database_url="") as two,
    ):
        posts = [
            post(service, item_id=f"{name}-{n}", title="The same")
            for n in range(6)
            for service, name in ((one, "one"), (two, "two"))
        ]
        items = await asyncio.gather(*posts)
        feature_sets = {tuple(feature["value"] for feature in item["feature_set"]) for item in items}
        assert len(feature_sets) == 12
        # Each applies the other's items before it adds its own.
        await post(one, item_id="last", title="Last")
        assert (await one.get("/items/two-5")).status_code == 200


async def test_a_failing_store_is_a_503_without_file_names_and_recommending_goes_on(
    bundle: Bundle, tmp_path: Path
) -> None:
    async with running_service(bundle, data_dir=tmp_path, database_url="") as client:
        connection = sqlite3.connect(tmp_path / "clairo.db")
        connection.execute("DROP TABLE item_features")
        connection.close()
        answer = await client.post("/items", json=MUG)
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
        assert "clairo.db" not in answer.text
        assert "item_features" not in answer.text
        assert len(await everything_recommended(client, bundle)) == len(bundle.catalogue) - 1


async def test_namespaces_are_separate(bundle: Bundle, tmp_path: Path) -> None:
    async with running_service(bundle, data_dir=tmp_path, database_url="") as client:
        await post(client, **MUG)
    async with running_service(bundle, data_dir=tmp_path, database_url="", namespace="other-shop") as client:
        assert (await client.get("/items/mug-dawn")).status_code == 404
        await post(client, **MUG)
