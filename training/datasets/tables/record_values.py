"""Convert the values of JSON-like records to their columns' kinds, with errors that name the row.

Start at `ValueChecker.checked`.
"""

import math
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

from clairo_core.values.missing import is_missing
from training.datasets.tables.column_kinds import ColumnKind, value_as_text
from training.datasets.tables.row_faults import field_fault

_SHOWN_TYPES = {float: "numbers", str: "text", list: "lists"}


class ValueChecker:
    """Checks values row by row; a column of numbers or times keeps the type of its first value."""

    def __init__(self, path: object) -> None:
        self._path = path
        self._row_type: dict[str, type] = {}

    def checked(self, row_number: int, name: str, kind: ColumnKind, value: Any) -> Any:
        """Convert the value; None and NaN are missing.

        Raises:
            RowError: the value is not of the kind.
        """
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return None
        try:
            checked = _CHECKS[kind](value)
        except (TypeError, ValueError) as error:
            shown = f"a JSON {name_of_type(value)}" if isinstance(value, dict | list) else repr(value)
            problem = f"got {shown}, expected {error}; correct it"
            raise field_fault(self._path, (row_number,), name, problem) from error
        if kind in ("order", "numbers"):
            # An Arrow column has one type; the first value decides.
            value_type = float if isinstance(checked, int | float) else type(checked)
            if self._row_type.setdefault(name, value_type) is not value_type:
                problem = f"got {value!r}, but earlier rows have {_SHOWN_TYPES[self._row_type[name]]}; use one type"
                raise field_fault(self._path, (row_number,), name, problem)
        return checked


def name_of_type(value: Any) -> str:
    """The type of a JSON value, as JSON calls it."""
    if value is None:
        return "null"
    names = {dict: "object", list: "array", str: "string", bool: "boolean", int: "number", float: "number"}
    return names[type(value)]


def _as_id(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise TypeError("text or a whole number")
    return _encodable(str(value))


def _as_order(value: Any) -> int | float | str:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError("a number, or a date and time as text")
    return _encodable(value) if isinstance(value, str) else _bounded(value)


def _as_numbers(value: Any) -> Any:
    numbers = value if isinstance(value, list) else [value]
    if any(isinstance(number, bool) or not isinstance(number, int | float) for number in numbers):
        raise TypeError("a number or a list of numbers")
    return [_bounded(number) for number in numbers] if isinstance(value, list) else _bounded(value)


def _as_picture(value: Any) -> str | None:
    if isinstance(value, list):
        # The first of several pictures is the main one.
        return _as_picture(value[0]) if value else None
    if not isinstance(value, str):
        raise TypeError("the path of a picture file")
    return _encodable(value)


def _as_text(value: Any) -> str | None:
    try:
        text = value_as_text(value)
    except TypeError as error:
        raise TypeError("text, a number, or a list of them") from error
    return None if text is None else _encodable(text)


def _as_attribute(value: Any) -> Any:
    if isinstance(value, list):
        return [_as_text(part) for part in value]
    if isinstance(value, str):
        return None if is_missing(value) else _encodable(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _bounded(value)
    # Parquet has dates and decimal numbers, too.
    return value if isinstance(value, bool | date | Decimal) else _as_text(value)


def _encodable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("text without lone surrogates") from error
    return text


def _bounded(number: float) -> float:
    if isinstance(number, int) and not -(2**63) <= number < 2**63:
        raise ValueError("a number of at most 64 bits")
    return number


_CHECKS: dict[ColumnKind, Callable[[Any], Any]] = {
    "id": _as_id,
    "order": _as_order,
    "numbers": _as_numbers,
    "picture": _as_picture,
    "text": _as_text,
    "attribute": _as_attribute,
}
