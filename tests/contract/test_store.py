"""One suite for every store: the fake that tests may use, and SQLite in a file and in memory."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from clairo_core.errors import DuplicateItemError
from clairo_core.items import Item
from service.errors import FeatureSetTakenError
from service.store.sql_store import SqlStore
from service.store.store import CatalogueChange, ChangeKind, Store, StoredFeatures


class MemoryStore:
    """A `Store` in dictionaries: what the promises mean, without a database."""

    def __init__(self) -> None:
        self.items: dict[str, Item] = {}
        self.features: dict[tuple[str, str], StoredFeatures] = {}
        self.changes: list[tuple[ChangeKind, str]] = []

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def add_item(self, item: Item, features: StoredFeatures) -> int:
        if item.item_id in self.items:
            raise DuplicateItemError(item.item_id)
        self._check_free(features)
        self.items[item.item_id] = item
        self.features[features.bundle_id, item.item_id] = features
        self.changes.append((ChangeKind.ADDED, item.item_id))
        return len(self.changes)

    async def add_features(self, item_id: str, features: StoredFeatures) -> None:
        self._check_free(features)
        self.features[features.bundle_id, item_id] = features

    async def retire_item(self, item_id: str) -> int:
        if (ChangeKind.RETIRED, item_id) not in self.changes:
            self.changes.append((ChangeKind.RETIRED, item_id))
        return self.changes.index((ChangeKind.RETIRED, item_id)) + 1

    async def changes_since(self, version: int, bundle_id: str) -> Sequence[CatalogueChange]:
        changes = []
        for number, (kind, item_id) in enumerate(self.changes[version:], start=version + 1):
            item = self.items.get(item_id)
            shown = None if item is None else Item(item_id=item_id, texts=item.texts, attributes=item.attributes)
            features = self.features.get((bundle_id, item_id))
            has_picture = item is not None and item.picture is not None
            changes.append(CatalogueChange(number, kind, item_id, shown, has_picture, features))
        return changes

    async def read_picture(self, item_id: str) -> bytes | None:
        item = self.items.get(item_id)
        return None if item is None else item.read_picture()

    def _check_free(self, features: StoredFeatures) -> None:
        for (bundle_id, _), other in self.features.items():
            if bundle_id == features.bundle_id and other.feature_set == features.feature_set:
                raise FeatureSetTakenError(str(features.feature_set))


@pytest.fixture(params=["fake", "sqlite file", "sqlite in memory"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    stores: dict[str, Store] = {
        "fake": MemoryStore(),
        "sqlite file": SqlStore(tmp_path / "store" / "clairo.db"),
        "sqlite in memory": SqlStore(None),
    }
    store = stores[request.param]
    await store.open()
    yield store
    for opened in stores.values():
        await opened.close()


def features(*feature_set: int, bundle_id: str = "bundle-a") -> StoredFeatures:
    embedding = np.asarray([0.5, -1.25], dtype=np.float32)
    return StoredFeatures(bundle_id, feature_set, embedding, ("image",))


MUG = Item(item_id="mug", texts={"title": "Blue mug", "description": "Holds tea"}, attributes={"brand": "Fjord"})
LAMP = Item(item_id="lamp/ä", texts={"title": "Lamp"}, picture=b"\x89PNG picture")


async def test_a_new_store_has_no_changes(store: Store) -> None:
    assert await store.changes_since(0, "bundle-a") == []


async def test_an_added_item_comes_back_as_it_went_in(store: Store) -> None:
    assert await store.add_item(MUG, features(1, 2, 0)) == 1
    (change,) = await store.changes_since(0, "bundle-a")
    assert (change.version, change.kind, change.item_id) == (1, ChangeKind.ADDED, "mug")
    assert change.item is not None
    assert list(change.item.texts.items()) == [("title", "Blue mug"), ("description", "Holds tea")]
    assert change.item.attributes == {"brand": "Fjord"}
    assert not change.has_picture
    assert change.features is not None
    assert change.features.feature_set == (1, 2, 0)
    assert change.features.missing_modalities == ("image",)
    np.testing.assert_array_equal(change.features.item_embedding, np.float32([0.5, -1.25]))


async def test_a_picture_is_read_apart_from_the_item(store: Store) -> None:
    await store.add_item(LAMP, features(1, 2, 0))
    (change,) = await store.changes_since(0, "bundle-a")
    assert change.has_picture
    assert change.item is not None
    assert change.item.picture is None
    assert await store.read_picture("lamp/ä") == b"\x89PNG picture"


async def test_a_picture_that_is_not_there_is_none(store: Store) -> None:
    await store.add_item(MUG, features(1, 2, 0))
    assert await store.read_picture("mug") is None
    assert await store.read_picture("nobody posted this") is None


async def test_versions_count_up_by_one(store: Store) -> None:
    assert await store.add_item(MUG, features(1, 2, 0)) == 1
    assert await store.add_item(LAMP, features(1, 2, 1)) == 2
    assert await store.retire_item("mug") == 3
    assert [change.version for change in await store.changes_since(1, "bundle-a")] == [2, 3]


async def test_an_id_is_given_once(store: Store) -> None:
    await store.add_item(MUG, features(1, 2, 0))
    with pytest.raises(DuplicateItemError):
        await store.add_item(MUG, features(1, 2, 1))
    assert len(await store.changes_since(0, "bundle-a")) == 1


async def test_no_two_items_share_a_feature_set_and_nothing_of_the_second_is_kept(store: Store) -> None:
    await store.add_item(MUG, features(1, 2, 0))
    with pytest.raises(FeatureSetTakenError):
        await store.add_item(LAMP, features(1, 2, 0))
    assert [change.item_id for change in await store.changes_since(0, "bundle-a")] == ["mug"]
    assert await store.add_item(LAMP, features(1, 2, 1)) == 2


async def test_another_bundle_sees_the_item_without_features_until_it_describes_it(store: Store) -> None:
    await store.add_item(MUG, features(1, 2, 0))
    (change,) = await store.changes_since(0, "bundle-b")
    assert change.item is not None
    assert change.features is None
    await store.add_features("mug", features(7, 7, 0, bundle_id="bundle-b"))
    (described,) = await store.changes_since(0, "bundle-b")
    assert described.features is not None
    assert described.features.feature_set == (7, 7, 0)
    (before,) = await store.changes_since(0, "bundle-a")
    assert before.features is not None
    assert before.features.feature_set == (1, 2, 0)


async def test_features_under_another_bundle_are_unique_as_well(store: Store) -> None:
    await store.add_item(MUG, features(1, 2, 0))
    await store.add_item(LAMP, features(1, 2, 1))
    await store.add_features("mug", features(7, 7, 0, bundle_id="bundle-b"))
    with pytest.raises(FeatureSetTakenError):
        await store.add_features("lamp/ä", features(7, 7, 0, bundle_id="bundle-b"))


async def test_an_item_of_the_bundle_can_be_retired_and_stays_so(store: Store) -> None:
    assert await store.retire_item("of the bundle") == 1
    assert await store.retire_item("of the bundle") == 1
    (change,) = await store.changes_since(0, "bundle-a")
    assert (change.kind, change.item_id, change.item) == (ChangeKind.RETIRED, "of the bundle", None)
