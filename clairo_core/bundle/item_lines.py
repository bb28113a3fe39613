"""Read a bundle's items from items.jsonl: their attributes as arrays at once, an item when it is asked for.

The file is mapped. A million items take no Python object each. Start at `read_item_lines`.
"""

import json
import mmap
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, overload

import numpy as np
from jaxtyping import Int64

from clairo_core.attributes import AttributeValues, Value, as_type, from_json, type_of
from clairo_core.items import Item

_LINES_AT_ONCE = 1024
"""Parsed together, which takes half the time of one by one."""
_KEPT_ITEMS = 16_384


class ItemLines(Sequence[Item]):
    """Items by row, without their pictures. Those read last stay in memory. Thread-safe."""

    def __init__(
        self,
        content: bytes | mmap.mmap,
        starts: Int64[np.ndarray, "item+1"],
        attributes: Mapping[str, AttributeValues],
    ) -> None:
        """`starts` are of the lines in `content`; the last one is its end."""
        self._content = content
        self.starts = starts
        self.attributes = attributes
        """By name, the values of all items."""
        self._item = lru_cache(_KEPT_ITEMS)(self._read)

    def __len__(self) -> int:
        return len(self.starts) - 1

    @overload
    def __getitem__(self, row: int) -> Item: ...
    @overload
    def __getitem__(self, row: slice) -> Sequence[Item]: ...
    def __getitem__(self, row: int | slice) -> Item | Sequence[Item]:
        rows = range(len(self))[row]
        if isinstance(rows, int):
            return self._item(rows)
        if rows.step != 1:
            return [self[one] for one in rows]
        return [item for start in rows[::_LINES_AT_ONCE] for item in self._together(start, rows.stop)]

    def __iter__(self) -> Iterator[Item]:
        for start in range(0, len(self), _LINES_AT_ONCE):
            yield from self._together(start, len(self))

    def _together(self, start: int, stop: int) -> list[Item]:
        stop = min(stop, start + _LINES_AT_ONCE)
        return [_item_of(record) for record in _records_of([self._line(row) for row in range(start, stop)])]

    def _read(self, row: int) -> Item:
        return _item_of(json.loads(self._line(row)))

    def _line(self, row: int) -> bytes:
        return self._content[self.starts[row] : self.starts[row + 1]]


def read_item_lines(path: Path) -> ItemLines:
    """Check every line, and map the file.

    Raises:
        OSError: the file cannot be read.
        ValueError, KeyError, TypeError: a line is not an item's.
    """
    lengths = array("q", [0])
    columns: dict[str, _Column] = {}
    row = 0
    with path.open("rb") as file:
        while lines := list(islice(file, _LINES_AT_ONCE)):
            lengths.extend(map(len, lines))
            records = _records_of(lines)
            for record in records:
                _check(record)
            _add_to_columns(columns, row, [record["attributes"] for record in records])
            row += len(lines)
    starts = np.cumsum(np.frombuffer(lengths, dtype=np.int64))
    return mapped_item_lines(path, starts, {name: column.values() for name, column in columns.items()})


def mapped_item_lines(
    path: Path, starts: Int64[np.ndarray, "item+1"], attributes: Mapping[str, AttributeValues]
) -> ItemLines:
    """Map a file whose lines and attributes are known.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if len(starts) > 1 else b""
    return ItemLines(content, starts, attributes)


class _Column:
    """An attribute's values, row by row."""

    def __init__(self) -> None:
        self._rows, self._codes = array("i"), array("i")
        self._code_of = _Codes()

    def add(self, rows: Iterable[int], values: Iterable[object]) -> None:
        # By type too: in Python, True equals 1. Texts, the usual case, are their own keys.
        keys = (value if isinstance(value, str) else _typed(as_type(value, type_of(value))) for value in values)
        self._rows.extend(rows)
        self._codes.extend(map(self._code_of.__getitem__, keys))

    def values(self) -> AttributeValues:
        rows, codes = (np.frombuffer(numbers, dtype=np.int32) for numbers in (self._rows, self._codes))
        values = tuple(key if isinstance(key, str) else key[1] for key in self._code_of)
        return AttributeValues(rows, codes, values)


class _Codes(dict["str | tuple[type, Value]", int]):
    def __missing__(self, key: "str | tuple[type, Value]") -> int:
        code = self[key] = len(self)
        return code


def _typed(value: Value) -> tuple[type, Value]:
    return type(value), value


def _add_to_columns(columns: dict[str, _Column], first_row: int, attributes: Sequence[Mapping[str, object]]) -> None:
    """Add the values of consecutive rows: a column at a time, if all rows have the same attributes."""
    names = attributes[0].keys()
    rows = range(first_row, first_row + len(attributes))
    if all(of_item.keys() == names for of_item in attributes):
        for name in names:
            columns.setdefault(name, _Column()).add(rows, [of_item[name] for of_item in attributes])
        return
    for row, of_item in zip(rows, attributes, strict=True):
        for name, value in of_item.items():
            column = columns.get(name)
            if column is None:
                column = columns[name] = _Column()
            column.add((row,), (value,))


def _records_of(lines: Sequence[bytes]) -> list[Any]:
    records: list[Any] = json.loads(b"[" + b",".join(lines) + b"]")
    if len(records) != len(lines):
        raise ValueError(f"{len(records)} items in {len(lines)} lines, expected one per line")
    return records


def _check(record: Mapping[str, Any]) -> None:
    if not isinstance(record["item_id"], str) or not isinstance(record["texts"], dict):
        raise TypeError("an item's id is not a text, or its texts are not an object")


def _item_of(record: Mapping[str, Any]) -> Item:
    return Item(item_id=record["item_id"], texts=record["texts"], attributes=from_json(record["attributes"]))
