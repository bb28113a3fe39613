"""Patches of items: the same for a fake, SQLite and PostgreSQL."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from clairo_core.items import Item
from service.errors import InvalidItemError
from service.store.item_patch import ItemPatch
from service.store.store import CatalogueChange, ChangeKind, ItemWrite, Store, StoredFeatures, WriteOutcome

PICTURE = b"\x89PNG picture"
MUG = Item(
    item_id="mug",
    texts={"title": "Mug", "description": "Holds tea"},
    attributes={"price": 18.0, "sizes": ("S", "M"), "brand": "Fjord"},
    picture=PICTURE,
)
LAMP = Item(item_id="lamp", texts={"title": "Lamp"}, attributes={"price": 40.0}, picture=b"\x89PNG lamp")
CHANGED, UNCHANGED = WriteOutcome.CHANGED, WriteOutcome.UNCHANGED


@pytest.fixture
async def store(store: Store) -> Store:
    await store.add_item(MUG, StoredFeatures("bundle-a", (1, 2), np.float32([0.5]), ()))
    return store


async def newest(store: Store, item_id: str = "mug") -> CatalogueChange:
    changes = await store.changes_since(0, "bundle-a")
    return [change for change in changes if change.item_id == item_id][-1]


async def item_after(store: Store, patch: ItemPatch) -> Item:
    assert await store.patch_items([patch], {}) == [CHANGED]
    item = (await newest(store, patch.item_id)).item
    assert item is not None
    return item


async def test_absent_fields_stay_and_the_picture_too(store: Store) -> None:
    item = await item_after(store, ItemPatch(item_id="mug", attributes={"price": 17.5}))
    assert item.attributes == {"price": 17.5, "sizes": ("S", "M"), "brand": "Fjord"}
    assert list(item.texts.items()) == [("title", "Mug"), ("description", "Holds tea")]
    assert await store.read_picture("mug") == PICTURE


async def test_none_removes_a_field(store: Store) -> None:
    patch = ItemPatch(item_id="mug", texts={"description": None}, attributes={"brand": None, "unknown": None})
    item = await item_after(store, patch)
    assert (dict(item.texts), item.attributes) == ({"title": "Mug"}, {"price": 18.0, "sizes": ("S", "M")})


async def test_all_attributes_or_texts_can_be_removed_at_once(store: Store) -> None:
    await item_after(store, ItemPatch(item_id="mug", texts={"care": "By hand"}))
    patch = ItemPatch(item_id="mug", attributes={"new": "yes"}, drops_attributes=True, drops_texts=True)
    item = await item_after(store, patch)
    assert (list(item.texts), item.attributes) == (["title", "description"], {"new": "yes"})


async def test_a_picture_is_replaced_and_removed(store: Store) -> None:
    await item_after(store, ItemPatch(item_id="mug", picture=b"\x89PNG other", keeps_picture=False))
    assert await store.read_picture("mug") == b"\x89PNG other"
    await item_after(store, ItemPatch(item_id="mug", keeps_picture=False))
    assert await store.read_picture("mug") is None
    assert not (await newest(store)).has_picture


async def test_a_patch_of_attributes_leaves_the_features_current(store: Store) -> None:
    await item_after(store, ItemPatch(item_id="mug", attributes={"price": 1.0}))
    assert (await newest(store)).are_features_current
    await item_after(store, ItemPatch(item_id="mug", texts={"title": "Jug"}))
    assert not (await newest(store)).are_features_current


async def test_a_patch_that_changes_nothing_makes_no_version(store: Store) -> None:
    before = (await newest(store)).version
    assert await store.patch_items([ItemPatch(item_id="mug", attributes={"price": 18.0})], {}) == [UNCHANGED]
    assert await store.patch_items([ItemPatch(item_id="lamp")], {"lamp": LAMP}) == [UNCHANGED]
    assert (await newest(store)).version == before
    assert await store.read_item_digest("lamp") is None


async def test_an_item_of_the_bundle_moves_to_the_store_with_its_picture(store: Store) -> None:
    patches = [ItemPatch(item_id="lamp", attributes={"price": 39.0}), ItemPatch(item_id="mug", texts={"title": "Jug"})]
    assert await store.patch_items(patches, {"lamp": LAMP}) == [CHANGED, CHANGED]
    lamp = await newest(store, "lamp")
    assert (lamp.kind, lamp.has_picture, lamp.features) == (ChangeKind.CHANGED, True, None)
    assert lamp.item is not None
    assert (lamp.item.texts, lamp.item.attributes) == ({"title": "Lamp"}, {"price": 39.0})
    assert await store.read_picture("lamp") == LAMP.picture
    # Once there, the store's content counts.
    assert await store.patch_items([ItemPatch(item_id="lamp", texts={"care": "Dry"})], {"lamp": LAMP}) == [CHANGED]
    assert (await newest(store, "lamp")).item == replace(lamp.item, texts={"title": "Lamp", "care": "Dry"})


async def test_a_retired_item_stays_retired(store: Store) -> None:
    await store.retire_item("mug")
    await item_after(store, ItemPatch(item_id="mug", attributes={"price": 2.0}))
    assert (await newest(store)).kind is ChangeKind.CHANGED


async def test_all_patches_are_written_or_none(store: Store) -> None:
    patches = [
        ItemPatch(item_id="mug", attributes={"price": 1.0}),
        ItemPatch(item_id="lamp", texts={"title": None}, keeps_picture=False),
    ]
    with pytest.raises(InvalidItemError, match="item 'lamp': neither words nor a picture would be left"):
        await store.patch_items(patches, {"lamp": LAMP})
    assert (await newest(store)).item == replace(MUG, picture=None)


async def test_concurrent_patches_of_one_item_lose_no_field(store: Store) -> None:
    patches = [ItemPatch(item_id="mug", attributes={f"field {n}": float(n)}) for n in range(10)]
    await asyncio.gather(*(store.patch_items([patch], {}) for patch in patches))
    item = (await newest(store)).item
    assert item is not None
    assert {f"field {n}": float(n) for n in range(10)}.items() <= dict(item.attributes).items()


async def test_a_put_may_keep_the_picture(store: Store) -> None:
    jug = Item(item_id="mug", texts={"title": "Jug"})
    assert await store.write_items([ItemWrite(jug, None, keeps_picture=True)]) == [CHANGED]
    assert await store.read_picture("mug") == PICTURE
    assert await store.write_items([ItemWrite(jug, None, keeps_picture=True)]) == [UNCHANGED]
    assert await store.write_items([ItemWrite(replace(LAMP), None, keeps_picture=True)]) == [CHANGED]
    assert await store.read_picture("lamp") == LAMP.picture
    assert await store.write_items([ItemWrite(jug, None)]) == [CHANGED]
    assert await store.read_picture("mug") is None
