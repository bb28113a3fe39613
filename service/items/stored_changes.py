"""Apply the store's changes to the served catalogue, oldest first: the one road into it.

The same after a restart, under another bundle, and beside other processes on one store. Start at
`StoredChanges.apply`.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float32

from clairo_core.catalogue import Catalogue
from clairo_core.errors import DuplicateItemError
from clairo_core.items import Item
from service.items.describe_changes import ChangeDescriber
from service.items.describer import Describer
from service.live_catalogue import LiveCatalogue
from service.served_items import ServedItem, posted_item
from service.store.store import CatalogueChange, ChangeKind, Store, StoredFeatures

CHANGES_AT_ONCE = 2_000
"""Read, described, committed and served together."""


class StoredChanges:
    """The store's changes, and up to which version they have been applied."""

    def __init__(self, live: LiveCatalogue, store: Store, describer: Describer) -> None:
        self._live = live
        self._store = store
        self._describe = ChangeDescriber(live, store, describer)
        self.applied_version = 0

    async def apply(self) -> None:
        """Apply every change after `applied_version`, thousands at a time. Never runs twice at once.

        Raises:
            FeatureSetTakenError: another process describes the same items under this bundle; apply again.
            StoreError: the store cannot be read; what is served stays as it is.
        """
        while True:
            changes = await self._store.changes_since(self.applied_version, self._live.bundle_id, CHANGES_AT_ONCE)
            if not changes:
                self._describe.forget_refused()
                return
            try:
                await self._apply(changes)
            except DuplicateItemError:
                # One of them has the feature set that an item leaves by a later change: apply both at once.
                await self._apply(await self._store.changes_since(self.applied_version, self._live.bundle_id))

    async def _apply(self, changes: Sequence[CatalogueChange]) -> None:
        features_of = await self._describe.features_of(changes)
        growth = _Growth(self._live, features_of)
        await growth.describe_again()
        for change in changes:
            # Requests are answered in between.
            await asyncio.sleep(0)
            if change.kind is ChangeKind.RETIRED:
                await growth.retire(change.item_id)
            elif growth.has_row_of(change.item_id):
                # An added item that is there already: the bundle was trained on it after it was posted.
                if change.kind is not ChangeKind.ADDED:
                    await growth.change(change)
            elif change.item is not None and change.item_id in features_of:
                growth.add(change.item, change.has_picture, features_of[change.item_id])
        await growth.serve()
        self.applied_version = changes[-1].version


class _Growth:
    """The next catalogue, change by change. Consecutive new items are added at once, which is far cheaper."""

    def __init__(self, live: LiveCatalogue, features_of: Mapping[str, StoredFeatures]) -> None:
        self._live = live
        self._features_of = features_of
        self._recommender = live.recommender
        self._catalogue = live.recommender.catalogue
        self._moved_vectors: dict[int, Float32[np.ndarray, "head dense"]] = {}
        self._moved_embeddings: dict[int, Float32[np.ndarray, "dim"]] = {}
        self._feature_set_of: dict[str, tuple[int, ...]] = {}
        self._new_items: list[ServedItem] = []
        self._changed_items: dict[int, ServedItem] = {}

    def has_row_of(self, item_id: str) -> bool:
        return item_id in self._feature_set_of or self._catalogue.find_row(item_id) is not None

    async def describe_again(self) -> None:
        """Give items that are here already the features of their newest content, all at once.

        One of them may get a feature set that another has just left.
        """
        replaced: dict[int, tuple[int, ...]] = {}
        for item_id, features in self._features_of.items():
            row = self._recommender.catalogue.find_row(item_id)
            if row is None:
                continue
            if features.feature_set != tuple(self._catalogue.feature_sets[row].tolist()):
                replaced[row] = features.feature_set
            before = self._live.embedding_of(row)
            if before is None or not np.array_equal(features.item_embedding, before):
                self._moved_embeddings[row] = features.item_embedding
                vectors = self._live.bundle.dense_vectors(row, features.item_embedding)
                if vectors is not None:
                    self._moved_vectors[row] = vectors
        if replaced:
            self._catalogue = await asyncio.to_thread(
                self._catalogue.with_feature_sets, list(replaced), list(replaced.values()), self._recommender.tokenizer
            )

    def add(self, item: Item, has_picture: bool, features: StoredFeatures) -> None:
        self._feature_set_of[item.item_id] = features.feature_set
        self._new_items.append(posted_item(item, has_picture, features.missing_modalities, features.item_embedding))

    async def retire(self, item_id: str) -> None:
        if item_id in await self.catalogue():
            self._catalogue = self._catalogue.without_item(item_id)

    async def change(self, change: CatalogueChange) -> None:
        if change.kind is ChangeKind.RESTORED and change.item_id not in await self.catalogue():
            self._catalogue = self._catalogue.with_item_restored(change.item_id)
        else:
            self._catalogue = self._catalogue.with_changed_content()
        # An item that these very changes add has its newest content already.
        row = self._recommender.catalogue.find_row(change.item_id)
        if row is not None and change.item is not None:
            served = self._live.with_content(row, change.item, change.has_picture)
            features = self._features_of.get(change.item_id)
            if features is not None:
                served = replace(
                    served,
                    item_embedding=features.item_embedding,
                    missing_modalities=features.missing_modalities,
                )
            self._changed_items[row] = served

    async def catalogue(self) -> Catalogue:
        """The catalogue after all changes so far."""
        if self._feature_set_of:
            item_ids, feature_sets = list(self._feature_set_of), list(self._feature_set_of.values())
            self._catalogue = await asyncio.to_thread(
                self._catalogue.with_items, item_ids, feature_sets, self._recommender.tokenizer
            )
            self._feature_set_of = {}
        return self._catalogue

    async def serve(self) -> None:
        """Swap the catalogue in, if any change was one to it."""
        catalogue = await self.catalogue()
        if catalogue is self._recommender.catalogue:
            return
        embeddings = [item.item_embedding for item in self._new_items if item.item_embedding is not None]
        grown = await asyncio.to_thread(
            self._recommender.with_catalogue,
            catalogue,
            np.stack(embeddings) if embeddings else None,
            self._moved_vectors,
            self._moved_embeddings,
        )
        self._live.swap(grown, self._new_items, self._changed_items)
