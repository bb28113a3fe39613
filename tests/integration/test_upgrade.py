"""Files of earlier releases: a bundle of the previous schema, a store of the first version, and both together."""

import sqlite3
import zipfile
from pathlib import Path

import pytest

from clairo_core.bundle.bundle import Bundle
from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.bundle.manifest import BUNDLE_SCHEMA
from clairo_core.items import UserHistory
from tests.repository import REPOSITORY
from tests.running_service import running_service

DATA = REPOSITORY / "tests" / "data"
HISTORY = ("item-1", "item-2", "item-9")
RECOMMENDED_THEN = ["item-18", "item-0", "item-11", "item-17", "item-10"]
MUG = {"item_id": "posted-mug", "title": "blue mug 99", "description": "A mug for every day, in blue."}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Written by the last commit before schema 2: 24 items with words and pictures, no joint ranking."""
    folder = tmp_path_factory.mktemp("bundles") / "then"
    with zipfile.ZipFile(DATA / "bundle_schema_1.zip") as archive:
        archive.extractall(folder)
    return load_bundle(folder)


def test_a_bundle_of_the_previous_schema_recommends_as_before(bundle: Bundle) -> None:
    assert bundle.manifest.schema_version == BUNDLE_SCHEMA - 1
    answer = bundle.recommender("cpu", num_views=2, num_beams=20).recommend(UserHistory(HISTORY), 5)
    assert [item.item_id for item in answer.items] == RECOMMENDED_THEN


async def test_a_bundle_of_the_previous_schema_is_served_and_takes_new_items(bundle: Bundle) -> None:
    async with running_service(bundle) as client:
        posted = await client.post("/items", json=MUG)
        assert posted.status_code == 201, posted.text
        asked = {"history": [*HISTORY, "posted-mug"], "limit": 25, "include_seen": True}
        answer = (await client.post("/recommend", json=asked)).json()
        assert answer["ignored_item_ids"] == []
        assert "posted-mug" in {item["item_id"] for item in answer["items"]}
        assert (await client.get("/items/item-1/similar")).status_code == 200
        assert (await client.get("/items/item-1/picture")).status_code == 200


async def test_a_store_of_the_first_version_is_migrated_and_its_items_are_served(
    bundle: Bundle, tmp_path: Path
) -> None:
    connection = sqlite3.connect(tmp_path / "clairo.db")
    connection.executescript((DATA / "store_version_1.sql").read_text(encoding="utf-8"))
    connection.close()
    async with running_service(bundle, data_dir=tmp_path, database_url="") as client:
        mug = (await client.get("/items/mug")).json()
        assert mug["origin"] == "posted"
        assert mug["tokens"]
        answer = (await client.post("/recommend", json={"history": ["mug"], "limit": 25})).json()
        assert answer["ignored_item_ids"] == []
        events = [{"event_id": "e", "user_id": "u", "item_id": "mug", "type": "click"}]
        assert (await client.post("/feedback", json={"events": events})).status_code == 200
