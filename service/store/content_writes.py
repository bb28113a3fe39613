"""Statements of several writers of items, each in a transaction that holds the catalogue's lock."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import bindparam, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from service.store.sql_tables import catalogue_changes, items
from service.store.store import ChangeKind

CATALOGUE_LOCK = "catalogue"


async def insert_changes(connection: AsyncConnection, namespace: str, changes: Sequence[tuple[ChangeKind, str]]) -> int:
    """Insert a version per change, in order. Return the newest version."""
    version = await newest_version(connection, namespace)
    now = datetime.now(UTC)
    rows = [
        {"namespace": namespace, "version": number, "kind": kind.value, "item_id": item_id, "created_at": now}
        for number, (kind, item_id) in enumerate(changes, start=version + 1)
    ]
    if rows:
        await connection.execute(insert(catalogue_changes), rows)
    return version + len(rows)


async def newest_version(connection: AsyncConnection, namespace: str) -> int:
    """The newest catalogue version; 0 before the first."""
    newest = select(func.max(catalogue_changes.c.version)).where(catalogue_changes.c.namespace == namespace)
    return int((await connection.execute(newest)).scalar() or 0)


async def insert_contents(connection: AsyncConnection, namespace: str, contents: Sequence[Mapping[str, Any]]) -> None:
    """Insert items that the store lacks: ids and `content_values`."""
    values = {"namespace": namespace, "created_at": datetime.now(UTC)}
    if contents:
        await connection.execute(insert(items), [{**values, **content} for content in contents])


async def update_contents(connection: AsyncConnection, namespace: str, contents: Sequence[Mapping[str, Any]]) -> None:
    """Update items in one statement: `of_item` is each one's id, all other keys are columns, the same for all."""
    if contents:
        is_item = (items.c.namespace == namespace) & (items.c.item_id == bindparam("of_item"))
        await connection.execute(update(items).where(is_item), contents)
