"""Write patches of items in one transaction: one query reads them, and one statement of each kind writes them."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from clairo_core.attributes import AttributeType, Value, from_json
from clairo_core.items import Item, picture_digest
from service.store.attribute_types import is_other, read_types, retyped, typed
from service.store.content_writes import insert_changes, insert_contents, update_contents
from service.store.item_patch import ItemPatch, patched
from service.store.item_rows import content_values, words_values
from service.store.sql_tables import items
from service.store.store import ChangeKind, WriteOutcome


async def write_patches(
    connection: AsyncConnection, namespace: str, patches: Sequence[ItemPatch], trained: Mapping[str, Item]
) -> list[WriteOutcome]:
    """See `Store.patch_items`. Runs in a transaction that holds the catalogue's lock."""
    given = await typed(connection, namespace, [(patch.item_id, patch.given_attributes) for patch in patches])
    types = {name: fixed.type for name, fixed in (await read_types(connection, namespace)).items()}
    stored = await _stored_rows(connection, namespace, [patch.item_id for patch in patches])
    # In a thread: requests are answered meanwhile.
    merged = await asyncio.to_thread(_merged, patches, given, stored, trained, types)
    inserted = [{"item_id": item.item_id, **content_values(item)} for item in merged.inserted]
    await insert_contents(connection, namespace, inserted)
    for contents in merged.updated.values():
        await update_contents(connection, namespace, contents)
    await insert_changes(connection, namespace, [(ChangeKind.CHANGED, item_id) for item_id in merged.changed])
    return [WriteOutcome.CHANGED if patch.item_id in merged.changed else WriteOutcome.UNCHANGED for patch in patches]


@dataclass(frozen=True, slots=True)
class _Merged:
    """Patches as rows to write."""

    inserted: list[Item] = field(default_factory=list)
    updated: dict[bool, list[dict[str, Any]]] = field(default_factory=lambda: {False: [], True: []})
    """By whether the picture changes: the rows of one statement have the same columns."""
    changed: dict[str, None] = field(default_factory=dict)
    """Ids of both, in order."""


def _merged(
    patches: Sequence[ItemPatch],
    given: Sequence[Mapping[str, Value]],
    stored: Mapping[str, Row],
    trained: Mapping[str, Item],
    types: Mapping[str, AttributeType],
) -> _Merged:
    merged = _Merged()
    for sent, attributes in zip(patches, given, strict=True):
        patch = replace(sent, attributes={**sent.attributes, **attributes})
        row = stored.get(patch.item_id)
        if row is None:
            item = trained[patch.item_id]
            after = _patched_trained(replace(item, attributes=retyped(item.attributes, types)), patch)
            if not _is_same(item, after):
                merged.inserted.append(after)
                merged.changed[patch.item_id] = None
        elif content := _changed_columns(row, patch):
            merged.updated["picture" in content].append(content)
            merged.changed[patch.item_id] = None
    return merged


async def _stored_rows(connection: AsyncConnection, namespace: str, item_ids: Sequence[str]) -> dict[str, Row]:
    """The items' contents by id, without pictures, which only their digests stand for."""
    columns = items.c
    query = select(
        columns.item_id, columns.texts, columns.attributes, columns.picture_digest, columns.content_digest
    ).where(columns.namespace == namespace, columns.item_id.in_(item_ids))
    return {row.item_id: row for row in (await connection.execute(query)).all()}


def _patched_trained(item: Item, patch: ItemPatch) -> Item:
    picture = item.picture if patch.keeps_picture else patch.picture
    return replace(patched(item, patch, has_picture=picture is not None), picture=picture)


def _is_same(before: Item, after: Item) -> bool:
    has_same_attributes = before.attributes.keys() == after.attributes.keys() and not is_other(
        before.attributes, after.attributes
    )
    return has_same_attributes and before.texts == after.texts and before.picture == after.picture


def _changed_columns(row: Row, patch: ItemPatch) -> dict[str, Any]:
    """The row's columns that the patch changes; empty if none."""
    before = Item(item_id=row.item_id, texts=dict(row.texts), attributes=from_json(row.attributes))
    of_picture = row.picture_digest if patch.keeps_picture else picture_digest(patch.picture)
    words = words_values(patched(before, patch, has_picture=of_picture is not None), of_picture)
    if words["content_digest"] == row.content_digest:
        return {}
    content = {"of_item": row.item_id, **words}
    if of_picture != row.picture_digest:
        content |= {"picture": patch.picture, "picture_digest": of_picture}
    return content
