"""The use case of POST, PUT and DELETE /items: picture and words in, an item that the next request can bring.

The bundle's frozen encoders, fusion and quantizer describe the item, the store keeps it in one transaction, and
only then does it enter catalogue and trie: what a client was told is there is there after a kill, and what is
recommended is in the store. There is one road into the catalogue, `catch_up`, which applies what the store has and
the catalogue has not; after a restart, under another bundle, or beside another process on the same store, alike.

An item that is there already can get other words, attributes or another picture: they are shown, searched and
filtered by at once, but its features stay, because the generator has learned, or histories hold, what they stand for.
A retired item that is put comes back with the features it had.

Knows nothing of HTTP or SQL. Start at `Ingestion.add_item`.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

import numpy as np

from clairo_core.catalogue import Catalogue
from clairo_core.encoders.pictures import decode_picture
from clairo_core.errors import ClairoError, DuplicateItemError
from clairo_core.items import Item
from clairo_core.tokens.tokenizer import Tokenizer
from service.errors import CannotIngestError, FeatureSetTakenError, OverloadedError, StoreError
from service.live_catalogue import LiveCatalogue, ServedItem, posted_item
from service.store.store import CatalogueChange, ChangeKind, ItemWrite, Store, StoredFeatures, WriteOutcome
from service.telemetry.metrics import Metrics
from service.telemetry.tracing import step

logger = logging.getLogger("clairo.ingestion")

Result = TypeVar("Result")

MAX_ATTEMPTS = 100
MAX_BACKOFF_SECONDS = 0.05


class _Growth:
    """Changes to a catalogue, in order; items that follow each other are added at once, which is far cheaper."""

    def __init__(self, catalogue: Catalogue, tokenizer: Tokenizer) -> None:
        self._catalogue = catalogue
        self._tokenizer = tokenizer
        self._feature_set_of: dict[str, tuple[int, ...]] = {}
        self._num_content_changes = 0

    def has_row_of(self, item_id: str) -> bool:
        return item_id in self._feature_set_of or self._catalogue.find_row(item_id) is not None

    def add(self, item_id: str, feature_set: tuple[int, ...]) -> None:
        self._feature_set_of[item_id] = feature_set

    def change_content(self) -> None:
        self._num_content_changes += 1

    async def retire(self, item_id: str) -> None:
        catalogue = await self._with_added_items()
        if item_id in catalogue:
            self._catalogue = catalogue.without_item(item_id)

    async def restore(self, item_id: str) -> None:
        catalogue = await self._with_added_items()
        if item_id in catalogue:
            self.change_content()
        else:
            self._catalogue = catalogue.with_item_restored(item_id)

    async def catalogue(self) -> Catalogue:
        """The catalogue after all changes so far."""
        catalogue = await self._with_added_items()
        if self._num_content_changes:
            self._catalogue = catalogue = catalogue.with_changed_content(self._num_content_changes)
            self._num_content_changes = 0
        return catalogue

    async def _with_added_items(self) -> Catalogue:
        if self._feature_set_of:
            item_ids, feature_sets = list(self._feature_set_of), list(self._feature_set_of.values())
            self._catalogue = await asyncio.to_thread(
                self._catalogue.with_items, item_ids, feature_sets, self._tokenizer
            )
            self._feature_set_of = {}
        return self._catalogue


class Ingestion:
    """Adds items one after the other; reading and recommending go on meanwhile."""

    def __init__(
        self,
        serving: LiveCatalogue,
        store: Store,
        *,
        max_queue_depth: int,
        metrics: Metrics | None = None,
        on_written: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_written` is called, in the event loop, after the store has kept something new."""
        self._serving = serving
        self._store = store
        self._max_queue_depth = max_queue_depth
        self._metrics = metrics or Metrics()
        self._on_written = on_written
        self._num_waiting = 0
        self._one_at_a_time = asyncio.Lock()
        self._applied_version = 0

    async def add_item(self, item: Item) -> ServedItem:
        """Keep an item for good and make it recommendable.

        Raises:
            CannotIngestError: the bundle has no encoders.
            UnreadablePictureError, ContentTooLargeError: the picture cannot be used.
            DuplicateItemError: an item of this id exists, be it retired.
            FeatureSpaceFullError: no feature set is left for it.
            OverloadedError: too many items wait to be added already.
            StoreError: nothing was kept.
        """
        self._check_can_ingest()
        return await self._in_line(self._add(item))

    async def put_items(self, items: Sequence[Item]) -> list[WriteOutcome]:
        """Have items of distinct ids with this content, whatever was there before: all of them, or none.

        Raises:
            CannotIngestError: one of them is new, and the bundle has no encoders.
            UnreadablePictureError, ContentTooLargeError: a picture cannot be used.
            FeatureSpaceFullError: no feature set is left.
            OverloadedError: too many items wait to be added already.
            StoreError: nothing was kept.
        """
        return await self._in_line(self._put(items))

    async def retire_item(self, item_id: str) -> None:
        """Never recommend an item again; histories that hold it still say something.

        Raises:
            UnknownItemError: there is no such item.
            OverloadedError: too many items wait to be added already.
            StoreError: nothing was changed.
        """
        await self._in_line(self._retire(item_id))

    async def catch_up(self) -> None:
        """Apply every change that the store has and the catalogue has not.

        Raises:
            StoreError: the store cannot be read; what is served stays as it is.
        """
        async with self._one_at_a_time:
            await self._apply_new_changes()

    async def take_over(self, candidate: "Ingestion") -> None:
        """Serve from now on what `candidate` prepared under another bundle; items posted meanwhile come along.

        Raises:
            StoreError: the store cannot be read; what is served stays as it is.
        """
        async with self._one_at_a_time:
            await candidate.catch_up()
            self._serving.become(candidate._serving)
            self._applied_version = candidate._applied_version

    async def finish(self) -> None:
        """Wait until nobody is adding an item."""
        while self._num_waiting:
            await asyncio.sleep(0.01)

    def _check_can_ingest(self) -> None:
        if not self._serving.bundle.can_ingest:
            raise CannotIngestError(
                f"bundle {self._serving.bundle_id} was trained on ready-made codes and has no encoders to describe "
                "a new item with; serve a bundle trained on pictures and words"
            )

    async def _in_line(self, work: Coroutine[Any, Any, Result]) -> Result:
        if self._num_waiting >= self._max_queue_depth:
            work.close()
            raise OverloadedError(f"{self._num_waiting} items wait to be added already; try again in a second")
        self._num_waiting += 1
        # A client that leaves must not stop us between the store's commit and the swap.
        working = asyncio.create_task(work)
        working.add_done_callback(self._leave_queue)
        return await asyncio.shield(working)

    def _leave_queue(self, _: object) -> None:
        self._num_waiting -= 1

    async def _add(self, item: Item) -> ServedItem:
        picture = item.read_picture()
        if picture is not None:
            await asyncio.to_thread(decode_picture, picture)
        async with self._one_at_a_time:
            for _ in range(MAX_ATTEMPTS):
                await self._apply_new_changes()
                catalogue = self._serving.recommender.catalogue
                row = catalogue.find_row(item.item_id)
                if row is not None:
                    state = "was retired and keeps its id" if catalogue.is_retired[row] else "exists already"
                    raise DuplicateItemError(f"item {item.item_id!r} {state}; choose another item_id")
                (features,) = await self._described([item], catalogue)
                try:
                    await self._store.add_item(item, features)
                except FeatureSetTakenError:
                    # Another process on this store took it since we caught up; not in step with it again.
                    await asyncio.sleep(random.uniform(0, MAX_BACKOFF_SECONDS))  # noqa: S311
                    continue
                self._on_written()
                await self._apply_new_changes()
                return self._serving.find(item.item_id)
        raise OverloadedError("other processes take every feature set first; try again in a second")

    async def _put(self, items: Sequence[Item]) -> list[WriteOutcome]:
        await asyncio.to_thread(_check_pictures, items)
        async with self._one_at_a_time:
            for _ in range(MAX_ATTEMPTS):
                await self._apply_new_changes()
                catalogue = self._serving.recommender.catalogue
                new_items = [item for item in items if catalogue.find_row(item.item_id) is None]
                if new_items:
                    self._check_can_ingest()
                described = await self._described(new_items, catalogue)
                features = {item.item_id: of for item, of in zip(new_items, described, strict=True)}
                try:
                    outcomes = await self._store.write_items(
                        [ItemWrite(item, features.get(item.item_id)) for item in items]
                    )
                except FeatureSetTakenError:
                    await asyncio.sleep(random.uniform(0, MAX_BACKOFF_SECONDS))  # noqa: S311
                    continue
                self._on_written()
                await self._apply_new_changes()
                return outcomes
        raise OverloadedError("other processes take every feature set first; try again in a second")

    async def _retire(self, item_id: str) -> None:
        async with self._one_at_a_time:
            await self._apply_new_changes()
            catalogue = self._serving.recommender.catalogue
            if not catalogue.is_retired[self._serving.row_of(item_id)]:
                await self._store.retire_item(item_id)
                self._on_written()
                await self._apply_new_changes()

    async def _apply_new_changes(self) -> None:
        for _ in range(MAX_ATTEMPTS):
            try:
                return await self._apply_changes()
            except FeatureSetTakenError:
                # Another process carries the same items into this bundle: what it described, we read.
                await asyncio.sleep(random.uniform(0, MAX_BACKOFF_SECONDS))  # noqa: S311
        raise OverloadedError("other processes take every feature set first; try again in a second")

    async def _apply_changes(self) -> None:
        changes = await self._store.changes_since(self._applied_version, self._serving.bundle_id)
        if not changes:
            return
        recommender = self._serving.recommender
        growth = _Growth(recommender.catalogue, recommender.tokenizer)
        new_items = []
        changed_items: dict[int, ServedItem] = {}
        for change in changes:
            if change.kind is ChangeKind.RETIRED:
                await growth.retire(change.item_id)
            elif growth.has_row_of(change.item_id):
                # Added, and there all the same: the bundle was trained with this item since it was posted.
                if change.kind is not ChangeKind.ADDED:
                    await self._apply_new_content(change, growth, changed_items)
            elif change.item is not None:
                features = change.features or await self._described_again(change, change.item, await growth.catalogue())
                if features is not None:
                    growth.add(change.item_id, features.feature_set)
                    new_items.append(
                        posted_item(
                            change.item, change.has_picture, features.missing_modalities, features.item_embedding
                        )
                    )
        catalogue = await growth.catalogue()
        if catalogue is not recommender.catalogue:
            embeddings = [item.item_embedding for item in new_items if item.item_embedding is not None]
            swapped = await asyncio.to_thread(
                recommender.with_catalogue, catalogue, np.stack(embeddings) if embeddings else None
            )
            self._serving.swap(swapped, new_items, changed_items)
        self._applied_version = changes[-1].version

    async def _apply_new_content(
        self, change: CatalogueChange, growth: _Growth, changed_items: dict[int, ServedItem]
    ) -> None:
        if change.kind is ChangeKind.RESTORED:
            await growth.restore(change.item_id)
        else:
            growth.change_content()
        # One that these very changes add has its newest content already.
        row = self._serving.recommender.catalogue.find_row(change.item_id)
        if row is not None and change.item is not None:
            changed_items[row] = self._serving.with_content(row, change.item, change.has_picture)

    async def _described(self, items: Sequence[Item], catalogue: Catalogue) -> list[StoredFeatures]:
        with step("clairo.encode"), self._metrics.timed_encoding():
            described = await asyncio.to_thread(self._serving.bundle.describe_items, items, catalogue.taken)
        return [
            StoredFeatures(
                bundle_id=self._serving.bundle_id,
                feature_set=tuple(int(value) for value in of_item.feature_set),
                item_embedding=of_item.item_embedding,
                missing_modalities=tuple(of_item.missing_modalities),
            )
            for of_item in described
        ]

    async def _described_again(
        self, change: CatalogueChange, item: Item, catalogue: Catalogue
    ) -> StoredFeatures | None:
        """What this bundle makes of an item posted under another; None, and a line in the log, if it cannot."""
        if not self._serving.bundle.can_ingest:
            logger.warning("posted item %r is not served: this bundle has no encoders", change.item_id)
            return None
        picture = await self._store.read_picture(change.item_id)
        whole_item = Item(item_id=item.item_id, texts=item.texts, attributes=item.attributes, picture=picture)
        try:
            (features,) = await self._described([whole_item], catalogue)
            await self._store.add_features(change.item_id, features)
        except StoreError:
            # Not the item's fault: it is tried again.
            raise
        except ClairoError as error:
            logger.warning("posted item %r is not served: %s", change.item_id, error)
            return None
        return features


def _check_pictures(items: Sequence[Item]) -> None:
    for item in items:
        picture = item.read_picture()
        if picture is not None:
            decode_picture(picture)
