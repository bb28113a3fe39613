"""Make one row of an item's variants: the rows of one product in a shop's export. Start at `group_variants`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from clairo_core.values.missing import is_missing
from training.datasets.columns.value_columns import text_column
from training.datasets.tables.table_files import SourceTable
from training.datasets.tables.table_rows import has_value

_PARENT_PREFIX = "id:"
"""WooCommerce writes it before a parent's id; without it, the parent's SKU."""
NO_OPTION = ("Title", "Default Title")
"""Shopify writes it for a product without variants."""


@dataclass(frozen=True, slots=True, eq=False)
class GroupedRows:
    """One row per item, and all rows that it came from."""

    source: SourceTable
    members: tuple[tuple[int, ...], ...]
    """Rows of the table before grouping; the item's own row, or its first, comes first."""


def group_variants(source: SourceTable, group_field: str, id_fields: Sequence[str]) -> GroupedRows:
    """Group rows by a column, and give each item the first value that its rows have in each other column.

    A row whose group is blank is an item by itself, and rows whose group is its id or key belong to it, as variations
    to their parent in WooCommerce. Items keep the order of their first rows.

    Args:
        source: with the columns named.
        group_field: such as Shopify's "Handle" or WooCommerce's "Parent".
        id_fields: columns of ids and keys.
    """
    groups = text_column(source, group_field)
    parents: dict[str, int] = {}
    for field in id_fields if group_field not in id_fields else ():
        for row, value in enumerate(text_column(source, field)):
            if value is not None and groups[row] is None:
                parents.setdefault(value, row)
                parents.setdefault(f"{_PARENT_PREFIX}{value}", row)
    members: dict[str | int, list[int]] = {}
    for row, group in enumerate(groups):
        key: str | int = row if group is None else parents.get(group, group)
        members.setdefault(key, []).append(row)
    in_order = []
    for key, rows in members.items():
        in_order.append((key, *(row for row in rows if row != key)) if isinstance(key, int) else tuple(rows))
    return _one_row_each(source, tuple(in_order))


def option_attributes(
    source: SourceTable, options: Mapping[str, str], members: Sequence[Sequence[int]]
) -> list[dict[str, tuple[str, ...]]]:
    """Read attributes whose names are in columns: for each item every value that its rows have, as a list.

    Args:
        source: before grouping.
        options: column of names to column of values. A blank name is that of the item's row above.
        members: rows of each item.
    """
    columns = [(text_column(source, name), text_column(source, value)) for name, value in options.items()]
    attributes: list[dict[str, tuple[str, ...]]] = []
    for rows in members:
        values_of: dict[str, dict[str, None]] = {}
        for names, values in columns:
            name = None
            for row in rows:
                name = names[row] or name
                value = values[row]
                if name is not None and value is not None and (name, value) != NO_OPTION:
                    values_of.setdefault(name, {}).update(dict.fromkeys(_parts(value)))
        attributes.append({name: tuple(values) for name, values in values_of.items()})
    return attributes


def _parts(value: str) -> list[str]:
    return [part.strip() for part in value.split(", ") if not is_missing(part)]


def _one_row_each(source: SourceTable, members: tuple[tuple[int, ...], ...]) -> GroupedRows:
    rows = np.array([row for of_item in members for row in of_item], dtype=np.int64)
    starts = np.cumsum([0, *(len(of_item) for of_item in members[:-1])])
    places = np.arange(len(rows))
    columns, records_of = {}, {}
    for name in source.table.column_names:
        is_first = np.where(has_value(source.table[name])[rows], places, len(rows))
        # Where no row has a value, the item's first row stands for it.
        first = np.minimum.reduceat(is_first, starts)
        value_rows = rows[np.where(first < len(rows), first, starts)]
        columns[name] = source.table[name].take(pa.array(value_rows))
        records_of[name] = source.file_rows(name)[value_rows]
    return GroupedRows(
        replace(source, table=pa.table(columns), records=source.file_rows("")[rows[starts]], records_of=records_of),
        members,
    )
