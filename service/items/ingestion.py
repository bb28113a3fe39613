"""The use case of POST, PUT, PATCH and DELETE /items: describe an item, store it, and swap it into the catalogue.

The store commits before the catalogue changes, so every acknowledged item survives a kill and every recommended item
is stored. The catalogue changes only through `StoredChanges.apply`.

An existing item can get other words, attributes or another picture. They are shown, searched and filtered by at once,
and words and picture describe it again. An item that no training has used gets new features. One of the bundle keeps
them, because generator and histories rely on them, and its embedding moves. A retired id can be posted and put again.

Independent of HTTP and SQL. Start at `Ingestion.add_item`.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from clairo_core.attributes import AttributeType
from clairo_core.errors import DuplicateItemError
from clairo_core.items import Item
from clairo_core.recommender import Recommender
from service.errors import FeatureSetTakenError, OverloadedError
from service.items.attribute_schema import AttributeSchema, TypedBundleItems
from service.items.describer import Describer, check_pictures
from service.items.picture_pool import PicturePool
from service.items.stored_changes import StoredChanges
from service.live_catalogue import LiveCatalogue
from service.served_items import ServedItem
from service.store.item_patch import ItemPatch
from service.store.store import ItemWrite, Store, WriteOutcome
from service.telemetry.metrics import Metrics

Result = TypeVar("Result")

MAX_ATTEMPTS = 100
MAX_BACKOFF_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class ItemPut:
    """An item to add, or to change to this content."""

    item: Item
    keeps_picture: bool = False
    """Whether an item that exists keeps its picture; `item` then has none."""


class Ingestion:
    """Writes items one call after the other. Reading and recommending never wait for it."""

    def __init__(
        self,
        live: LiveCatalogue,
        store: Store,
        schema: AttributeSchema,
        *,
        max_queue_depth: int,
        metrics: Metrics | None = None,
        pictures: PicturePool | None = None,
        on_written: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_written` is called in the event loop after each commit to the store; see `Describer` for `pictures`."""
        self._live = live
        self._store = store
        self._describer = Describer(live, metrics or Metrics(), pictures)
        self._changes = StoredChanges(live, store, self._describer)
        self._schema = schema
        self._typed_items = TypedBundleItems(live, schema)
        self._max_queue_depth = max_queue_depth
        self._on_written = on_written
        self._num_waiting = 0
        self._one_at_a_time = asyncio.Lock()

    async def add_item(self, item: Item) -> ServedItem:
        """Store a new item and make it recommendable.

        Raises:
            CannotIngestError: the bundle has no encoders.
            UnreadablePictureError, ContentTooLargeError: the picture cannot be used.
            InvalidItemError: an attribute is not of its name's type.
            DuplicateItemError: an item of this id exists and is not retired.
            FeatureSpaceFullError: no feature set is free.
            OverloadedError: too many writes are waiting.
            StoreError: nothing was stored.
        """
        return await self._in_line(self._add(item))

    async def put_items(self, puts: Sequence[ItemPut]) -> list[WriteOutcome]:
        """Give items of distinct ids this content, whether they exist or not: all of them, or none.

        Raises:
            InvalidItemError: an attribute is not of its name's type.
            CannotIngestError: one of them is new, and the bundle has no encoders.
            UnreadablePictureError, ContentTooLargeError: a picture cannot be used.
            FeatureSpaceFullError: no feature set is free.
            OverloadedError: too many writes are waiting.
            StoreError: nothing was stored.
        """
        return await self._in_line(self._put(puts))

    async def patch_items(self, patches: Sequence[ItemPatch]) -> list[WriteOutcome]:
        """Change fields of items of distinct ids: of all of them, or none.

        Raises:
            UnknownItemError: the catalogue never had one of them.
            InvalidItemError: an attribute is not of its name's type, or nothing would be left of an item.
            UnreadablePictureError, ContentTooLargeError: a picture cannot be used.
            OverloadedError: too many writes are waiting.
            StoreError: nothing was stored.
        """
        return await self._in_line(self._patch(patches))

    async def declare_types(self, types: Mapping[str, AttributeType]) -> int:
        """Declare exactly these types of attributes; see `AttributeSchema.declare`."""
        return await self._in_line(self._declare(types))

    async def retire_item(self, item_id: str) -> None:
        """Never recommend an item again. Histories that hold it keep their meaning.

        Raises:
            UnknownItemError: the catalogue never had it.
            OverloadedError: too many writes are waiting.
            StoreError: nothing was changed.
        """
        await self._in_line(self._retire(item_id))

    async def warm_up(self) -> None:
        """Run the encoders once."""
        await self._describer.warm_up()

    async def catch_up(self) -> None:
        """Apply every stored change that the catalogue lacks.

        Raises:
            StoreError: the store cannot be read; what is served stays as it is.
        """
        async with self._one_at_a_time:
            await self._apply_changes()

    async def between_writes(self, change: Callable[[Recommender], Result], serve: Callable[[Result], None]) -> None:
        """`change` the served recommender in a thread, and `serve` the outcome, while no item is being written."""
        async with self._one_at_a_time:
            serve(await asyncio.to_thread(change, self._live.recommender))

    async def take_over(self, candidate: "Ingestion") -> None:
        """Serve what `candidate` prepared under another bundle, items posted meanwhile included.

        Nothing is awaited after the swap, so the caller can replace all that belongs to the bundle at the same moment.

        Raises:
            StoreError: the store cannot be read; what is served stays as it is.
        """
        async with self._one_at_a_time:
            await candidate.catch_up()
            self._live.become(candidate._live)
            self._changes.applied_version = candidate._changes.applied_version
            self._typed_items.become(candidate._typed_items)

    async def finish(self) -> None:
        """Wait for all writes."""
        while self._num_waiting:
            await asyncio.sleep(0.01)

    async def _in_line(self, work: Coroutine[Any, Any, Result]) -> Result:
        if self._num_waiting >= self._max_queue_depth:
            work.close()
            raise OverloadedError(f"{self._num_waiting} writes are waiting, the maximum; retry in a second")
        self._num_waiting += 1
        # A client that disconnects must not cancel between the store's commit and the swap.
        working = asyncio.create_task(work)
        working.add_done_callback(self._leave_queue)
        return await asyncio.shield(working)

    def _leave_queue(self, _: object) -> None:
        self._num_waiting -= 1

    async def _add(self, item: Item) -> ServedItem:
        async with self._one_at_a_time:
            await _with_free_feature_sets(partial(self._store_new, item))
            await self._apply_changes()
            return self._live.find(item.item_id)

    async def _put(self, puts: Sequence[ItemPut]) -> list[WriteOutcome]:
        async with self._one_at_a_time:
            outcomes = await _with_free_feature_sets(partial(self._store_content, puts))
            await self._apply_changes()
            return outcomes

    async def _patch(self, patches: Sequence[ItemPatch]) -> list[WriteOutcome]:
        await check_pictures(patch.picture for patch in patches)
        async with self._one_at_a_time:
            await self._apply_changes()
            outcomes = await self._store.patch_items(patches, await self._trained(patch.item_id for patch in patches))
            self._on_written()
            await self._apply_changes()
            return outcomes

    async def _declare(self, types: Mapping[str, AttributeType]) -> int:
        async with self._one_at_a_time:
            await self._apply_changes()
            num_converted = await self._schema.declare(types, self._live)
            self._on_written()
            await self._apply_changes()
            return num_converted

    async def _trained(self, item_ids: Iterable[str]) -> dict[str, Item]:
        """Those of these items whose content is the bundle's, with their pictures.

        Raises:
            UnknownItemError: the catalogue never had one of them.
        """
        live = self._live
        rows = [row for item_id in item_ids if not live.items[row := live.row_of(item_id)].is_posted]

        def read() -> dict[str, Item]:
            items = ((live.items[row].item, live.bundle.read_picture(row)) for row in rows)
            return {item.item_id: replace(item, picture=picture) for item, picture in items}

        return await asyncio.to_thread(read) if rows else {}

    async def _retire(self, item_id: str) -> None:
        async with self._one_at_a_time:
            await self._apply_changes()
            if not self._live.recommender.catalogue.is_retired[self._live.row_of(item_id)]:
                await self._store.retire_item(item_id)
                self._on_written()
                await self._apply_changes()

    async def _store_new(self, item: Item) -> None:
        await self._apply_changes()
        catalogue = self._live.recommender.catalogue
        row = catalogue.find_row(item.item_id)
        if row is None:
            self._describer.check_can_describe()
            (features,) = await self._describer.describe_new([item], catalogue)
            await self._store.add_item(item, features)
        else:
            await check_pictures([item.read_picture()])
            if item.item_id in catalogue:
                raise DuplicateItemError(f"item {item.item_id!r} exists already; change it with PUT")
            await self._store.add_item(item, None)
        self._on_written()

    async def _store_content(self, puts: Sequence[ItemPut]) -> list[WriteOutcome]:
        await self._apply_changes()
        catalogue = self._live.recommender.catalogue
        new_items = [put.item for put in puts if catalogue.find_row(put.item.item_id) is None]
        known = [put for put in puts if catalogue.find_row(put.item.item_id) is not None]
        await check_pictures(put.item.read_picture() for put in known)
        if new_items:
            self._describer.check_can_describe()
        described = await self._describer.describe_new(new_items, catalogue)
        features = {item.item_id: of_item for item, of_item in zip(new_items, described, strict=True)}
        trained = await self._trained(put.item.item_id for put in known if put.keeps_picture)
        writes = []
        for put in puts:
            item_id = put.item.item_id
            item = replace(put.item, picture=trained[item_id].picture) if item_id in trained else put.item
            writes.append(ItemWrite(item, features.get(item_id), put.keeps_picture))
        outcomes = await self._store.write_items(writes)
        self._on_written()
        return outcomes

    async def _apply_changes(self) -> None:
        await _with_free_feature_sets(self._changes.apply)
        await self._typed_items.apply()


async def _with_free_feature_sets(attempt: Callable[[], Awaitable[Result]]) -> Result:
    """Run `attempt`, again while other processes on the store claim its feature sets first.

    Raises:
        OverloadedError: they claimed them every time.
    """
    for _ in range(MAX_ATTEMPTS):
        try:
            return await attempt()
        except FeatureSetTakenError:
            # A random pause keeps two processes from colliding in step.
            await asyncio.sleep(random.uniform(0, MAX_BACKOFF_SECONDS))  # noqa: S311
    raise OverloadedError("concurrent writers claimed every feature set tried; retry in a second")
