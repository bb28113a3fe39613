"""Apply the store's changes to the served catalogue, oldest first: the one road into it.

The same after a restart, under another bundle, and beside other processes on one store. Start at
`StoredChanges.apply`.
"""

import asyncio
import logging

import numpy as np

from clairo_core.catalogue import Catalogue
from clairo_core.errors import ClairoError
from clairo_core.items import Item
from service.errors import StoreError
from service.items.describer import Describer
from service.live_catalogue import LiveCatalogue, ServedItem, posted_item
from service.store.store import CatalogueChange, ChangeKind, Store, StoredFeatures

logger = logging.getLogger("clairo.ingestion")


class StoredChanges:
    """The store's changes, and up to which version they have been applied."""

    def __init__(self, live: LiveCatalogue, store: Store, describer: Describer) -> None:
        self._live = live
        self._store = store
        self._describer = describer
        self.applied_version = 0

    async def apply(self) -> None:
        """Apply every change after `applied_version`. Never runs twice at once.

        Raises:
            FeatureSetTakenError: another process describes the same items under this bundle; apply again.
            StoreError: the store cannot be read; what is served stays as it is.
        """
        changes = await self._store.changes_since(self.applied_version, self._live.bundle_id)
        if not changes:
            return
        growth = _Growth(self._live)
        for change in changes:
            if change.kind is ChangeKind.RETIRED:
                await growth.retire(change.item_id)
            elif growth.has_row_of(change.item_id):
                # An added item that is there already: the bundle was trained on it after it was posted.
                if change.kind is not ChangeKind.ADDED:
                    await growth.change(change)
            elif change.item is not None:
                features = change.features or await self._describe_again(change.item, await growth.catalogue())
                if features is not None:
                    growth.add(change.item, change.has_picture, features)
        await growth.serve()
        self.applied_version = changes[-1].version

    async def _describe_again(self, item: Item, catalogue: Catalogue) -> StoredFeatures | None:
        """Describe an item that was posted under another bundle; if it cannot be, log why and return None."""
        if not self._describer.can_describe:
            logger.warning("posted item %r is not served: this bundle has no encoders", item.item_id)
            return None
        picture = await self._store.read_picture(item.item_id)
        whole_item = Item(item_id=item.item_id, texts=item.texts, attributes=item.attributes, picture=picture)
        try:
            (features,) = await self._describer.describe([whole_item], catalogue)
            await self._store.add_features(item.item_id, features)
        except StoreError:
            # The store's fault, not the item's: apply again.
            raise
        except ClairoError as error:
            logger.warning("posted item %r is not served: %s", item.item_id, error)
            return None
        return features


class _Growth:
    """The next catalogue, change by change. Consecutive new items are added at once, which is far cheaper."""

    def __init__(self, live: LiveCatalogue) -> None:
        self._live = live
        self._recommender = live.recommender
        self._catalogue = live.recommender.catalogue
        self._feature_set_of: dict[str, tuple[int, ...]] = {}
        self._new_items: list[ServedItem] = []
        self._changed_items: dict[int, ServedItem] = {}

    def has_row_of(self, item_id: str) -> bool:
        return item_id in self._feature_set_of or self._catalogue.find_row(item_id) is not None

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
            self._changed_items[row] = self._live.with_content(row, change.item, change.has_picture)

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
            self._recommender.with_catalogue, catalogue, np.stack(embeddings) if embeddings else None
        )
        self._live.swap(grown, self._new_items, self._changed_items)
