"""One suite for all stores: a fake, SQLite in a file and in memory, and PostgreSQL."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from clairo_core.errors import DuplicateItemError
from clairo_core.items import Item
from service.errors import FeatureSetTakenError
from service.store.store import (
    ChangeKind,
    DescribedContent,
    ItemWrite,
    Store,
    StoredFeatures,
    WriteOutcome,
)
from tests.fake_store import content_of, digest


def features(*feature_set: int, bundle_id: str = "bundle-a") -> StoredFeatures:
    embedding = np.asarray([0.5, -1.25], dtype=np.float32)
    return StoredFeatures(bundle_id, feature_set, embedding, ("image",))


MUG = Item(item_id="mug", texts={"title": "Blue mug", "description": "Holds tea"}, attributes={"brand": "Fjord"})
LAMP = Item(item_id="lamp/ä", texts={"title": "Lamp"}, picture=b"\x89PNG picture")
VASE = Item(item_id="vase", texts={"title": "Vase"})


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
    await store.add_item(MUG, features(1, 2, 1))
    assert await store.read_pictures(["mug", "lamp/ä", "nobody posted this"]) == {"lamp/ä": b"\x89PNG picture"}


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
    assert [change.version for change in await store.changes_since(1, "bundle-a", limit=1)] == [2]


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


async def test_an_item_that_a_language_spells_like_another_is_refused(store: Store) -> None:
    two_languages = ((0, 1, 3), (2, 3))
    await store.add_item(MUG, replace(features(1, 2, 7, 10), spelled=two_languages))
    for alike in (features(1, 2, 8, 10), features(3, 4, 7, 10)):
        with pytest.raises(FeatureSetTakenError):
            await store.add_item(LAMP, replace(alike, spelled=two_languages))
    assert await store.add_item(LAMP, replace(features(1, 2, 7, 0), spelled=two_languages)) == 2


async def test_an_item_has_no_features_under_another_bundle_until_they_are_added(store: Store) -> None:
    await store.add_item(MUG, features(1, 2, 0))
    (change,) = await store.changes_since(0, "bundle-b")
    assert change.item is not None
    assert change.features is None
    await store.add_features([DescribedContent("mug", features(7, 7, 0, bundle_id="bundle-b"), content_of(MUG))])
    (described,) = await store.changes_since(0, "bundle-b")
    assert described.features is not None
    assert described.features.feature_set == (7, 7, 0)
    (before,) = await store.changes_since(0, "bundle-a")
    assert before.features is not None
    assert before.features.feature_set == (1, 2, 0)


async def test_features_under_another_bundle_are_unique_too(store: Store) -> None:
    await store.add_item(MUG, features(1, 2, 0))
    await store.add_item(LAMP, features(1, 2, 1))
    await store.add_features([DescribedContent("mug", features(7, 7, 0, bundle_id="bundle-b"), content_of(MUG))])
    with pytest.raises(FeatureSetTakenError):
        await store.add_features(
            [DescribedContent("lamp/ä", features(7, 7, 0, bundle_id="bundle-b"), content_of(LAMP))]
        )


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
    await store.add_features([DescribedContent("mug", features(3, 3, 0), content_of(green))])
    changed = (await store.changes_since(0, "bundle-a"))[-1]
    assert changed.features is not None
    assert (changed.features.feature_set, changed.are_features_current) == ((3, 3, 0), True)
    assert await store.add_item(LAMP, features(1, 2, 0)) == 4


async def test_features_of_several_items_are_added_all_or_none_and_taken_ones_are_named(store: Store) -> None:
    for place, item in enumerate((MUG, LAMP, VASE)):
        await store.add_item(item, features(1, 2, place))
    await store.add_features([DescribedContent("mug", features(7, 7, 0, bundle_id="bundle-b"), content_of(MUG))])
    other = DescribedContent("vase", features(7, 7, 1, bundle_id="bundle-b"), content_of(VASE))
    alike = DescribedContent("lamp/ä", features(7, 7, 0, bundle_id="bundle-b"), content_of(LAMP))
    with pytest.raises(FeatureSetTakenError) as refused:
        await store.add_features([other, alike])
    assert list(refused.value.feature_sets) == [(7, 7, 0)]
    described = {change.item_id: change.features is not None for change in await store.changes_since(0, "bundle-b")}
    assert described == {"mug": True, "lamp/ä": False, "vase": False}
    await store.add_features([other, replace(alike, features=features(7, 7, 2, bundle_id="bundle-b"))])
    assert all(change.features is not None for change in await store.changes_since(0, "bundle-b"))


async def test_of_two_descriptions_of_one_content_the_first_counts_and_older_content_is_refused(store: Store) -> None:
    await store.add_item(MUG, features(1, 2, 0))
    green = Item(item_id="mug", texts={"title": "Green mug"})
    await store.write_items([ItemWrite(green, None)])
    with pytest.raises(FeatureSetTakenError):
        await store.add_features([DescribedContent("mug", features(5, 5, 0), content_of(MUG))])
    await store.add_features([DescribedContent("mug", features(3, 3, 0), content_of(green))])
    with pytest.raises(FeatureSetTakenError):
        await store.add_features([DescribedContent("mug", features(4, 4, 0), content_of(green))])
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
    with pytest.raises(FeatureSetTakenError):
        await store.write_items([ItemWrite(VASE, features(3, 3, 0)), ItemWrite(LAMP, features(1, 2, 0))])
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
