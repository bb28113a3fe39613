"""Test and convert the types of Arrow columns, with errors that name the row."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from clairo_core.values.missing import NAN_TEXTS
from training.datasets.tables.table_files import SourceTable


def plain_column(source: SourceTable, field: str) -> pa.Array:
    """Convert a column to one array without dictionary encoding, text and bytes to Arrow's large types.

    A NaN becomes null, and a column of nothing else has no type: pandas writes both for values that are missing.
    """
    column = source.table[field]
    arrow_type = column.type
    if pa.types.is_dictionary(arrow_type):
        arrow_type = arrow_type.value_type
    if pa.types.is_string(arrow_type) or pa.types.is_string_view(arrow_type):
        arrow_type = pa.large_string()
    if pa.types.is_binary(arrow_type) or pa.types.is_binary_view(arrow_type):
        # Arrow's plain binary arrays end at 2 GiB, less than many pictures take.
        arrow_type = pa.large_binary()
    plain = column.cast(arrow_type).combine_chunks()
    if pa.types.is_floating(arrow_type):
        plain = pc.if_else(pc.is_nan(plain), pa.scalar(None, arrow_type), plain)
        if plain.null_count == len(plain):
            return pa.nulls(len(plain))
    return plain


def without_missing_text(texts: pa.Array) -> pa.Array:
    """Replace texts by null that `is_missing` calls missing."""
    is_blank = pc.equal(pc.utf8_trim_whitespace(texts), "")
    missing = pc.or_(is_blank, pc.is_in(texts, pa.array(NAN_TEXTS, texts.type)))
    return pc.if_else(missing, pa.scalar(None, texts.type), texts)


def is_text(arrow_type: pa.DataType) -> bool:
    """Whether a plain column is text."""
    return bool(pa.types.is_large_string(arrow_type))


def is_list(arrow_type: pa.DataType) -> bool:
    """Whether a column holds lists."""
    has_any_length = pa.types.is_list(arrow_type) or pa.types.is_large_list(arrow_type)
    return bool(has_any_length or pa.types.is_fixed_size_list(arrow_type))


def is_binary(arrow_type: pa.DataType) -> bool:
    """Whether a plain column holds bytes."""
    return bool(pa.types.is_large_binary(arrow_type) or pa.types.is_fixed_size_binary(arrow_type))


def refuse_where(source: SourceTable, field: str, is_wrong: pa.Array, problem: str) -> None:
    """Raise a `RowError` for the marked rows; its message names the first."""
    if pc.any(is_wrong).as_py():
        rows = np.flatnonzero(pc.fill_null(is_wrong, False).to_numpy(zero_copy_only=False))
        raise source.error(rows, field, problem)


def safely_cast(source: SourceTable, field: str, column: pa.Array, arrow_type: pa.DataType) -> pa.Array:
    """Convert to another type of whole numbers.

    Raises:
        RowError: a value is not a whole number of this type; names the first such row.
    """
    try:
        return column.cast(arrow_type)
    except pa.ArrowInvalid:
        row = first_unlike(column, arrow_type)
        problem = f"got {column[row].as_py()!r}, expected a whole number of at most 64 bits; correct it"
        raise source.error(row, field, problem) from None


def first_unlike(column: pa.Array, arrow_type: pa.DataType) -> int:
    """Find the first row that cannot be cast by bisection: Arrow's error does not name it."""
    good, bad = 0, len(column)
    while good < bad - 1:
        middle = (good + bad) // 2
        try:
            column.slice(good, middle - good).cast(arrow_type)
            good = middle
        except pa.ArrowInvalid:
            bad = middle
    return good
