"""New words or another picture describe an item again: neighbours follow, and features unless training used them."""

import asyncio
import base64
import random
from pathlib import Path
from typing import Any

import httpx
import pytest

from clairo_core.bundle.bundle import Bundle
from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.items import Item
from service.store.sql_store import SqlStore
from service.store.store import ItemWrite
from tests.running_service import drawn_picture, running_service
from tests.tiny import tiny_bundle

MUG = {"title": "red mug 7", "description": "A mug for every day, in red.", "attributes": {"price": "18"}}
POSTER = {"title": "blue poster 3", "description": "A poster for every day, in blue."}


async def put(client: httpx.AsyncClient, item_id: str, **content: Any) -> dict[str, Any]:
    answer = await client.put(f"/items/{item_id}", json=content)
    assert answer.status_code in (200, 201), answer.text
    return answer.json()  # type: ignore[no-any-return]


async def neighbours(client: httpx.AsyncClient, item_id: str) -> list[tuple[str, float]]:
    answer = await client.get(f"/items/{item_id}/similar", params={"limit": 100})
    assert answer.status_code == 200, answer.text
    return [(found["item"]["item_id"], found["similarity"]) for found in answer.json()["items"]]


async def everything_about(client: httpx.AsyncClient, *item_ids: str) -> list[object]:
    """All that a process answers about these items."""
    seen: list[object] = []
    for item_id in item_ids:
        seen += [(await client.get(f"/items/{item_id}")).json(), await neighbours(client, item_id)]
        recommended = await client.post("/recommend", json={"history": [item_id, "item-2"], "limit": 60, "seed": 1})
        seen.append([(item["item_id"], round(item["score"], 4)) for item in recommended.json()["items"]])
    return seen


def codes(item: dict[str, Any]) -> list[int]:
    return item["semantic_id"]  # type: ignore[no-any-return]


async def test_a_posted_item_with_other_words_is_described_as_a_new_item_with_them_would_be(
    client: httpx.AsyncClient,
) -> None:
    posted = await put(client, "vague", **MUG)
    twin = await put(client, "twin", **POSTER)
    assert codes(posted) != codes(twin)
    changed = await put(client, "vague", **POSTER)
    assert (changed["outcome"], changed["features_kept"]) == ("changed", False)
    assert codes(changed) == codes(twin)
    assert changed["tokens"] != posted["tokens"]
    assert changed["feature_set"] != twin["feature_set"]
    assert changed["catalogue_version"] == twin["catalogue_version"] + 1
    ((nearest, similarity), *_) = await neighbours(client, "vague")
    assert (nearest, similarity) == ("twin", pytest.approx(1.0))
    answer = await client.post("/recommend", json={"history": ["item-2"], "limit": 100})
    assert "vague" in [item["item_id"] for item in answer.json()["items"]]


async def test_a_first_picture_is_described_as_at_the_first_post(client: httpx.AsyncClient) -> None:
    picture = base64.b64encode(drawn_picture()).decode()
    without = await put(client, "late", **MUG)
    assert without["missing_modalities"] == ["image"]
    twin = await put(client, "twin", **MUG, picture=picture)
    with_picture = await put(client, "late", **MUG, picture=picture)
    assert with_picture["missing_modalities"] == []
    assert codes(with_picture) == codes(twin)


async def test_another_price_describes_nothing_again(client: httpx.AsyncClient) -> None:
    before = await put(client, "mug", **MUG)
    similar = await neighbours(client, "mug")
    changed = await put(client, "mug", **MUG | {"attributes": {"price": "20"}})
    assert (changed["outcome"], changed["features_kept"]) == ("changed", True)
    assert changed["feature_set"] == before["feature_set"]
    assert await neighbours(client, "mug") == similar


async def test_an_item_of_the_bundle_keeps_its_tokens_and_its_neighbours_follow_the_new_content(
    client: httpx.AsyncClient,
) -> None:
    before = (await client.get("/items/item-3")).json()
    similar = await neighbours(client, "item-3")
    opposite = (await client.get(f"/items/{similar[-1][0]}")).json()
    changed = await put(client, "item-3", title=opposite["title"], description=opposite["texts"]["description"])
    assert (changed["outcome"], changed["features_kept"]) == ("changed", True)
    assert (changed["tokens"], changed["feature_set"]) == (before["tokens"], before["feature_set"])
    assert changed["catalogue_version"] == before["catalogue_version"] + 1
    after = dict(await neighbours(client, "item-3"))
    assert after[similar[-1][0]] > similar[-1][1] + 0.2


async def test_an_item_of_the_bundle_with_its_old_content_is_as_trained(
    client: httpx.AsyncClient, bundle: Bundle
) -> None:
    row = next(row for row in range(len(bundle.items)) if not bundle.has_picture(row))
    item = bundle.items[row]
    similar = await neighbours(client, item.item_id)
    await put(client, item.item_id, **POSTER)
    assert await neighbours(client, item.item_id) != similar
    await put(client, item.item_id, title=item.texts["title"], description=item.texts["description"])
    assert await neighbours(client, item.item_id) == similar


async def test_a_deleted_id_can_be_posted_again(client: httpx.AsyncClient) -> None:
    for item_id in ("mug", "item-4"):
        if item_id == "mug":
            assert (await client.post("/items", json={"item_id": item_id, **MUG})).status_code == 201
        before = (await client.get(f"/items/{item_id}")).json()
        assert (await client.post("/items", json={"item_id": item_id, **POSTER})).status_code == 409
        assert (await client.delete(f"/items/{item_id}")).status_code == 204
        answer = await client.post("/items", json={"item_id": item_id, **POSTER})
        assert answer.status_code == 201, answer.text
        again = answer.json()
        assert (again["title"], again["is_retired"]) == (POSTER["title"], False)
        assert (again["tokens"] == before["tokens"]) is (item_id == "item-4")
        assert (await client.post("/items", json={"item_id": item_id, **MUG})).status_code == 409
        recommended = await client.post("/recommend", json={"history": ["item-2"], "limit": 100})
        assert item_id in [item["item_id"] for item in recommended.json()["items"]]


async def caught_up(client: httpx.AsyncClient, version: int) -> None:
    """Wait until a service has applied every change up to this version of the catalogue."""
    async with asyncio.timeout(30):
        while (await client.get("/items/item-2")).json()["catalogue_version"] < version:
            await asyncio.sleep(0.1)


async def test_every_process_and_a_restart_agree(bundle: Bundle, tmp_path: Path) -> None:
    ids = ("posted", "item-3", "item-5")
    store: dict[str, Any] = {"data_dir": tmp_path, "database_url": ""}
    async with running_service(bundle, **store) as one, running_service(bundle, **store) as two:
        await put(one, "posted", **MUG)
        await put(two, "posted", **POSTER)
        await put(one, "item-3", **POSTER)
        await put(two, "item-3", **MUG)
        await two.delete("/items/item-5")
        assert (await one.post("/items", json={"item_id": "item-5", **MUG})).status_code == 201
        await caught_up(one, (await put(two, "last", title="Last"))["catalogue_version"])
        of_one, of_two = await everything_about(one, *ids), await everything_about(two, *ids)
    async with running_service(bundle, **store) as restarted:
        of_restarted = await everything_about(restarted, *ids)
    assert of_one == of_two == of_restarted


async def test_another_bundle_and_the_way_back_describe_the_newest_content(bundle: Bundle, tmp_path: Path) -> None:
    other = load_bundle(tiny_bundle(tmp_path / "other", seed=3))
    store: dict[str, Any] = {"data_dir": tmp_path / "store", "database_url": ""}
    async with running_service(bundle, **store) as client:
        await put(client, "posted", **MUG)
    async with running_service(other, **store) as client:
        await put(client, "posted", **POSTER)
        await put(client, "item-3", **POSTER, picture=None)
        await put(client, "twin", **POSTER)
    async with running_service(bundle, **store) as client:
        posted, twin = (await client.get("/items/posted")).json(), (await client.get("/items/twin")).json()
        assert codes(posted) == codes(twin)
        similar = dict(await neighbours(client, "posted"))
        assert similar["twin"] == similar["item-3"] == pytest.approx(1.0)


async def test_writes_at_once_in_any_order_leave_every_process_and_a_restart_agreeing(
    bundle: Bundle, tmp_path: Path
) -> None:
    draw = random.Random(4)
    ids = ("posted-a", "posted-b", "posted-c", "item-3", "item-5")
    store: dict[str, Any] = {"data_dir": tmp_path, "database_url": ""}

    async def write(client: httpx.AsyncClient) -> None:
        item_id = draw.choice(ids)
        content = draw.choice([MUG, POSTER, {"title": "green lamp"}, MUG | {"attributes": {"price": "1"}}])
        match draw.randrange(4):
            case 0:
                answer = await client.delete(f"/items/{item_id}")
            case 1:
                answer = await client.post("/items", json={"item_id": item_id, **content})
            case _:
                answer = await client.put(f"/items/{item_id}", json=content)
        assert answer.status_code in (200, 201, 204, 404, 409), answer.text

    async with running_service(bundle, **store) as one, running_service(bundle, **store) as two:
        for _ in range(12):
            await asyncio.gather(*(write(client) for client in (one, two, one, two)))
        for item_id in ids:
            await put(one, item_id, title=f"last words of {item_id}")
        newest = (await put(two, "last", title="Last"))["catalogue_version"]
        await caught_up(one, newest)
        of_one, of_two = await everything_about(one, *ids), await everything_about(two, *ids)
    async with running_service(bundle, **store) as restarted:
        of_restarted = await everything_about(restarted, *ids)
    assert of_one == of_two == of_restarted


async def test_content_stored_just_before_a_kill_is_described_at_the_next_start(bundle: Bundle, tmp_path: Path) -> None:
    store: dict[str, Any] = {"data_dir": tmp_path, "database_url": ""}
    async with running_service(bundle, **store) as client:
        await put(client, "posted", **MUG)
        twin = await put(client, "twin", **POSTER)
    stored = SqlStore(tmp_path / "clairo.db")
    await stored.open()
    texts = {"title": POSTER["title"], "description": POSTER["description"]}
    await stored.write_items([ItemWrite(Item(item_id="posted", texts=texts), None)])
    await stored.close()
    async with running_service(bundle, **store) as client:
        assert codes((await client.get("/items/posted")).json()) == codes(twin)


async def test_content_that_breaks_an_encoder_keeps_no_other_change_from_being_served(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: Bundle, row: int, item: Item) -> None:
        raise RuntimeError("the library crashed")

    monkeypatch.setattr(Bundle, "moved_embedding", broken)
    store: dict[str, Any] = {"data_dir": tmp_path, "database_url": ""}
    async with running_service(bundle, **store) as client:
        similar = await neighbours(client, "item-3")
        assert (await put(client, "item-3", **POSTER))["title"] == POSTER["title"]
        assert await neighbours(client, "item-3") == similar
        assert (await put(client, "posted", **MUG))["outcome"] == "created"
    assert "'item-3' keeps the features of its earlier content: the library crashed" in caplog.text
    async with running_service(bundle, **store) as client:
        assert (await client.get("/items/posted")).status_code == 200
