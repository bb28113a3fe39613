"""Kinds of columns, and checks of column names. Independent of file formats."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from types import NoneType
from typing import Any, Literal

import pyarrow as pa

from clairo_core.errors import DatasetError, MissingColumnError
from clairo_core.values.missing import is_missing

ColumnKind = Literal["id", "order", "numbers", "picture", "text", "attribute"]
"""id: text or whole numbers. order: numbers or times. numbers: a number or a list. picture: bytes or a path. text: as
`value_as_text`. attribute: as `attribute_array`."""


def check_column_names(path: object, found: Sequence[str], wanted: Iterable[str]) -> None:
    """Check that every wanted column exists exactly once. `path` names the table in errors.

    Raises:
        MissingColumnError: a column does not exist.
        DatasetError: a column exists twice.
    """
    for name in wanted:
        if name not in found:
            raise MissingColumnError(
                f"{path}: there is no column {name!r}; the columns are {', '.join(map(repr, found))}; "
                "correct the name in dataset.toml"
            )
        if found.count(name) > 1:
            raise DatasetError(f"{path}: {found.count(name)} columns are named {name!r}, expected one; rename them")


def value_as_text(value: Any) -> str | None:
    """Convert a value to text: lists are joined by commas, missing values are None.

    >>> value_as_text(["Comedy", None, 7.0])
    'Comedy, 7'

    Raises:
        TypeError: the value, or a part of it, is neither text nor number; the message is its type.
    """
    if value is None or (isinstance(value, str | float) and is_missing(value)):
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        # 7.0 is 7: the same number gives the same text from every format.
        return repr(value).removesuffix(".0")
    if isinstance(value, list):
        return ", ".join(part for part in map(value_as_text, value) if part is not None) or None
    raise TypeError(type(value).__name__)


def attribute_array(values: Sequence[Any]) -> pa.Array:
    """Convert values to an Arrow column of their type; where types are mixed, to texts, or to lists if one is a list.

    >>> attribute_array(["sale", ["new", 7]]).to_pylist(), attribute_array(["9,90", 7.0]).to_pylist()
    ([['sale'], ['new', '7']], ['9,90', '7'])

    Raises:
        TypeError: a value is an object, or a list's value is neither text nor number; the message is its type.
    """
    types = set(map(type, values)) - {NoneType}
    if list in types:
        lists = (value if isinstance(value, list) else [value] for value in values)
        texts = ([text for text in map(value_as_text, one) if text is not None] for one in lists)
        return pa.array([one or None for one in texts], pa.list_(pa.large_string()))
    if types in ({Decimal}, {Decimal, int}):
        return pa.array([None if value is None else float(value) for value in values], pa.float64())
    if types == {int, float}:
        return pa.array(_as_decimal(list(values)), pa.float64())
    if types in ({datetime}, {date}, {bool}, {int}, {float}):
        return pa.array(values)
    return pa.array(
        [str(value) if isinstance(value, date | Decimal) else value_as_text(value) for value in values],
        pa.large_string(),
    )


def inferred_array(values: Sequence[Any]) -> pa.Array:
    """Convert numbers, times or lists of numbers to an Arrow column of their type.

    Whole numbers that no decimal number holds exactly are rounded beside decimal ones, as in CSV.

    >>> inferred_array([2**60 + 1, 0.5]).to_pylist()
    [1.152921504606847e+18, 0.5]
    """
    try:
        return pa.array(values)
    except pa.ArrowInvalid:
        return pa.array(_as_decimal(list(values)))


def joined_tables(tables: Sequence[pa.Table]) -> pa.Table:
    """Concatenate tables whose columns may be of whole numbers in one and of decimal numbers in another."""
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowInvalid:
        return pa.concat_tables(map(_with_decimals, tables), promote_options="permissive")


def _as_decimal(value: Any) -> Any:
    if isinstance(value, list):
        return [_as_decimal(part) for part in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _with_decimals(table: pa.Table) -> pa.Table:
    for place, field in enumerate(table.schema):
        if pa.types.is_integer(field.type):
            table = table.set_column(place, field.name, table[field.name].cast(pa.float64(), safe=False))
    return table
