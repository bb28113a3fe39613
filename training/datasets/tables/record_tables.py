"""Turn records, as JSON and XML hold them, into an Arrow table of the fields asked for. Start at `table_of_records`."""

import itertools
from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from jaxtyping import Int64

from clairo_core.errors import RowError
from training.datasets.tables.column_kinds import (
    ColumnKind,
    attribute_array,
    check_column_names,
    inferred_array,
    joined_tables,
)
from training.datasets.tables.field_paths import ABSENT, FieldPath, longest_lists, rows_of
from training.datasets.tables.record_values import ValueChecker
from training.datasets.tables.row_faults import OnFault, raise_fault

_ROWS_PER_CHUNK = 65_536


class RecordTable(NamedTuple):
    """A table, and the record of each of its rows."""

    table: pa.Table
    records: Int64[np.ndarray, "row"] | None
    """From 0; None if every record is one row."""
    numbers: Int64[np.ndarray, "record"] | None = None
    """Of all records in the file, for errors; None: found when an error needs one."""


def table_of_records(
    path: object,
    records: Iterable[tuple[int, Mapping[str, Any]]],
    kinds: Mapping[str, ColumnKind],
    on_fault: OnFault = raise_fault,
) -> RecordTable:
    """Read some fields, by name or path, of every record; missing fields are null. Faults of values go to `on_fault`.

    Args:
        path: names the table in errors.
        records: row number in the file, and the record.
        kinds: field to kind. A field of this very name comes before a path.

    Raises:
        MissingColumnError: no record has this field; the text lists the fields of all records.
        RowError: a value is not of its column's kind; names the row.
        DatasetError: two fields give rows by different lists.
    """
    remaining = iter(records)
    first = list(itertools.islice(remaining, 1))
    own_names = set(first[0][1]) if first else set()
    paths = {name: parsed for name in kinds if name not in own_names and (parsed := FieldPath.parse(name)) is not None}
    lists = longest_lists(list(paths.values()))
    checker, columns = ValueChecker(path), _Columns(kinds)
    seen: dict[str, None] = {}
    of_row, numbers = array("q"), array("q")
    for index, (row_number, record) in enumerate(itertools.chain(first, remaining)):
        seen.update(dict.fromkeys(record))
        numbers.append(row_number)
        for elements in rows_of(record, lists):
            row = []
            for name, kind in kinds.items():
                value = record.get(name, ABSENT)
                if value is ABSENT and name in paths:
                    value = paths[name].value_in(elements)
                    if value is not ABSENT:
                        seen[name] = None
                try:
                    row.append(None if value is ABSENT else checker.checked(row_number, name, kind, value))
                except RowError as fault:
                    on_fault(fault)
            if len(row) == len(kinds):
                of_row.append(index)
                columns.append(row)
        columns.close_chunk(at_least=_ROWS_PER_CHUNK)
    if seen:
        check_column_names(path, tuple(seen), kinds)
    is_row_a_record = not lists and len(of_row) == len(numbers)
    return RecordTable(columns.table(), None if is_row_a_record else np.array(of_row), np.array(numbers))


class _Columns:
    """Values gathered in chunks, so that long tables are not held as Python objects, but for attributes of items."""

    def __init__(self, kinds: Mapping[str, ColumnKind]) -> None:
        self._kinds = kinds
        self._attributes: dict[str, list[Any]] = {name: [] for name, kind in kinds.items() if kind == "attribute"}
        self._values: dict[str, list[Any]] = {name: [] for name in kinds if name not in self._attributes}
        self._chunks: list[pa.Table] = []
        self._num_rows = 0

    def append(self, row: Sequence[Any]) -> None:
        for name, value in zip(self._kinds, row, strict=True):
            (self._attributes if name in self._attributes else self._values)[name].append(value)
        self._num_rows += 1

    def close_chunk(self, at_least: int) -> None:
        if self._num_rows < at_least:
            return
        self._chunks.append(pa.table({name: self._array(name) for name in self._values}))
        for values in self._values.values():
            values.clear()
        self._num_rows = 0

    def table(self) -> pa.Table:
        self.close_chunk(at_least=0)
        gathered = joined_tables(self._chunks)
        attributes = {name: attribute_array(values) for name, values in self._attributes.items()}
        return pa.table({name: attributes[name] if name in attributes else gathered[name] for name in self._kinds})

    def _array(self, name: str) -> pa.Array:
        is_text = self._kinds[name] in ("id", "text", "picture")
        return pa.array(self._values[name], pa.large_string()) if is_text else inferred_array(self._values[name])
