"""`clairo-serve export`: a data set that training reads."""

import asyncio
import base64
import json
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from clairo_core.bundle.bundle import Bundle
from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.events import Condition, EventType, InteractionRules
from service.cli.commands import app
from tests.running_service import drawn_picture, running_service
from tests.tiny import tiny_bundle
from training.datasets import load_dataset
from training.datasets.dataset_toml import read_description
from training.retraining.service_tables import newest_discoveries, write_service_tables


@pytest.fixture
async def data_dir(bundle: Bundle, tmp_path: Path) -> Path:
    """A store with two posted items, one of the bundle's changed, and some feedback."""
    data_dir = tmp_path / "store"
    async with running_service(bundle, data_dir=data_dir, database_url="") as client:
        await fill(client, bundle)
    return data_dir


async def fill(client: httpx.AsyncClient, bundle: Bundle) -> None:
    picture = base64.b64encode(drawn_picture()).decode()
    mug = {"title": 'Mug "ü" \\ 😀', "attributes": {"brand": "Fjord", "title": "shown"}, "picture": picture}
    assert (await client.put("/items/mugs/1", json=mug)).status_code == 201
    lamp = {"title": "Lamp", "texts": {"care notes": "Dust it"}}
    assert (await client.put("/items/lamp", json=lamp)).status_code == 201
    changed = {"title": "Of the bundle, changed"}
    assert (await client.put(f"/items/{bundle.catalogue.item_ids[0]}", json=changed)).status_code == 200
    assert (await client.delete("/items/lamp")).status_code == 204
    events = [
        {"event_id": "1", "user_id": "ann", "item_id": "mugs/1", "type": "click", "timestamp": 10.5},
        {"event_id": "2", "user_id": "ann", "item_id": "lamp", "type": "purchase", "timestamp": 20},
        {"event_id": "3", "user_id": "ann", "item_id": "nowhere", "type": "click", "timestamp": 30},
        {"event_id": "4", "user_id": "bob", "item_id": "lamp", "type": "dislike", "timestamp": 30},
        {"event_id": "5", "user_id": "bob", "item_id": bundle.catalogue.item_ids[1], "type": "view", "timestamp": 40},
        {"event_id": "6", "user_id": "eve", "item_id": "lamp", "type": "view", "timestamp": 40},
    ]
    assert (await client.post("/feedback", json={"events": events})).json()["num_accepted"] == 6
    assert (await client.delete("/users/eve")).status_code == 204


def export(data_dir: Path, out: Path, *flags: str) -> str:
    ran = CliRunner().invoke(app, ["export", "--out", str(out), "--data-dir", str(data_dir), *flags])
    assert ran.exit_code == 0, ran.output
    return ran.output


def test_training_reads_an_export(data_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "export"
    told = export(data_dir, out)
    assert "3 items, 2 pictures, 5 interactions" in told
    assert "2 interactions are with items that are not exported" in told
    assert "add --bundle, the served bundle" in told
    dataset = load_dataset(out)
    items = {item.item_id: item for item in dataset.items}
    assert len(items) == 3
    mug = items["mugs/1"]
    assert mug.texts["title"] == 'Mug "ü" \\ 😀'
    assert mug.read_picture() == drawn_picture()
    assert mug.attributes["brand"] == "Fjord"
    assert mug.attributes["attribute_title"] == "shown"
    assert items["lamp"].texts["care notes"] == "Dust it"
    assert dataset.user_ids == ("ann",)
    assert [dataset.items[row].item_id for row in dataset.sequences.items] == ["mugs/1", "lamp"]


async def test_a_disliked_item_is_in_no_exported_history_until_it_is_liked_again(
    bundle: Bundle, tmp_path: Path
) -> None:
    actions = [
        ("ann", "click", "item-1"),
        ("ann", "click", "item-2"),
        ("ann", "dislike", "item-1"),
        ("bob", "click", "item-1"),
        ("bob", "dislike", "item-1"),
        ("bob", "purchase", "item-1"),
    ]
    async with running_service(bundle, data_dir=tmp_path / "store", database_url="") as client:
        events = [
            {"event_id": str(n), "user_id": user, "item_id": item, "type": kind, "timestamp": n}
            for n, (user, kind, item) in enumerate(actions)
        ]
        await client.post("/feedback", json={"events": events})
    await asyncio.to_thread(export, tmp_path / "store", tmp_path / "export", "--bundle", str(bundle.folder))
    dataset = load_dataset(tmp_path / "export")
    histories = {
        user_id: [dataset.items[row].item_id for row in rows]
        for user_id, rows in zip(dataset.user_ids, dataset.sequences, strict=True)
    }
    assert histories == {"ann": ["item-2"], "bob": ["item-1", "item-1"]}
    assert dataset.dislikes is not None
    assert dataset.dislikes.lengths.tolist() == [1, 0]


TYPED = InteractionRules(
    types={
        "purchase": EventType(),
        "view": EventType(weight=0.2),
        "return": EventType(meaning="negative"),
        "banner": EventType(meaning="impression"),
        "loved": EventType(when=Condition.parse("rating >= 4")),
        "search": EventType(meaning="ignored"),
    },
    targets=("purchase", "loved"),
    min_interactions=1,
)


async def test_an_export_keeps_types_values_and_rules_of_the_bundle(tmp_path: Path) -> None:
    typed = load_bundle(tiny_bundle(tmp_path / "typed", rules=TYPED))
    actions = [
        ("view", "item-1", None),
        ("purchase", "item-1", None),
        ("banner", "item-2", None),
        ("impression", "item-2", None),
        ("return", "item-1", None),
        ("stars", "item-3", 5),
        ("stars", "item-4", 2),
        ("search", "item-5", None),
        ("unheard of", "item-6", None),
        ("purchase", "not an item", None),
    ]
    async with running_service(typed, data_dir=tmp_path / "store", database_url="") as client:
        events = [
            {"user_id": "ann", "item_id": item, "type": kind, "timestamp": n, "value": value}
            for n, (kind, item, value) in enumerate(actions)
        ]
        assert (await client.post("/feedback", json={"events": events})).json()["num_accepted"] == 10
    out = tmp_path / "export"
    told = await asyncio.to_thread(export, tmp_path / "store", out, "--bundle", str(typed.folder))
    assert "2 events are left out: no rule fits 'stars' (1), 'unheard of' (1); to keep them, give --rules" in told
    rows = [json.loads(line) for line in (out / "interactions.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(row["type"], row["item_id"], row["rating"]) for row in rows] == [
        ("view", "item-1", None),
        ("purchase", "item-1", None),
        ("return", "item-1", None),
        ("stars", "item-3", 5),
        ("search", "item-5", None),
    ]
    assert read_description(out / "dataset.toml").rules == TYPED
    dataset = load_dataset(out)
    assert dataset.rules == TYPED
    assert [dataset.items[row].item_id for row in dataset.sequences.items] == ["item-3"]


async def test_rules_for_the_next_training_export_types_that_the_bundle_does_not_declare(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = load_bundle(tiny_bundle(tmp_path / "typed", rules=InteractionRules(types={"purchase": EventType()})))
    async with running_service(typed, data_dir=tmp_path / "store", database_url="") as client:
        sent = [("purchase", "item-1", None), ("wish", "item-2", None), ("stars", "item-3", 5), ("stars", "item-4", 2)]
        events = [
            {"user_id": "ann", "item_id": item, "type": kind, "timestamp": n, "value": value}
            for n, (kind, item, value) in enumerate(sent)
        ]
        assert (await client.post("/feedback", json={"events": events})).json()["num_accepted"] == 4
    loved = EventType(when=Condition.parse("rating >= 4"))
    rules = InteractionRules(types={"purchase": EventType(), "wish": EventType(weight=0.5), "loved": loved})
    monkeypatch.setenv("CLAIRO_DATA_DIR", str(tmp_path / "store"))
    monkeypatch.setenv("CLAIRO_DATABASE_URL", "")
    await asyncio.to_thread(write_service_tables, tmp_path / "shop", typed.folder, None, None, rules)
    dataset = load_dataset(tmp_path / "shop")
    assert dataset.rules == rules
    assert [dataset.items[row].item_id for row in dataset.sequences.items] == ["item-1", "item-2", "item-3"]
    assert newest_discoveries(tmp_path / "shop", {"item-1", "item-2", "item-3"}, rules) == {"ann": 2.0}


def test_with_a_bundle_its_items_are_exported_and_the_stores_content_wins(
    data_dir: Path, tmp_path: Path, bundle: Bundle
) -> None:
    out = tmp_path / "export"
    export(data_dir, out, "--bundle", str(bundle.folder))
    told = export(data_dir, out, "--bundle", str(bundle.folder))
    assert "1 interaction is with items that are not exported, and training leaves them out; post the items" in told
    items = {item.item_id: item for item in load_dataset(out).items}
    assert len(items) == len(bundle.items) + 2
    assert items[bundle.catalogue.item_ids[0]].title == "Of the bundle, changed"
    row = next(row for row in range(1, len(bundle.items)) if bundle.has_picture(row))
    assert items[bundle.catalogue.item_ids[row]].read_picture() == bundle.read_picture(row)
    rows = [json.loads(line) for line in (out / "interactions.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {row["user_id"] for row in rows} == {"ann", "bob"}


def test_a_folder_that_is_not_an_export_is_never_replaced(data_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine"
    out.mkdir()
    (out / "letter.txt").write_text("dear")
    ran = CliRunner().invoke(app, ["export", "--out", str(out), "--data-dir", str(data_dir)])
    assert ran.exit_code == 1
    assert "is not an export" in ran.stderr
    assert (out / "letter.txt").read_text() == "dear"


def test_a_store_without_items_is_an_error(tmp_path: Path) -> None:
    ran = CliRunner().invoke(app, ["export", "--out", str(tmp_path / "out"), "--data-dir", str(tmp_path / "store")])
    assert ran.exit_code == 1
    assert "no items" in ran.stderr
    assert not (tmp_path / "out").exists()
