"""The contract of `Store` without a database."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from clairo_core.errors import DuplicateItemError
from clairo_core.feature_index import TakenFeatureSets
from clairo_core.items import Item, described_digest
from service.errors import FeatureSetTakenError
from service.store.item_patch import ItemPatch, patched
from service.store.store import (
    BundleActivation,
    CatalogueChange,
    ChangeKind,
    DescribedContent,
    ItemWrite,
    StoredFeatures,
    WriteOutcome,
    item_digest,
)


class MemoryStore:
    """A `Store` in dictionaries. Types of attributes are `AttributeTypeStore`'s, and not checked here."""

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

    async def add_features(self, described: Sequence[DescribedContent]) -> None:
        for of_item in described:
            key = of_item.features.bundle_id, of_item.item_id
            is_described = self.described.get(key) == of_item.digest
            if is_described or of_item.digest != content_of(self.items[of_item.item_id]):
                raise FeatureSetTakenError(of_item.item_id)
            self._check_free(of_item.features, of_item.item_id)
        for of_item in described:
            key = of_item.features.bundle_id, of_item.item_id
            self.features[key], self.described[key] = of_item.features, of_item.digest

    async def write_items(self, writes: Sequence[ItemWrite]) -> list[WriteOutcome]:
        for write in writes:
            if write.item.item_id not in self.items and write.features is not None:
                self._check_free(write.features, write.item.item_id)
        return [self._write(write) for write in writes]

    def _write(self, write: ItemWrite) -> WriteOutcome:
        item_id = write.item.item_id
        before = self.items.get(item_id)
        picture = before.picture if before is not None and write.keeps_picture else write.item.picture
        item = self.items[item_id] = replace(write.item, picture=picture)
        if before is None and write.features is not None:
            self.features[write.features.bundle_id, item_id] = write.features
            self.described[write.features.bundle_id, item_id] = content_of(write.item)
        if self.retired.pop(item_id, None) is not None:
            kind, outcome = ChangeKind.RESTORED, WriteOutcome.RESTORED
        elif before is None and write.features is not None:
            kind, outcome = ChangeKind.ADDED, WriteOutcome.CREATED
        elif before is None or digest(before) != digest(item):
            kind, outcome = ChangeKind.CHANGED, WriteOutcome.CHANGED
        else:
            return WriteOutcome.UNCHANGED
        self.changes.append((kind, item_id))
        return outcome

    async def patch_items(self, patches: Sequence[ItemPatch], trained: Mapping[str, Item]) -> list[WriteOutcome]:
        before = [self.items.get(patch.item_id) or trained[patch.item_id] for patch in patches]
        pictures = [
            item.picture if patch.keeps_picture else patch.picture for item, patch in zip(before, patches, strict=True)
        ]
        # All of them before the first is kept: one that is refused leaves every item as it was.
        after = [
            replace(patched(item, patch, has_picture=picture is not None), picture=picture)
            for item, patch, picture in zip(before, patches, pictures, strict=True)
        ]
        is_changed = [digest(old) != digest(new) for old, new in zip(before, after, strict=True)]
        for item in (item for item, differs in zip(after, is_changed, strict=True) if differs):
            self.items[item.item_id] = item
            self.changes.append((ChangeKind.CHANGED, item.item_id))
        return [WriteOutcome.CHANGED if differs else WriteOutcome.UNCHANGED for differs in is_changed]

    async def retire_item(self, item_id: str) -> int:
        if item_id not in self.retired:
            self.changes.append((ChangeKind.RETIRED, item_id))
            self.retired[item_id] = len(self.changes)
        return self.retired[item_id]

    async def changes_since(self, version: int, bundle_id: str, limit: int | None = None) -> Sequence[CatalogueChange]:
        changes = []
        for number, (kind, item_id) in list(enumerate(self.changes[version:], start=version + 1))[:limit]:
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

    async def read_pictures(self, item_ids: Collection[str]) -> Mapping[str, bytes]:
        pictures = {item_id: await self.read_picture(item_id) for item_id in item_ids}
        return {item_id: picture for item_id, picture in pictures.items() if picture is not None}

    async def read_item_digest(self, item_id: str) -> str | None:
        item = self.items.get(item_id)
        return None if item is None else digest(item)

    async def record_bundle_activation(self, bundle_id: str, path: str, metrics: Mapping[str, float]) -> None:
        self.activations.append(BundleActivation(bundle_id, path, metrics, datetime.now(UTC)))

    async def bundle_activations(self) -> Sequence[BundleActivation]:
        return self.activations

    def _check_free(self, features: StoredFeatures, item_id: str) -> None:
        taken = TakenFeatureSets(features.spelled or (tuple(range(len(features.feature_set))),))
        for (bundle_id, owner), other in self.features.items():
            if bundle_id == features.bundle_id and owner != item_id:
                taken.add(other.feature_set)
            if features.feature_set in taken:
                raise FeatureSetTakenError(str(features.feature_set), [features.feature_set])


def digest(item: Item) -> str:
    return item_digest(item, item.read_picture())


def content_of(item: Item) -> str:
    picture = item.read_picture()
    return described_digest(item.texts, None if picture is None else hashlib.sha256(picture).hexdigest())
