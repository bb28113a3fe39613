"""The `Store` in SQLite or PostgreSQL, through SQLAlchemy.

Every commit is on disk before it is acknowledged. A writer holds the catalogue's lock from its first read to its
commit, so replicas never give two items one feature set or two changes one version.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import ColumnElement, Row, Table, and_, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from clairo_core.attributes import from_json
from clairo_core.errors import DuplicateItemError
from clairo_core.feature_index import TakenFeatureSets
from clairo_core.items import Item, described_digest, picture_digest
from service.errors import FeatureSetTakenError
from service.store.attribute_types import typed
from service.store.content_writes import CATALOGUE_LOCK, insert_changes, insert_items
from service.store.database import Database, first_line, in_utc
from service.store.item_patch import ItemPatch
from service.store.item_rows import change_from_row, content_values, feature_set_of, features_values, words_values
from service.store.patch_writes import write_patches
from service.store.sql_tables import bundle_activations, catalogue_changes, item_features, items
from service.store.store import (
    BundleActivation,
    CatalogueChange,
    ChangeKind,
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
            (write,) = await self._typed(connection, [ItemWrite(item, None if is_retired else features)])
            outcome = await self._write_item(connection, write, stored.get(item.item_id), is_retired)
            return await insert_changes(connection, self._namespace, [(_CHANGE_OF_OUTCOME[outcome], item.item_id)])

    async def write_items(self, writes: Sequence[ItemWrite]) -> list[WriteOutcome]:
        """See `Store.write_items`."""
        async with self.database.transaction(CATALOGUE_LOCK) as connection:
            item_ids = [write.item.item_id for write in writes]
            stored = await self._stored_digests(connection, item_ids)
            retired = await self._retired_among(connection, item_ids)
            outcomes = [
                await self._write_item(connection, write, stored.get(item_id), item_id in retired)
                for write, item_id in zip(await self._typed(connection, writes), item_ids, strict=True)
            ]
            changes = [
                (_CHANGE_OF_OUTCOME[outcome], item_id)
                for outcome, item_id in zip(outcomes, item_ids, strict=True)
                if outcome in _CHANGE_OF_OUTCOME
            ]
            await insert_changes(connection, self._namespace, changes)
        return outcomes

    async def patch_items(self, patches: Sequence[ItemPatch], trained: Mapping[str, Item]) -> list[WriteOutcome]:
        """See `Store.patch_items`."""
        async with self.database.transaction(CATALOGUE_LOCK) as connection:
            return await write_patches(connection, self._namespace, patches, trained)

    async def add_features(self, item_id: str, features: StoredFeatures, described_digest: str) -> None:
        """See `Store.add_features`."""
        async with self.database.transaction(CATALOGUE_LOCK) as connection:
            await self._check_is_undescribed(connection, item_id, features.bundle_id, described_digest)
            await self._write_features(connection, item_id, features, described_digest)

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

    async def changes_since(self, version: int, bundle_id: str) -> Sequence[CatalogueChange]:
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
        )
        async with self.database.reading() as connection:
            rows = (await connection.execute(query)).all()
        # In a thread: a thousand changed items take long enough to delay other requests.
        return await asyncio.to_thread(lambda: [change_from_row(row, bundle_id) for row in rows])

    async def read_picture(self, item_id: str) -> bytes | None:
        """See `Store.read_picture`."""
        query = select(items.c.picture).where(self._is_item(items, item_id))
        async with self.database.reading() as connection:
            return (await connection.execute(query)).scalar_one_or_none()

    async def items_after(self, item_id: str, limit: int) -> Sequence[Item]:
        """List posted items with their pictures, by id, those after `item_id`; "" starts at the first."""
        query = (
            select(items.c.item_id, items.c.texts, items.c.attributes, items.c.picture)
            .where(items.c.namespace == self._namespace, items.c.item_id > item_id)
            .order_by(items.c.item_id)
            .limit(limit)
        )
        async with self.database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return [
            Item(item_id=row.item_id, texts=dict(row.texts), attributes=from_json(row.attributes), picture=row.picture)
            for row in rows
        ]

    async def retired_items(self) -> list[str]:
        """List the ids of the items that are retired, the bundle's too."""
        changes = catalogue_changes.c
        query = (
            select(changes.item_id, changes.kind)
            .where(changes.namespace == self._namespace, changes.kind.in_(_STATE_KINDS))
            .order_by(changes.version)
        )
        async with self.database.reading() as connection:
            kind_of = {row.item_id: row.kind for row in (await connection.execute(query)).all()}
        return [item_id for item_id, kind in kind_of.items() if kind == ChangeKind.RETIRED.value]

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
        async with self.database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return [BundleActivation(row.bundle_id, row.path, row.metrics, in_utc(row.activated_at)) for row in rows]

    async def _typed(self, connection: AsyncConnection, writes: Sequence[ItemWrite]) -> list[ItemWrite]:
        """The writes with attributes of their names' types."""
        sent = [(write.item.item_id, write.item.attributes) for write in writes]
        checked = await typed(connection, self._namespace, sent)
        return [
            replace(write, item=replace(write.item, attributes=attributes))
            for write, attributes in zip(writes, checked, strict=True)
        ]

    async def _write_item(
        self, connection: AsyncConnection, write: ItemWrite, stored: Row | None, is_retired: bool
    ) -> WriteOutcome:
        if stored is None:
            await insert_items(connection, self._namespace, [write.item])
            if write.features is not None:
                of_content = described_digest(write.item.texts, picture_digest(write.item.read_picture()))
                await self._write_features(connection, write.item.item_id, write.features, of_content)
            if is_retired:
                return WriteOutcome.RESTORED
            return WriteOutcome.CHANGED if write.features is None else WriteOutcome.CREATED
        content = content_values(write.item)
        if write.keeps_picture:
            content = words_values(write.item, stored.picture_digest)
        if stored.content_digest != content["content_digest"]:
            await connection.execute(update(items).where(self._is_item(items, write.item.item_id)).values(**content))
            return WriteOutcome.RESTORED if is_retired else WriteOutcome.CHANGED
        return WriteOutcome.RESTORED if is_retired else WriteOutcome.UNCHANGED

    async def _check_is_undescribed(
        self, connection: AsyncConnection, item_id: str, bundle_id: str, of_content: str
    ) -> None:
        """Refuse features of content that is older by now, or that another process described first."""
        content = select(items.c.texts, items.c.picture_digest).where(self._is_item(items, item_id))
        newest = (await connection.execute(content)).one()
        if described_digest(dict(newest.texts), newest.picture_digest) != of_content:
            raise FeatureSetTakenError(f"the content of item {item_id!r} has changed; describe it again")
        stored = select(item_features.c.described_digest).where(
            self._is_item(item_features, item_id), item_features.c.bundle_id == bundle_id
        )
        if (await connection.execute(stored)).scalar_one_or_none() == of_content:
            raise FeatureSetTakenError(f"item {item_id!r} is described already; read its features again")

    async def _write_features(
        self, connection: AsyncConnection, item_id: str, features: StoredFeatures, of_content: str
    ) -> None:
        values = features_values(features, of_content)
        of_bundle = item_features.c.bundle_id == features.bundle_id
        await connection.execute(delete(item_features).where(self._is_item(item_features, item_id), of_bundle))
        taken = select(item_features.c.item_id).where(
            item_features.c.namespace == self._namespace,
            of_bundle,
            item_features.c.feature_set == values["feature_set"],
        )
        if owner := (await connection.execute(taken)).scalar_one_or_none():
            raise FeatureSetTakenError(f"feature set {values['feature_set']} belongs to item {owner!r}; describe again")
        if len(features.spelled) > 1:
            await self._check_languages(connection, features)
        try:
            await connection.execute(insert(item_features).values(namespace=self._namespace, item_id=item_id, **values))
        except IntegrityError as error:
            # Something wrote without our lock: read again, then decide.
            raise FeatureSetTakenError(f"{first_line(error.orig)}; describe item {item_id!r} again") from error

    async def _check_languages(self, connection: AsyncConnection, features: StoredFeatures) -> None:
        """Refuse features that a language of the bundle spells like those of another posted item."""
        # Every language spells the last category, the collision index.
        may_be_alike = select(item_features.c.feature_set).where(
            item_features.c.namespace == self._namespace,
            item_features.c.bundle_id == features.bundle_id,
            item_features.c.feature_set.endswith(f",{features.feature_set[-1]}"),
        )
        taken = TakenFeatureSets(features.spelled)
        for stored in (await connection.execute(may_be_alike)).scalars():
            taken.add(feature_set_of(stored))
        if features.feature_set in taken:
            raise FeatureSetTakenError(f"a language spells {features.feature_set} like another item; describe again")

    async def _stored_digests(self, connection: AsyncConnection, item_ids: Collection[str]) -> dict[str, Row]:
        query = select(items.c.item_id, items.c.content_digest, items.c.picture_digest).where(
            items.c.namespace == self._namespace, items.c.item_id.in_(item_ids)
        )
        return {row.item_id: row for row in (await connection.execute(query)).all()}

    async def _retired_among(self, connection: AsyncConnection, item_ids: Collection[str]) -> set[str]:
        changes = catalogue_changes.c
        query = (
            select(changes.item_id, changes.kind)
            .where(
                changes.namespace == self._namespace,
                changes.item_id.in_(item_ids),
                changes.kind.in_(_STATE_KINDS),
            )
            .order_by(changes.version)
        )
        kind_of = {row.item_id: row.kind for row in (await connection.execute(query)).all()}
        return {item_id for item_id, kind in kind_of.items() if kind == ChangeKind.RETIRED.value}

    def _is_item(self, table: Table, item_id: str) -> ColumnElement[bool]:
        return and_(table.c.namespace == self._namespace, table.c.item_id == item_id)
