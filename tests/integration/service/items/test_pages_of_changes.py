"""Stored changes are applied in pages; where a page ends changes nothing."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import numpy as np
import pytest

from clairo_core.bundle.bundle import Bundle
from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.items import Item
from service.items import stored_changes
from service.items.attribute_schema import AttributeSchema
from service.items.ingestion import Ingestion, ItemPut
from service.live_catalogue import LiveCatalogue
from service.store.attribute_types import AttributeTypeStore
from service.store.sql_store import SqlStore
from service.store.store import DescribedContent, ItemWrite, StoredFeatures
from tests.fake_store import content_of
from tests.running_service import drawn_picture
from tests.tiny import tiny_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load_bundle(tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny", num_items=20))


@pytest.fixture
async def store() -> AsyncIterator[SqlStore]:
    store = SqlStore(None)
    await store.open()
    yield store
    await store.close()


def served(bundle: Bundle, store: SqlStore) -> tuple[LiveCatalogue, Ingestion]:
    live = LiveCatalogue(bundle, bundle.recommender("cpu", num_views=1, num_beams=5))
    schema = AttributeSchema(AttributeTypeStore(store.database))
    return live, Ingestion(live, store, schema, max_queue_depth=10)


def state(live: LiveCatalogue) -> dict[str, tuple[object, ...]]:
    catalogue = live.recommender.catalogue
    return {
        served.item.item_id: (
            tuple(catalogue.feature_sets[row].tolist()),
            bool(catalogue.is_retired[row]),
            served.item.title,
            served.has_picture,
            served.missing_modalities,
            None if served.item_embedding is None else served.item_embedding.tobytes(),
        )
        for row, served in enumerate(live.items)
    }


async def write_a_history(ingestion: Ingestion) -> None:
    mugs = [Item(item_id=f"mug-{number}", texts={"title": "blue mug"}) for number in range(5)]
    await ingestion.put_items([ItemPut(mug) for mug in mugs])
    await ingestion.put_items([ItemPut(replace(mugs[0], texts={"title": "red lamp"}, picture=drawn_picture()))])
    await ingestion.retire_item("mug-1")
    await ingestion.retire_item("item-2")
    await ingestion.put_items([ItemPut(Item(item_id="item-3", texts={"title": "a green poster"}))])
    await ingestion.add_item(replace(mugs[1], texts={"title": "blue mug, again"}))
    await ingestion.add_item(Item(item_id="cup", texts={"title": "blue mug"}))
    await ingestion.retire_item("mug-4")


def renamed(mug: Item) -> Item:
    return replace(mug, texts={"title": f"{mug.item_id} in blue"})


@pytest.mark.parametrize("changes_at_once", [1, 3, 1000])
async def test_a_restart_serves_what_was_served_whatever_the_page(
    bundle: Bundle, store: SqlStore, changes_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    live, ingestion = served(bundle, store)
    await write_a_history(ingestion)
    monkeypatch.setattr(stored_changes, "CHANGES_AT_ONCE", changes_at_once)
    restarted, again = served(bundle, store)
    await again.catch_up()
    assert state(restarted) == state(live)
    assert restarted.catalogue_version == live.catalogue_version


@pytest.mark.parametrize("changes_at_once", [1, 3, 1000])
async def test_another_bundle_describes_the_items_of_each_page_once(
    bundle: Bundle, store: SqlStore, changes_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, ingestion = served(bundle, store)
    await write_a_history(ingestion)
    monkeypatch.setattr(stored_changes, "CHANGES_AT_ONCE", changes_at_once)
    other = replace(bundle, manifest=replace(bundle.manifest, bundle_id="other"))
    live, candidate = served(other, store)
    await candidate.catch_up()
    feature_sets = live.recommender.catalogue.feature_sets
    assert len(np.unique(feature_sets, axis=0)) == len(feature_sets) == 20 + 6
    changes = await store.changes_since(0, "other")
    posted = [change for change in changes if change.item_id not in ("item-2", "item-3")]
    assert all(change.are_features_current and change.features is not None for change in posted)
    restarted, again = served(other, store)
    await again.catch_up()
    assert state(restarted) == state(live)


async def test_a_page_that_needs_a_feature_set_of_a_later_change_is_applied(
    bundle: Bundle, store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    live, ingestion = served(bundle, store)
    mugs = [Item(item_id=f"mug-{number}", texts={"title": "blue mug"}) for number in range(2)]
    await ingestion.put_items([ItemPut(mug) for mug in mugs])
    follower, following = served(bundle, store)
    await following.catch_up()
    # Another process: the first mug leaves its feature set, the second one takes it, but changes first.
    first = tuple(live.recommender.catalogue.feature_sets[20].tolist())
    for mug in (mugs[1], mugs[0]):
        await store.write_items([ItemWrite(renamed(mug), None)])
    taken = live.recommender.catalogue.taken
    free = next((*first[:-1], index) for index in range(16) if (*first[:-1], index) not in taken)
    for mug, feature_set in ((mugs[0], free), (mugs[1], first)):
        features = StoredFeatures(live.bundle_id, feature_set, live.embedding_of(20), ("image",))  # type: ignore[arg-type]
        await store.add_features([DescribedContent(mug.item_id, features, content_of(renamed(mug)))])
    monkeypatch.setattr(stored_changes, "CHANGES_AT_ONCE", 1)
    async with asyncio.timeout(20):
        await following.catch_up()
    assert [tuple(row) for row in follower.recommender.catalogue.feature_sets[20:].tolist()] == [free, first]


async def test_a_feature_set_of_an_item_in_a_later_page_is_left_to_it(
    bundle: Bundle, store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = replace(bundle, manifest=replace(bundle.manifest, bundle_id="other"))
    _, ingestion = served(bundle, store)
    mugs = [Item(item_id=f"mug-{number}", texts={"title": "blue mug"}) for number in range(3)]
    await ingestion.put_items([ItemPut(mug) for mug in mugs])
    wanted = bundle.describe(mugs[0], bundle.catalogue.taken)
    last = StoredFeatures("other", wanted.feature_set, wanted.item_embedding, wanted.missing_modalities)
    await store.add_features([DescribedContent("mug-2", last, content_of(mugs[2]))])
    monkeypatch.setattr(stored_changes, "CHANGES_AT_ONCE", 1)
    live, candidate = served(other, store)
    async with asyncio.timeout(20):
        await candidate.catch_up()
    feature_sets = [tuple(row) for row in live.recommender.catalogue.feature_sets[20:].tolist()]
    assert (len(set(feature_sets)), feature_sets[2]) == (3, wanted.feature_set)
