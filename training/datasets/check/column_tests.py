"""Which reader tests which column of a dataset's tables, and tests that only a check makes. Start at `column_tests`."""

from collections.abc import Sequence
from functools import partial

import numpy as np
from jaxtyping import Bool, Float64, Int64

from clairo_core.values.numbers import number_in
from training.datasets.check.sound_tables import ColumnReader
from training.datasets.columns.attribute_columns import attribute_column
from training.datasets.columns.value_columns import (
    id_column,
    item_id_column,
    order_column,
    picture_column,
    text_column,
    user_id_column,
)
from training.datasets.description import DatasetDescription, DeclaredType
from training.datasets.event_times import units_per_second
from training.datasets.tables.table_files import SourceTable
from training.datasets.tables.table_source import TableFile

_EARLIEST, _LATEST = 1e7, 1e10
"""Seconds since 1970. Numbers in another unit than most, and zeros for a missing time, lie outside."""


def column_tests(description: DatasetDescription) -> dict[TableFile, dict[str, ColumnReader]]:
    """The reader of every column of ids, texts, attributes, pictures and times, by file."""
    items, pictures, codes = description.items, description.pictures, description.codes
    tests: dict[TableFile, dict[str, ColumnReader]] = {}

    def add(file: TableFile, columns: Sequence[str], read: ColumnReader) -> None:
        for column in columns:
            # A column may be used twice; the stricter reader comes first and stays.
            tests.setdefault(file, {}).setdefault(column, read)

    add(items.file, [items.item_id], item_id_column)
    for beside in (pictures, codes):
        if beside is not None:
            add(beside.file, [beside.item_id], id_column)
            add(items.file, [beside.items_column], id_column)
    if pictures is not None:
        add(pictures.file, [pictures.picture], picture_column)
    if items.picture is not None:
        add(items.file, [items.picture], picture_column)
    for name in items.attributes:
        add(items.file, [name], partial(_attribute_column, declared=items.attribute_types.get(name)))
    add(items.file, items.texts, text_column)
    for table in description.interactions:
        add(table.file, [table.user_id], user_id_column)
        add(table.file, [table.item_id], id_column)
        add(table.file, [table.order], order_column)
    return tests


def _attribute_column(source: SourceTable, field: str, declared: DeclaredType | None) -> None:
    attribute_column(source, field, declared)


def price_column(source: SourceTable, field: str) -> None:
    """Refuse prices below zero; values that are not numbers are no fault.

    Raises:
        RowError: names every such row.
    """
    texts = text_column(source, field)
    wrong = [row for row, text in enumerate(texts) if text is not None and number_in(text) < 0]
    if wrong:
        raise source.error(
            np.array(wrong), field, f"got {texts[wrong[0]]!r}, expected a price of at least 0; correct it"
        )


def time_column(source: SourceTable, field: str) -> None:
    """Refuse times that exports write for a missing one, and times in another unit than most.

    Raises:
        RowError: names every such row.
    """
    times = order_column(source, field)
    wrong = np.flatnonzero(is_implausible(times))
    if len(wrong):
        shown = source.table[field][int(wrong[0])].as_py()
        problem = (
            f"got {shown!r}, expected a time since 1970 (May 1970 to 2286, in the unit of most rows); correct it, or "
            "name the column as position"
        )
        raise source.error(wrong, field, problem)


def is_implausible(
    times: Int64[np.ndarray, "row"] | Float64[np.ndarray, "row"],
) -> Bool[np.ndarray, "row"]:
    """Mark times outside of May 1970 to 2286, read in the unit of most; of positions, those below 0.

    >>> is_implausible(np.array([0, 1_700_000_000, 1_700_000_000, 1_700_000_000_000])).tolist()
    [True, False, False, True]
    """
    per_second = units_per_second(times)
    if per_second is None:
        return times < 0
    return (times < _EARLIEST * per_second) | (times > _LATEST * per_second)
