"""Keep posted items and catalogue versions in a database, through SQLAlchemy.

SQLite here: one file, write-ahead log, every commit on disk before it is acknowledged. Knows tables and
transactions; knows nothing of HTTP, encoders or recommending.
"""

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from sqlalchemy import ColumnElement, Row, Table, and_, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from clairo_core.errors import DuplicateItemError
from clairo_core.items import Item
from service.errors import FeatureSetTakenError, StoreError
from service.store import schema
from service.store.sqlite import create_sqlite_engine, store_errors, writer_of
from service.store.store import CatalogueChange, ChangeKind, StoredFeatures, content_digest
from service.store.tables import catalogue_changes, item_features, items


class SqlStore:
    """A `Store` in SQLite; `path` None is a database in memory, gone with the process."""

    def __init__(self, path: Path | None, namespace: str = "default") -> None:
        self._path = path
        self._namespace = namespace
        self._engine = create_sqlite_engine(path)
        self._writer = writer_of(self._engine)

    async def open(self) -> None:
        """See `Store.open`."""
        if self._path is not None:
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StoreError(f"{self._path.parent}: cannot make this folder: {error.strerror}") from error
        async with self._transaction() as connection:
            await connection.run_sync(schema.bring_up_to_date)

    async def close(self) -> None:
        """See `Store.close`."""
        await self._engine.dispose()

    async def add_item(self, item: Item, features: StoredFeatures) -> int:
        """See `Store.add_item`."""
        picture = item.read_picture()
        async with self._transaction() as connection:
            known = select(items.c.item_id).where(self._is_item(items, item.item_id))
            if (await connection.execute(known)).first():
                raise DuplicateItemError(f"item {item.item_id!r} exists already; choose another item_id")
            await connection.execute(
                insert(items).values(
                    namespace=self._namespace,
                    item_id=item.item_id,
                    texts=[[name, text] for name, text in item.texts.items()],
                    attributes=dict(item.attributes),
                    picture=picture,
                    picture_digest=hashlib.sha256(picture).hexdigest() if picture else None,
                    content_digest=content_digest(item, picture),
                    created_at=datetime.now(UTC),
                )
            )
            await self._insert_features(connection, item.item_id, features)
            return await self._insert_change(connection, ChangeKind.ADDED, item.item_id)

    async def add_features(self, item_id: str, features: StoredFeatures) -> None:
        """See `Store.add_features`."""
        async with self._transaction() as connection:
            await self._insert_features(connection, item_id, features)

    async def retire_item(self, item_id: str) -> int:
        """See `Store.retire_item`."""
        retired = select(catalogue_changes.c.version).where(
            self._is_item(catalogue_changes, item_id), catalogue_changes.c.kind == ChangeKind.RETIRED.value
        )
        async with self._transaction() as connection:
            if version := (await connection.execute(retired)).scalar_one_or_none():
                return int(version)
            return await self._insert_change(connection, ChangeKind.RETIRED, item_id)

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
        async with self._reading() as connection:
            rows = (await connection.execute(query)).all()
        return [_change_from_row(row, bundle_id) for row in rows]

    async def read_picture(self, item_id: str) -> bytes | None:
        """See `Store.read_picture`."""
        query = select(items.c.picture).where(self._is_item(items, item_id))
        async with self._reading() as connection:
            return (await connection.execute(query)).scalar_one_or_none()

    async def _insert_features(self, connection: AsyncConnection, item_id: str, features: StoredFeatures) -> None:
        feature_set = ",".join(str(value) for value in features.feature_set)
        taken = select(item_features.c.item_id).where(
            item_features.c.namespace == self._namespace,
            item_features.c.bundle_id == features.bundle_id,
            item_features.c.feature_set == feature_set,
        )
        if owner := (await connection.execute(taken)).scalar_one_or_none():
            raise FeatureSetTakenError(f"feature set {feature_set} belongs to item {owner!r}; describe again")
        await connection.execute(
            insert(item_features).values(
                namespace=self._namespace,
                bundle_id=features.bundle_id,
                item_id=item_id,
                feature_set=feature_set,
                item_embedding=features.item_embedding.astype("<f4").tobytes(),
                missing_modalities=list(features.missing_modalities),
            )
        )

    async def _insert_change(self, connection: AsyncConnection, kind: ChangeKind, item_id: str) -> int:
        newest = select(func.max(catalogue_changes.c.version)).where(catalogue_changes.c.namespace == self._namespace)
        version = ((await connection.execute(newest)).scalar() or 0) + 1
        await connection.execute(
            insert(catalogue_changes).values(
                namespace=self._namespace,
                version=version,
                kind=kind.value,
                item_id=item_id,
                created_at=datetime.now(UTC),
            )
        )
        return int(version)

    def _is_item(self, table: Table, item_id: str) -> ColumnElement[bool]:
        return and_(table.c.namespace == self._namespace, table.c.item_id == item_id)

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[AsyncConnection]:
        with store_errors(self._path):
            async with self._writer.begin() as connection:
                yield connection

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[AsyncConnection]:
        with store_errors(self._path):
            async with self._engine.connect() as connection:
                yield connection


def _change_from_row(row: Row, bundle_id: str) -> CatalogueChange:
    item = None
    if row.texts is not None:
        item = Item(item_id=row.item_id, texts=dict(row.texts), attributes=row.attributes)
    features = None
    if row.feature_set is not None:
        features = StoredFeatures(
            bundle_id=bundle_id,
            feature_set=tuple(int(value) for value in row.feature_set.split(",")),
            item_embedding=np.frombuffer(row.item_embedding, dtype="<f4").astype(np.float32),
            missing_modalities=tuple(row.missing_modalities),
        )
    return CatalogueChange(
        version=row.version,
        kind=ChangeKind(row.kind),
        item_id=row.item_id,
        item=item,
        has_picture=row.picture_digest is not None,
        features=features,
    )
