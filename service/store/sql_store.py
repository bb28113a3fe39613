"""The `Store` in SQLite or PostgreSQL, through SQLAlchemy.

Every commit is on disk before it is acknowledged. A writer holds the catalogue's lock from its first read to its
commit, so replicas never give two items one feature set or two changes one version.
"""

import asyncio
from collections.abc import Collection, Container, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, Table, and_, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from clairo_core.attributes import from_json
from clairo_core.errors import DuplicateItemError
from clairo_core.items import Item, described_digest
from service.store.attribute_types import typed
from service.store.content_writes import (
    CATALOGUE_LOCK,
    insert_changes,
    insert_contents,
    newest_version,
    update_contents,
)
from service.store.database import Database, in_utc
from service.store.feature_writes import check_undescribed, write_features
from service.store.item_patch import ItemPatch
from service.store.item_rows import change_from_row, content_values, words_values
from service.store.patch_writes import write_patches
from service.store.sql_tables import bundle_activations, catalogue_changes, item_features, items
from service.store.store import (
    BundleActivation,
    CatalogueChange,
    ChangeKind,
    DescribedContent,
    ItemWrite,
    StoredFeatures,
    WriteOutcome,
)

# Kinds that decide whether an item is retired.
_STATE_KINDS = (ChangeKind.ADDED.value, ChangeKind.RETIRED.value, ChangeKind.RESTORED.value)
_CHANGE_OF_OUTCOME = {
    WriteOutcome.CREATED: ChangeKind.ADDED,
    WriteOutcome.CHANGED: ChangeKind.CHANGED,
    WriteOutcome.RESTORED: ChangeKind.RESTORED,
}


class SqlStore:
    """A `Store` in the database at `location`: a SQLite file, a PostgreSQL url, or None for memory.

    Args:
        location: see above.
        namespace: of the shop.
        may_migrate: whether `open` migrates the schema; by default only in SQLite, which no other service shares.
    """

    def __init__(
        self, location: Path | str | None, namespace: str = "default", *, may_migrate: bool | None = None
    ) -> None:
        self.database = Database(location, namespace)
        self._namespace = namespace
        self._may_migrate = not self.database.is_postgres if may_migrate is None else may_migrate

    async def open(self) -> None:
        """See `Store.open`."""
        await self.database.open(may_migrate=self._may_migrate)

    async def close(self) -> None:
        """See `Store.close`."""
        await self.database.close()

    async def add_item(self, item: Item, features: StoredFeatures | None) -> int:
        """See `Store.add_item`."""
        async with self.database.transaction(CATALOGUE_LOCK) as connection:
            stored = await self._stored_digests(connection, [item.item_id])
            is_retired = item.item_id in await self._retired_among(connection, [item.item_id])
            if not is_retired and (item.item_id in stored or features is None):
                raise DuplicateItemError(f"item {item.item_id!r} exists already; choose another item_id")
            writes = await self._typed(connection, [ItemWrite(item, None if is_retired else features)])
            await self._write(connection, writes, stored, {item.item_id} if is_retired else set())
            return await newest_version(connection, self._namespace)

    async def write_items(self, writes: Sequence[ItemWrite]) -> list[WriteOutcome]:
        """See `Store.write_items`."""
        async with self.database.transaction(CATALOGUE_LOCK) as connection:
            item_ids = [write.item.item_id for write in writes]
            stored = await self._stored_digests(connection, item_ids)
            retired = await self._retired_among(connection, item_ids)
            return await self._write(connection, await self._typed(connection, writes), stored, retired)

    async def patch_items(self, patches: Sequence[ItemPatch], trained: Mapping[str, Item]) -> list[WriteOutcome]:
        """See `Store.patch_items`."""
        async with self.database.transaction(CATALOGUE_LOCK) as connection:
            return await write_patches(connection, self._namespace, patches, trained)

    async def add_features(self, described: Sequence[DescribedContent]) -> None:
        """See `Store.add_features`."""
        if not described:
            return
        async with self.database.transaction(CATALOGUE_LOCK) as connection:
            await check_undescribed(connection, self._namespace, described)
            await write_features(connection, self._namespace, described)

    async def retire_item(self, item_id: str) -> int:
        """See `Store.retire_item`."""
        newest = (
            select(catalogue_changes.c.version, catalogue_changes.c.kind)
            .where(self._is_item(catalogue_changes, item_id), catalogue_changes.c.kind.in_(_STATE_KINDS))
            .order_by(catalogue_changes.c.version.desc())
            .limit(1)
        )
        async with self.database.transaction(CATALOGUE_LOCK) as connection:
            state = (await connection.execute(newest)).first()
            if state is not None and state.kind == ChangeKind.RETIRED.value:
                return int(state.version)
            return await insert_changes(connection, self._namespace, [(ChangeKind.RETIRED, item_id)])

    async def changes_since(self, version: int, bundle_id: str, limit: int | None = None) -> Sequence[CatalogueChange]:
        """See `Store.changes_since`."""
        changes, namespace = catalogue_changes, self._namespace
        query = (
            select(
                changes.c.version,
                changes.c.kind,
                changes.c.item_id,
                items.c.texts,
                items.c.attributes,
                items.c.picture_digest,
                item_features.c.feature_set,
                item_features.c.item_embedding,
                item_features.c.missing_modalities,
                item_features.c.described_digest,
            )
            .outerjoin(items, and_(items.c.namespace == changes.c.namespace, items.c.item_id == changes.c.item_id))
            .outerjoin(
                item_features,
                and_(
                    item_features.c.namespace == changes.c.namespace,
                    item_features.c.item_id == changes.c.item_id,
                    item_features.c.bundle_id == bundle_id,
                ),
            )
            .where(changes.c.namespace == namespace, changes.c.version > version)
            .order_by(changes.c.version)
            .limit(limit)
        )
        rows = await self.database.rows(query)
        # In a thread: a thousand changed items take long enough to delay other requests.
        return await asyncio.to_thread(lambda: [change_from_row(row, bundle_id) for row in rows])

    async def read_picture(self, item_id: str) -> bytes | None:
        """See `Store.read_picture`."""
        query = select(items.c.picture).where(self._is_item(items, item_id))
        async with self.database.reading() as connection:
            return (await connection.execute(query)).scalar_one_or_none()

    async def read_pictures(self, item_ids: Collection[str]) -> Mapping[str, bytes]:
        """See `Store.read_pictures`."""
        query = select(items.c.item_id, items.c.picture).where(
            items.c.namespace == self._namespace, items.c.item_id.in_(item_ids), items.c.picture.is_not(None)
        )
        return {row.item_id: row.picture for row in await self.database.rows(query)}

    async def items_after(self, item_id: str, limit: int) -> Sequence[Item]:
        """List posted items with their pictures, by id, those after `item_id`; "" starts at the first."""
        query = (
            select(items.c.item_id, items.c.texts, items.c.attributes, items.c.picture)
            .where(items.c.namespace == self._namespace, items.c.item_id > item_id)
            .order_by(items.c.item_id)
            .limit(limit)
        )
        rows = await self.database.rows(query)
        return [
            Item(item_id=row.item_id, texts=dict(row.texts), attributes=from_json(row.attributes), picture=row.picture)
            for row in rows
        ]

    async def retired_items(self) -> list[str]:
        """List the ids of the items that are retired, the bundle's too."""
        return _retired_in(await self.database.rows(self._states()))

    async def read_item_digest(self, item_id: str) -> str | None:
        """See `Store.read_item_digest`."""
        async with self.database.reading() as connection:
            stored = (await self._stored_digests(connection, [item_id])).get(item_id)
        return None if stored is None else str(stored.content_digest)

    async def record_bundle_activation(self, bundle_id: str, path: str, metrics: Mapping[str, float]) -> None:
        """See `Store.record_bundle_activation`."""
        values = {"bundle_id": bundle_id, "path": path, "metrics": dict(metrics), "activated_at": datetime.now(UTC)}
        async with self.database.transaction("bundles") as connection:
            await connection.execute(insert(bundle_activations).values(namespace=self._namespace, **values))

    async def bundle_activations(self) -> Sequence[BundleActivation]:
        """See `Store.bundle_activations`."""
        columns = bundle_activations.c
        query = (
            select(columns.bundle_id, columns.path, columns.metrics, columns.activated_at)
            .where(columns.namespace == self._namespace)
            .order_by(columns.sequence)
        )
        rows = await self.database.rows(query)
        return [BundleActivation(row.bundle_id, row.path, row.metrics, in_utc(row.activated_at)) for row in rows]

    async def _typed(self, connection: AsyncConnection, writes: Sequence[ItemWrite]) -> list[ItemWrite]:
        """The writes with attributes of their names' types."""
        sent = [(write.item.item_id, write.item.attributes) for write in writes]
        checked = await typed(connection, self._namespace, sent)
        return [
            replace(write, item=replace(write.item, attributes=attributes))
            for write, attributes in zip(writes, checked, strict=True)
        ]

    async def _write(
        self,
        connection: AsyncConnection,
        writes: Sequence[ItemWrite],
        stored: Mapping[str, Row],
        retired: Container[str],
    ) -> list[WriteOutcome]:
        """Write content, features and changes of items of distinct ids."""
        # In a thread: a large batch hashes megabytes of pictures.
        contents = await asyncio.to_thread(
            lambda: [_content_of(write, stored.get(write.item.item_id)) for write in writes]
        )
        inserted, updated, described, outcomes = [], [], [], []
        for write, content in zip(writes, contents, strict=True):
            item_id = write.item.item_id
            before = stored.get(item_id)
            if before is None:
                inserted.append({"item_id": item_id, **content})
                if write.features is not None:
                    digest = described_digest(write.item.texts, content["picture_digest"])
                    described.append(DescribedContent(item_id, write.features, digest))
            elif before.content_digest != content["content_digest"]:
                updated.append({"of_item": item_id, **content})
            outcomes.append(_outcome(write, before, content, item_id in retired))
        await insert_contents(connection, self._namespace, inserted)
        await write_features(connection, self._namespace, described)
        # The rows of one statement have the same columns.
        for has_picture in (False, True):
            of_kind = [content for content in updated if ("picture" in content) is has_picture]
            await update_contents(connection, self._namespace, of_kind)
        changes = [
            (_CHANGE_OF_OUTCOME[outcome], write.item.item_id)
            for write, outcome in zip(writes, outcomes, strict=True)
            if outcome in _CHANGE_OF_OUTCOME
        ]
        await insert_changes(connection, self._namespace, changes)
        return outcomes

    async def _stored_digests(self, connection: AsyncConnection, item_ids: Collection[str]) -> dict[str, Row]:
        query = select(items.c.item_id, items.c.content_digest, items.c.picture_digest).where(
            items.c.namespace == self._namespace, items.c.item_id.in_(item_ids)
        )
        return {row.item_id: row for row in (await connection.execute(query)).all()}

    async def _retired_among(self, connection: AsyncConnection, item_ids: Collection[str]) -> set[str]:
        query = self._states().where(catalogue_changes.c.item_id.in_(item_ids))
        return set(_retired_in((await connection.execute(query)).all()))

    def _states(self) -> Select:
        """Select the changes that decide whether items are retired, in order."""
        changes = catalogue_changes.c
        is_state = and_(changes.namespace == self._namespace, changes.kind.in_(_STATE_KINDS))
        return select(changes.item_id, changes.kind).where(is_state).order_by(changes.version)

    def _is_item(self, table: Table, item_id: str) -> ColumnElement[bool]:
        return and_(table.c.namespace == self._namespace, table.c.item_id == item_id)


def _retired_in(states: Sequence[Row]) -> list[str]:
    newest = {row.item_id: row.kind for row in states}
    return [item_id for item_id, kind in newest.items() if kind == ChangeKind.RETIRED.value]


def _content_of(write: ItemWrite, stored: Row | None) -> dict[str, Any]:
    """The columns of `items` to write."""
    if stored is not None and write.keeps_picture:
        return words_values(write.item, stored.picture_digest)
    return content_values(write.item)


def _outcome(write: ItemWrite, stored: Row | None, content: Mapping[str, Any], is_retired: bool) -> WriteOutcome:
    if is_retired:
        return WriteOutcome.RESTORED
    if stored is None:
        return WriteOutcome.CHANGED if write.features is None else WriteOutcome.CREATED
    is_same = stored.content_digest == content["content_digest"]
    return WriteOutcome.UNCHANGED if is_same else WriteOutcome.CHANGED
