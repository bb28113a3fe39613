"""Kinds of columns, and checks of column names. Independent of file formats."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal

from clairo_core.errors import DatasetError, MissingColumnError
from clairo_core.values.missing import is_missing

ColumnKind = Literal["id", "order", "numbers", "picture", "text"]
"""id: text or whole numbers. order: numbers or times. numbers: a number or a list. picture: bytes or a path."""


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
