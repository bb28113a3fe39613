"""Types of attributes in a namespace: declared, or fixed by the first use of a name.

Every write checks its attributes in its own transaction, under the catalogue's lock, so that two processes never give
one name two types. Start at `AttributeTypeStore`.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from clairo_core.attributes import (
    EXPECTED,
    AttributeType,
    Value,
    as_type,
    converted,
    from_json,
    read_text,
    singles_of,
    texts_of,
    type_of,
)
from clairo_core.items import Item
from service.errors import InvalidItemError, StoredValuesError
from service.store.content_writes import CATALOGUE_LOCK, insert_changes, update_contents
from service.store.database import Database
from service.store.item_rows import words_values
from service.store.sql_tables import attribute_types, items
from service.store.store import ChangeKind

MAX_SHOWN_CHARACTERS = 60


@dataclass(frozen=True, slots=True)
class FixedType:
    """The type of an attribute's name."""

    type: AttributeType
    is_declared: bool
    """By PUT /schema; otherwise by the first use."""


Attributes = Mapping[str, Value]


class AttributeTypeStore:
    """The types of one namespace."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._namespace = database.namespace

    async def read(self) -> dict[str, FixedType]:
        """Read all types, by name."""
        async with self._database.reading() as connection:
            return await read_types(connection, self._namespace)

    async def fix(self, types: Mapping[str, AttributeType]) -> None:
        """Give names that have no type yet these types: their first use."""
        if types.keys() <= (await self.read()).keys():
            return
        async with self._database.transaction(CATALOGUE_LOCK) as connection:
            known = await read_types(connection, self._namespace)
            await _insert(connection, self._namespace, {n: t for n, t in types.items() if n not in known}, False)

    async def declare(self, types: Mapping[str, AttributeType]) -> int:
        """Declare exactly these types, and convert stored values. A name left out keeps its type as its first use.

        Returns:
            The number of items with converted values; each makes a catalogue version.

        Raises:
            StoredValuesError: a stored value cannot be read as its new type; nothing was changed.
        """
        async with self._database.transaction(CATALOGUE_LOCK) as connection:
            known = await read_types(connection, self._namespace)
            others = {name: fixed.type for name, fixed in known.items() if name not in types}
            await connection.execute(delete(attribute_types).where(attribute_types.c.namespace == self._namespace))
            await _insert(connection, self._namespace, others, False)
            await _insert(connection, self._namespace, types, True)
            return await self._convert(connection, types)

    async def _convert(self, connection: AsyncConnection, types: Mapping[str, AttributeType]) -> int:
        columns = items.c
        query = select(columns.item_id, columns.texts, columns.attributes, columns.picture_digest).where(
            columns.namespace == self._namespace
        )
        rows = (await connection.execute(query.order_by(columns.item_id))).all()
        # In a thread: a hundred thousand items take seconds, and requests are answered meanwhile.
        contents = await asyncio.to_thread(_converted_contents, rows, types)
        await update_contents(connection, self._namespace, contents)
        changes = [(ChangeKind.CHANGED, str(content["of_item"])) for content in contents]
        await insert_changes(connection, self._namespace, changes)
        return len(contents)


async def read_types(connection: AsyncConnection, namespace: str) -> dict[str, FixedType]:
    """Read a namespace's types, by name."""
    columns = attribute_types.c
    query = select(columns.name, columns.type, columns.is_declared).where(columns.namespace == namespace)
    rows = (await connection.execute(query.order_by(columns.name))).all()
    return {row.name: FixedType(AttributeType(row.type), row.is_declared) for row in rows}


async def typed(
    connection: AsyncConnection, namespace: str, sent: Sequence[tuple[str, Attributes]]
) -> list[dict[str, Value]]:
    """Check the attributes of items, given with their ids, and fix the types of names that have none.

    Runs in a transaction that holds the catalogue's lock.

    Raises:
        InvalidItemError: an attribute is not of its name's type.
    """
    types = await read_types(connection, namespace)
    first_uses: dict[str, AttributeType] = {}
    checked = []
    for item_id, attributes in sent:
        for name, value in attributes.items():
            if name not in types and is_use(value):
                first_uses[name] = type_of(value)
                types[name] = FixedType(first_uses[name], is_declared=False)
        checked.append({name: _checked(item_id, name, value, types.get(name)) for name, value in attributes.items()})
    await _insert(connection, namespace, first_uses, False)
    return checked


def is_use(value: Value) -> bool:
    """Whether a value says something of its attribute's type: a missing one does not."""
    return isinstance(value, tuple) or bool(singles_of(value))


def first_uses_of(values_of: Mapping[str, Iterable[Value]]) -> dict[str, AttributeType]:
    """Types of attributes, by name, of those whose values all have one type."""
    types = {name: {type_of(value) for value in values if is_use(value)} for name, values in values_of.items()}
    return {name: min(of_name) for name, of_name in types.items() if len(of_name) == 1}


def retyped(attributes: Attributes, types: Mapping[str, AttributeType]) -> dict[str, Value]:
    """Attributes with the values read as these types, where they can be."""
    return {name: _read_as(value, types[name]) if name in types else value for name, value in attributes.items()}


def is_other(before: Attributes, after: Attributes) -> bool:
    """Whether a value differs; in Python, 1.0 equals True."""
    return any(type(value) is not type(after[name]) or value != after[name] for name, value in before.items())


def check_readable(attributes_of_items: Iterable[tuple[str, Attributes]], types: Mapping[str, AttributeType]) -> None:
    """Check that each item's values can be read as these types.

    Raises:
        StoredValuesError: one cannot; the message counts them for its name.
    """
    unreadable: dict[str, list[tuple[str, Value]]] = {}
    for item_id, attributes in attributes_of_items:
        for name in attributes.keys() & types.keys():
            try:
                _converted(attributes[name], types[name])
            except ValueError:
                unreadable.setdefault(name, []).append((item_id, attributes[name]))
    for name, found in sorted(unreadable.items()):
        item_id, value = found[0]
        raise StoredValuesError(
            f"attribute {name!r}: {len(found)} items have values that are not {EXPECTED[types[name]]}, such as "
            f"{_shown(value)} of item {item_id!r}; change them with PATCH /items first, or declare another type"
        )


def _converted_contents(rows: Sequence[Row], types: Mapping[str, AttributeType]) -> list[dict[str, Any]]:
    """Contents of the items with a value that these types read otherwise, for `update_contents`.

    Raises:
        StoredValuesError: a value cannot be read as its new type.
    """
    before = {row.item_id: from_json(row.attributes) for row in rows}
    check_readable(before.items(), types)
    after = {item_id: retyped(attributes, types) for item_id, attributes in before.items()}
    return [
        {
            "of_item": row.item_id,
            **words_values(
                Item(item_id=row.item_id, texts=dict(row.texts), attributes=after[row.item_id]), row.picture_digest
            ),
        }
        for row in rows
        if is_other(before[row.item_id], after[row.item_id])
    ]


def _converted(value: Value, wanted: AttributeType) -> Value:
    """`converted`, but a missing value stays."""
    return converted(value, wanted) if singles_of(value) else value


def _read_as(value: Value, wanted: AttributeType) -> Value:
    try:
        return _converted(value, wanted)
    except ValueError:
        return value


def _checked(item_id: str, name: str, value: Value, fixed: FixedType | None) -> Value:
    if fixed is None or not is_use(value):
        return value
    try:
        if isinstance(value, str) and not fixed.is_declared:
            # Clients of before send every value as text.
            return read_text(value, fixed.type)
        return as_type(value, fixed.type)
    except ValueError as error:
        because = "declared" if fixed.is_declared else "as the first use of this name had"
        reason = (
            f"attribute {name!r}: got {EXPECTED[type_of(value)]} ({_shown(value)}), {error}, {because}; "
            "send one, or declare another type with PUT /schema"
        )
        raise InvalidItemError(item_id, ["attributes", name], reason) from error


def _shown(value: Value) -> str:
    return repr(", ".join(texts_of(value))[:MAX_SHOWN_CHARACTERS])


async def _insert(
    connection: AsyncConnection, namespace: str, types: Mapping[str, AttributeType], is_declared: bool
) -> None:
    rows = [
        {"namespace": namespace, "name": name, "type": of_name.value, "is_declared": is_declared}
        for name, of_name in types.items()
    ]
    if rows:
        await connection.execute(insert(attribute_types), rows)
