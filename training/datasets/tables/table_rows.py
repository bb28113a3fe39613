"""Fill blank fields of an order's rows from the rows above, and leave out rows without a needed value.

Start at `filled_and_kept`.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Int64

from clairo_core.values.missing import NAN_TEXTS
from training.datasets.tables.table_form import TableForm


class FilledTable(NamedTuple):
    """A table after `fill_down`, and what `skip_without` leaves of it."""

    table: pa.Table
    kept: Int64[np.ndarray, "row"]
    skipped: Mapping[str, int]
    """Rows left out, by the first column without a value."""


def filled_and_kept(table: pa.Table, form: TableForm) -> FilledTable:
    """Apply `fill_down` and `skip_without`."""
    if form.fill_down:
        table = _filled(table, form)
    is_kept = np.ones(len(table), dtype=np.bool_)
    skipped = {}
    for name in form.skip_without:
        is_blank = is_kept & ~has_value(table[name])
        if is_blank.any():
            skipped[name] = int(np.count_nonzero(is_blank))
            is_kept &= ~is_blank
    return FilledTable(table, np.flatnonzero(is_kept), skipped)


def has_value(column: pa.ChunkedArray) -> Bool[np.ndarray, "row"]:
    """Mark the rows whose value is neither null, NaN nor blank text."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_string_view(column.type):
        column = column.cast(pa.large_string())
    is_present = pc.is_valid(column)
    if pa.types.is_floating(column.type):
        is_present = pc.and_(is_present, pc.invert(pc.fill_null(pc.is_nan(column), True)))
    elif pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        trimmed = pc.fill_null(pc.utf8_trim_whitespace(column), "")
        is_present = pc.invert(pc.is_in(trimmed, pa.array(["", *NAN_TEXTS], trimmed.type)))
    return np.asarray(is_present.to_numpy())


def _filled(table: pa.Table, form: TableForm) -> pa.Table:
    rows = np.arange(len(table))
    is_same_order = np.zeros(len(table), dtype=np.bool_)
    if form.order_id is not None:
        orders = table[form.order_id].combine_chunks()
        codes = pc.fill_null(pc.dictionary_encode(orders).indices, -1).to_numpy(zero_copy_only=False)
        # A row without an order is by itself.
        is_same_order[1:] = (codes[1:] == codes[:-1]) & has_value(table[form.order_id])[1:]
    first_of_order = np.maximum.accumulate(np.where(is_same_order, 0, rows))
    for name in form.fill_down:
        above = np.maximum.accumulate(np.where(has_value(table[name]), rows, -1))
        source = np.where(above >= first_of_order, above, rows)
        table = table.set_column(table.column_names.index(name), name, table[name].take(pa.array(source)))
    return table
