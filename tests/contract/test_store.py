"""One suite for all stores: a fake, SQLite in a file and in memory, and PostgreSQL."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from clairo_core.errors import DuplicateItemError
from clairo_core.items import Item, described_digest
from service.errors import FeatureSetTakenError
from service.store.sql_store import SqlStore
from service.store.store import (
    BundleActivation,
    CatalogueChange,
    ChangeKind,
    ItemWrite,
    Store,
    StoredFeatures,
    WriteOutcome,
    item_digest,
)
from tests.postgres_server import PostgresServer


class MemoryStore:
    """A `Store` in dictionaries: the contract without a database."""

    def __init__(self) -> None:
        self.items: dict[str, Item] = {}
        self.features: dict[tuple[str, str], StoredFeatures] = {}
        self.described: dict[tuple[str, str], str] = {}
        self.changes: list[tuple[ChangeKind, str]] = []
        self.retired: dict[str, int] = {}
        self.activations: list[BundleActivation] = []

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def add_item(self, item: Item, features: StoredFeatures | None) -> int:
        is_retired = item.item_id in self.retired
        if not is_retired and (item.item_id in self.items or features is None):
            raise DuplicateItemError(item.item_id)
        await self.write_items([ItemWrite(item, None if is_retired else features)])
        return len(self.changes)

    async def add_features(self, item_id: str, features: StoredFeatures, described_digest: str) -> None:
        key = features.bundle_id, item_id
        if described_digest != content_of(self.items[item_id]) or self.described.get(key) == described_digest:
            raise FeatureSetTakenError(item_id)
        self._check_free(features, item_id)
        self.features[key], self.described[key] = features, described_digest

    async def write_items(self, writes: Sequence[ItemWrite]) -> list[WriteOutcome]:
        for write in writes:
            if write.item.item_id not in self.items and write.features is not None:
                self._check_free(write.features, write.item.item_id)
        return [self._write(write) for write in writes]

    def _write(self, write: ItemWrite) -> WriteOutcome:
        item_id = write.item.item_id
        before = self.items.get(item_id)
        self.items[item_id] = write.item
        if before is None and write.features is not None:
            self.features[write.features.bundle_id, item_id] = write.features
            self.described[write.features.bundle_id, item_id] = content_of(write.item)
        if self.retired.pop(item_id, None) is not None:
            kind, outcome = ChangeKind.RESTORED, WriteOutcome.RESTORED
        elif before is None and write.features is not None:
            kind, outcome = ChangeKind.ADDED, WriteOutcome.CREATED
        elif before is None or digest(before) != digest(write.item):
            kind, outcome = ChangeKind.CHANGED, WriteOutcome.CHANGED
        else:
            return WriteOutcome.UNCHANGED
        self.changes.append((kind, item_id))
        return outcome

    async def retire_item(self, item_id: str) -> int:
        if item_id not in self.retired:
            self.changes.append((ChangeKind.RETIRED, item_id))
            self.retired[item_id] = len(self.changes)
        return self.retired[item_id]

    async def changes_since(self, version: int, bundle_id: str) -> Sequence[CatalogueChange]:
        changes = []
        for number, (kind, item_id) in enumerate(self.changes[version:], start=version + 1):
            item = self.items.get(item_id)
            shown = None if item is None else Item(item_id=item_id, texts=item.texts, attributes=item.attributes)
            features = self.features.get((bundle_id, item_id))
            has_picture = item is not None and item.picture is not None
            content = None if item is None else content_of(item)
            is_current = content is not None and self.described.get((bundle_id, item_id)) == content
            changes.append(CatalogueChange(number, kind, item_id, shown, has_picture, features, content, is_current))
        return changes

    async def read_picture(self, item_id: str) -> bytes | None:
        item = self.items.get(item_id)
        return None if item is None else item.read_picture()

    async def read_item_digest(self, item_id: str) -> str | None:
        item = self.items.get(item_id)
        return None if item is None else digest(item)

    async def record_bundle_activation(self, bundle_id: str, path: str, metrics: Mapping[str, float]) -> None:
        self.activations.append(BundleActivation(bundle_id, path, metrics, datetime.now(UTC)))

    async def bundle_activations(self) -> Sequence[BundleActivation]:
        return self.activations

    def _check_free(self, features: StoredFeatures, item_id: str) -> None:
        for (bundle_id, owner), other in self.features.items():
            is_same = bundle_id == features.bundle_id and other.feature_set == features.feature_set
            if is_same and owner != item_id:
                raise FeatureSetTakenError(str(features.feature_set))


def digest(item: Item) -> str:
    return item_digest(item, item.read_picture())


def content_of(item: Item) -> str:
    picture = item.read_picture()
    return described_digest(item.texts, None if picture is None else hashlib.sha256(picture).hexdigest())


@pytest.fixture(params=["fake", "sqlite file", "sqlite in memory", "postgresql"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    store: Store
    if request.param == "fake":
        store = MemoryStore()
    elif request.param == "postgresql":
        postgres: PostgresServer = request.getfixturevalue("postgres")
        store = SqlStore(postgres.new_database(), may_migrate=True)
    else:
        store = SqlStore(tmp_path / "store" / "clairo.db" if request.param == "sqlite file" else None)
    await store.open()
    yield store
    await store.close()


def features(*feature_set: int, bundle_id: str = "bundle-a") -> StoredFeatures:
    embedding = np.asarray([0.5, -1.25], dtype=np.float32)
    return StoredFeatures(bundle_id, feature_set, embedding, ("image",))


MUG = Item(item_id="mug", texts={"title": "Blue mug", "description": "Holds tea"}, attributes={"brand": "Fjord"})
LAMP = Item(item_id="lamp/ä", texts={"title": "Lamp"}, picture=b"\x89PNG picture")


async def test_a_new_store_has_no_changes(store: Store) -> None:
    assert await store.changes_since(0, "bundle-a") == []


async def test_an_added_item_is_read_back_unchanged(store: Store) -> None:
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


async def test_pictures_are_read_separately(store: Store) -> None:
    await store.add_item(LAMP, features(1, 2, 0))
    (change,) = await store.changes_since(0, "bundle-a")
    assert change.has_picture
    assert change.item is not None
    assert change.item.picture is None
    assert await store.read_picture("lamp/ä") == b"\x89PNG picture"


async def test_an_items_digest_covers_its_content(store: Store) -> None:
    await store.add_item(LAMP, features(1, 2, 0))
    assert await store.read_item_digest("lamp/ä") == digest(LAMP)
    assert await store.read_item_digest("mug") is None


async def test_a_missing_picture_is_none(store: Store) -> None:
    await store.add_item(MUG, features(1, 2, 0))
    assert await store.read_picture("mug") is None
    assert await store.read_picture("nobody posted this") is None


async def test_versions_count_up_by_one(store: Store) -> None:
    assert await store.add_item(MUG, features(1, 2, 0)) == 1
    assert await store.add_item(LAMP, features(1, 2, 1)) == 2
    assert await store.retire_item("mug") == 3
    assert [change.version for change in await store.changes_since(1, "bundle-a")] == [2, 3]


async def test_an_id_can_be_added_once(store: Store) -> None:
    await store.add_item(MUG, features(1, 2, 0))
    with pytest.raises(DuplicateItemError):
        await store.add_item(MUG, features(1, 2, 1))
    assert len(await store.changes_since(0, "bundle-a")) == 1


async def test_an_item_with_a_taken_feature_set_is_refused_whole(store: Store) -> None:
    await store.add_item(MUG, features(1, 2, 0))
    with pytest.raises(FeatureSetTakenError):
        await store.add_item(LAMP, features(1, 2, 0))
    assert [change.item_id for change in await store.changes_since(0, "bundle-a")] == ["mug"]
    assert await store.add_item(LAMP, features(1, 2, 1)) == 2


async def test_an_item_has_no_features_under_another_bundle_until_they_are_added(store: Store) -> None:
    await store.add_item(MUG, features(1, 2, 0))
    (change,) = await store.changes_since(0, "bundle-b")
    assert change.item is not None
    assert change.features is None
    await store.add_features("mug", features(7, 7, 0, bundle_id="bundle-b"), content_of(MUG))
    (described,) = await store.changes_since(0, "bundle-b")
    assert described.features is not None
    assert described.features.feature_set == (7, 7, 0)
    (before,) = await store.changes_since(0, "bundle-a")
    assert before.features is not None
    assert before.features.feature_set == (1, 2, 0)


async def test_features_under_another_bundle_are_unique_too(store: Store) -> None:
    await store.add_item(MUG, features(1, 2, 0))
    await store.add_item(LAMP, features(1, 2, 1))
    await store.add_features("mug", features(7, 7, 0, bundle_id="bundle-b"), content_of(MUG))
    with pytest.raises(FeatureSetTakenError):
        await store.add_features("lamp/ä", features(7, 7, 0, bundle_id="bundle-b"), content_of(LAMP))


async def test_features_name_the_content_that_they_describe(store: Store) -> None:
    await store.add_item(MUG, features(1, 2, 0))
    dearer = Item(item_id="mug", texts=MUG.texts, attributes={"price": "20"})
    await store.write_items([ItemWrite(dearer, None)])
    assert all(change.are_features_current for change in await store.changes_since(0, "bundle-a"))
    green = Item(item_id="mug", texts={"title": "Green mug"})
    await store.write_items([ItemWrite(green, None)])
    changes = await store.changes_since(0, "bundle-a")
    assert {change.described_digest for change in changes} == {content_of(green)}
    assert not any(change.are_features_current for change in changes)
    # The set that an item leaves becomes free.
    await store.add_features("mug", features(3, 3, 0), content_of(green))
    changed = (await store.changes_since(0, "bundle-a"))[-1]
    assert changed.features is not None
    assert (changed.features.feature_set, changed.are_features_current) == ((3, 3, 0), True)
    assert await store.add_item(LAMP, features(1, 2, 0)) == 4


async def test_of_two_descriptions_of_one_content_the_first_counts_and_older_content_is_refused(store: Store) -> None:
    await store.add_item(MUG, features(1, 2, 0))
    green = Item(item_id="mug", texts={"title": "Green mug"})
    await store.write_items([ItemWrite(green, None)])
    with pytest.raises(FeatureSetTakenError):
        await store.add_features("mug", features(5, 5, 0), content_of(MUG))
    await store.add_features("mug", features(3, 3, 0), content_of(green))
    with pytest.raises(FeatureSetTakenError):
        await store.add_features("mug", features(4, 4, 0), content_of(green))
    changed = (await store.changes_since(0, "bundle-a"))[-1]
    assert changed.features is not None
    assert changed.features.feature_set == (3, 3, 0)


async def test_adding_a_retired_item_restores_it_with_the_new_content(store: Store) -> None:
    await store.add_item(MUG, features(1, 2, 0))
    await store.retire_item("mug")
    green = Item(item_id="mug", texts={"title": "Green mug"})
    assert await store.add_item(green, None) == 3
    with pytest.raises(DuplicateItemError):
        await store.add_item(green, None)
    restored = (await store.changes_since(2, "bundle-a"))[0]
    assert restored.item is not None
    assert (restored.kind, restored.item.title) == (ChangeKind.RESTORED, "Green mug")
    await store.retire_item("of the bundle")
    assert await store.add_item(Item(item_id="of the bundle", texts={"title": "Back"}), None) == 5


async def test_retiring_an_item_of_the_bundle_is_idempotent(store: Store) -> None:
    assert await store.retire_item("of the bundle") == 1
    assert await store.retire_item("of the bundle") == 1
    (change,) = await store.changes_since(0, "bundle-a")
    assert (change.kind, change.item_id, change.item) == (ChangeKind.RETIRED, "of the bundle", None)


async def test_writing_a_new_item_adds_it(store: Store) -> None:
    assert await store.write_items([ItemWrite(MUG, features(1, 2, 0)), ItemWrite(LAMP, features(1, 2, 1))]) == [
        WriteOutcome.CREATED,
        WriteOutcome.CREATED,
    ]
    changes = await store.changes_since(0, "bundle-a")
    assert [(change.version, change.kind, change.item_id) for change in changes] == [
        (1, ChangeKind.ADDED, "mug"),
        (2, ChangeKind.ADDED, "lamp/ä"),
    ]


async def test_writing_the_same_item_again_changes_nothing(store: Store) -> None:
    await store.add_item(LAMP, features(1, 2, 0))
    assert await store.write_items([ItemWrite(LAMP, None)]) == [WriteOutcome.UNCHANGED]
    assert len(await store.changes_since(0, "bundle-a")) == 1


async def test_a_changed_item_keeps_its_features(store: Store) -> None:
    await store.add_item(MUG, features(1, 2, 0))
    green = Item(item_id="mug", texts={"title": "Green mug"}, attributes={"brand": "Dune"}, picture=b"RIFF")
    assert await store.write_items([ItemWrite(green, features(7, 7, 7))]) == [WriteOutcome.CHANGED]
    added, changed = await store.changes_since(0, "bundle-a")
    assert (added.kind, changed.kind) == (ChangeKind.ADDED, ChangeKind.CHANGED)
    assert changed.item is not None
    assert (changed.item.title, changed.item.attributes) == ("Green mug", {"brand": "Dune"})
    assert changed.has_picture
    assert await store.read_picture("mug") == b"RIFF"
    assert changed.features is not None
    assert changed.features.feature_set == (1, 2, 0)


async def test_an_item_of_the_bundle_can_get_new_content(store: Store) -> None:
    assert await store.write_items([ItemWrite(MUG, None)]) == [WriteOutcome.CHANGED]
    assert await store.write_items([ItemWrite(MUG, None)]) == [WriteOutcome.UNCHANGED]
    (change,) = await store.changes_since(0, "bundle-a")
    assert (change.kind, change.item is not None, change.features) == (ChangeKind.CHANGED, True, None)


async def test_writing_a_retired_item_restores_it(store: Store) -> None:
    await store.add_item(MUG, features(1, 2, 0))
    assert await store.retire_item("mug") == 2
    assert await store.write_items([ItemWrite(MUG, None)]) == [WriteOutcome.RESTORED]
    assert await store.write_items([ItemWrite(MUG, None)]) == [WriteOutcome.UNCHANGED]
    assert await store.retire_item("mug") == 4
    kinds = [change.kind for change in await store.changes_since(1, "bundle-a")]
    assert kinds == [ChangeKind.RETIRED, ChangeKind.RESTORED, ChangeKind.RETIRED]


async def test_several_items_are_written_all_or_none(store: Store) -> None:
    await store.add_item(MUG, features(1, 2, 0))
    vase = Item(item_id="vase", texts={"title": "Vase"})
    with pytest.raises(FeatureSetTakenError):
        await store.write_items([ItemWrite(vase, features(3, 3, 0)), ItemWrite(LAMP, features(1, 2, 0))])
    assert [change.item_id for change in await store.changes_since(0, "bundle-a")] == ["mug"]


async def test_concurrent_writers_make_consecutive_versions(store: Store) -> None:
    writes = [store.add_item(Item(item_id=f"item-{n}", texts={"title": "A"}), features(n, 0)) for n in range(10)]
    readers = [store.read_picture("item-0") for _ in range(10)]
    versions = await asyncio.gather(*writes)
    await asyncio.gather(*readers)
    assert sorted(versions) == list(range(1, 11))


async def test_one_of_concurrent_writers_gets_a_feature_set(store: Store) -> None:
    writes = [store.add_item(Item(item_id=f"item-{n}"), features(5, 5)) for n in range(5)]
    outcomes = await asyncio.gather(*writes, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes if outcome != 1] == [FeatureSetTakenError] * 4


async def test_activations_are_listed_in_order(store: Store) -> None:
    await store.record_bundle_activation("bundle-a", "/bundles/a", {"ndcg@10": 0.25})
    await store.record_bundle_activation("bundle-b", "/bundles/b", {})
    await store.record_bundle_activation("bundle-a", "/bundles/a", {"ndcg@10": 0.25})
    activations = await store.bundle_activations()
    assert [activation.bundle_id for activation in activations] == ["bundle-a", "bundle-b", "bundle-a"]
    assert activations[0].metrics == {"ndcg@10": 0.25}
    assert activations[0].path == "/bundles/a"
