"""Values of attributes: what a shop says of an item beside words and pictures, each with a type.

    text     "Fjord"                     number   18.5
    boolean  true                        date     "2024-05-31", "2024-05-31T17:00:00Z"
    list     ["S", "M"]                  path     "Home > Kitchen > Mugs"

A date and a path are texts too; only a declared type tells them apart. Start at `as_type` for a value from JSON, and
at `read_text` for one from a table of texts.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

import numpy as np
from jaxtyping import Int32

from clairo_core.values.missing import is_missing
from clairo_core.values.numbers import number_in
from clairo_core.values.times import moment_in

Value: TypeAlias = str | float | bool | tuple[str, ...]
Single: TypeAlias = str | float | bool
"""A value, or one of a list's."""
PATH_MARK = ">"
_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class AttributeType(StrEnum):
    """The type of an attribute, the same for all items."""

    TEXT = "text"
    NUMBER = "number"
    BOOLEAN = "boolean"
    DATE = "date"
    LIST = "list"
    PATH = "path"


EXPECTED = {
    AttributeType.TEXT: "text",
    AttributeType.NUMBER: "a number",
    AttributeType.BOOLEAN: "true or false",
    AttributeType.DATE: "a date such as 2024-05-31 or 2024-05-31T17:00:00Z",
    AttributeType.LIST: "a list of texts",
    AttributeType.PATH: "a category path such as Home > Kitchen > Mugs",
}


@dataclass(frozen=True, slots=True)
class AttributeValues:
    """One attribute of a table's items: which rows have it, and which of its distinct values."""

    rows: Int32[np.ndarray, "entry"]
    """Ascending, each at most once."""
    codes: Int32[np.ndarray, "entry"]
    """Places in `values`."""
    values: tuple[Value, ...]
    """Distinct, in the order of their first row; a list is one value."""


def type_of(value: object) -> AttributeType:
    """The type of a value from JSON whose attribute has no declared one."""
    if isinstance(value, bool):
        return AttributeType.BOOLEAN
    if isinstance(value, int | float):
        return AttributeType.NUMBER
    return AttributeType.LIST if isinstance(value, list | tuple) else AttributeType.TEXT


def as_type(value: object, wanted: AttributeType) -> Value:
    """Check that a value from JSON has a type, and bring it into its one form.

    >>> as_type(["S", "M"], AttributeType.LIST), as_type("Home >Kitchen", AttributeType.PATH)
    (('S', 'M'), 'Home > Kitchen')

    Raises:
        ValueError: it has not; the message begins with "expected".
    """
    of_json = type_of(value)
    is_text = wanted in (AttributeType.TEXT, AttributeType.DATE, AttributeType.PATH)
    if of_json is not (AttributeType.TEXT if is_text else wanted):
        raise ValueError(f"expected {EXPECTED[wanted]}")
    if isinstance(value, list | tuple):
        if not all(isinstance(part, str) for part in value):
            raise ValueError(f"expected {EXPECTED[wanted]}")
        return tuple(part for part in value if not is_missing(part))
    return read_text(value, wanted) if isinstance(value, str) else _plain(value)


def read_text(text: str, wanted: AttributeType, *, separator: str = ",") -> Value:
    """Read a value of a type from the text that a table has for it.

    >>> read_text("1.234,56 €", AttributeType.NUMBER), read_text("S, M", AttributeType.LIST)
    (1234.56, ('S', 'M'))

    Args:
        text: not missing.
        wanted: the attribute's type.
        separator: between the texts of a list.

    Raises:
        ValueError: the text has no such reading; the message begins with "expected".
    """
    stripped = text.strip()
    match wanted:
        case AttributeType.TEXT:
            return text
        case AttributeType.NUMBER if not math.isnan(number := number_in(stripped)):
            return number
        case AttributeType.BOOLEAN if stripped.lower() in _BOOLEANS:
            return _BOOLEANS[stripped.lower()]
        case AttributeType.BOOLEAN:
            raise ValueError("expected true or false, yes or no, 1 or 0")
        case AttributeType.DATE:
            moment_in(stripped)
            return stripped
        case AttributeType.LIST:
            return tuple(part for part in map(str.strip, stripped.split(separator)) if not is_missing(part))
        case AttributeType.PATH if all(parts := path_parts(stripped)):
            return f" {PATH_MARK} ".join(parts)
    raise ValueError(f"expected {EXPECTED[wanted]}")


def converted(value: Value, wanted: AttributeType, *, separator: str = ",") -> Value:
    """Bring a value that may have another type to one: texts are read, and of a list, a path is the first text.

    >>> converted("9,90", AttributeType.NUMBER), converted(7.0, AttributeType.TEXT)
    (9.9, '7')

    Args:
        value: not missing.
        wanted: the attribute's type.
        separator: between the texts of a list.

    Raises:
        ValueError: the value has no such reading; the message begins with "expected".
    """
    of_value = type_of(value)
    if of_value is wanted and wanted is not AttributeType.TEXT:
        return value
    texts = texts_of(value)
    if wanted is AttributeType.TEXT:
        return ", ".join(texts)
    if wanted is AttributeType.PATH:
        texts = texts[:1]
    if len(texts) != 1:
        raise ValueError(f"expected {EXPECTED[wanted]}")
    return read_text(texts[0], wanted, separator=separator)


def path_parts(path: str) -> tuple[str, ...]:
    """The categories of a path, outermost first.

    >>> path_parts("Home > Kitchen>Mugs")
    ('Home', 'Kitchen', 'Mugs')
    """
    return tuple(part.strip() for part in path.split(PATH_MARK))


def singles_of(value: Value) -> tuple[Single, ...]:
    """The values that a list holds, or the value itself; none if it is missing."""
    if isinstance(value, tuple):
        return value
    return () if is_missing(value) else (value,)


def texts_of(value: Value) -> tuple[str, ...]:
    """The value as people write it, for searches and pages; one text for each value of a list.

    >>> texts_of(18.0), texts_of(True), texts_of(("S", "M"))
    (('18',), ('true',), ('S', 'M'))
    """
    return tuple(_text_of(single) for single in singles_of(value))


def from_json(attributes: Mapping[str, object]) -> dict[str, Value]:
    """Attributes as JSON kept them: a list is a tuple again."""
    # A text, the usual case, stays as it is.
    return {n: value if isinstance(value, str) else as_type(value, type_of(value)) for n, value in attributes.items()}


def as_json(attributes: Mapping[str, Value]) -> dict[str, str | float | bool | list[str]]:
    """Attributes as JSON keeps them."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in attributes.items()}


def _plain(value: object) -> Value:
    """A boolean as it is, a number in one form, so that equal ones have equal digests."""
    if isinstance(value, bool):
        return value
    number = float(str(value))
    if not math.isfinite(number):
        raise ValueError("expected a finite number")
    return number


def _text_of(single: Single) -> str:
    if isinstance(single, bool):
        return str(single).lower()
    return f"{single:.15g}" if isinstance(single, float | int) else single
