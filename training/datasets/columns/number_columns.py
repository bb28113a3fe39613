"""Turn the columns of a source table into vectors and codes, with errors that name the row.

Independent of file formats.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float32, Int32

from training.datasets.columns.arrow_columns import (
    first_unlike,
    is_list,
    is_text,
    plain_column,
    refuse_where,
    safely_cast,
)
from training.datasets.tables.table_files import SourceTable

MAX_CODE = 2**20 - 1
"""Every code up to the largest becomes a token: one stray large number would fill the vocabulary."""


def vector_column(source: SourceTable, field: str) -> list[Float32[np.ndarray, "dim"] | None]:
    """Read lists of numbers of one length, in row order; missing lists are None.

    Raises:
        RowError: lengths differ, a number is missing or not finite, or the column does not contain lists.
    """
    column = plain_column(source, field)
    if pa.types.is_null(column.type):
        return [None] * len(source)
    if not is_list(column.type):
        raise source.column_error(
            field,
            f"the column is {column.type}, expected lists of numbers; use Parquet or JSON Lines, as CSV has no lists",
        )
    is_present = pc.is_valid(column).to_numpy(zero_copy_only=False)
    vectors = iter(_numbers_of_lists(source, field, column, pa.float32()) if is_present.any() else ())
    return [next(vectors) if present else None for present in is_present]


def code_columns(
    source: SourceTable, fields: Sequence[str]
) -> tuple[Int32[np.ndarray, "item codebook"], tuple[str, ...]]:
    """Read semantic ids and codebook names, from one column per codebook or from one column of lists.

    A list column `features` gives the codebooks `features_0`, `features_1`, ...

    Raises:
        RowError: a code is missing, not a whole number, negative or above `MAX_CODE`, or lists differ in length.
    """
    if len(fields) == 1 and is_list(plain_column(source, fields[0]).type):
        codes = _list_codes(source, fields[0])
        names = tuple(f"{fields[0]}_{position}" for position in range(codes.shape[1]))
        return codes, names
    return np.stack([_code_column(source, field) for field in fields], axis=1), tuple(fields)


def _numbers_of_lists(source: SourceTable, field: str, column: pa.Array, arrow_type: pa.DataType) -> np.ndarray:
    """Stack the lists that are not null into a matrix."""
    lengths = pc.list_value_length(column)
    length = lengths.drop_null()[0].as_py()
    if length == 0:
        raise source.error(
            pc.index(lengths, 0).as_py(), field, "the list is empty, expected numbers; fill it, or make it null"
        )
    differs = pc.not_equal(lengths, length)
    first = pc.index(differs, True).as_py()
    if first >= 0:
        found = lengths[first].as_py()
        raise source.error(
            first, field, f"the list has {found} numbers, but earlier rows have {length}; use one length"
        )
    rows = np.flatnonzero(pc.is_valid(column).to_numpy(zero_copy_only=False))
    values = column.drop_null().flatten()
    if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
        raise source.column_error(field, f"the lists contain {values.type}, expected numbers; name another column")
    first = pc.index(pc.is_null(values), True).as_py()
    if first < 0 and pa.types.is_floating(arrow_type):
        values = values.cast(arrow_type, safe=False)
        first = pc.index(pc.is_finite(values), False).as_py()
    elif first < 0:
        try:
            values = values.cast(arrow_type)
        except pa.ArrowInvalid:
            first = first_unlike(values, arrow_type)
    if first >= 0:
        found, place = values[first].as_py(), first % length + 1
        raise source.error(int(rows[first // length]), field, f"number {place} of the list is {found}; correct it")
    numbers: np.ndarray = values.to_numpy().reshape(-1, length)
    return numbers


def _list_codes(source: SourceTable, field: str) -> Int32[np.ndarray, "item codebook"]:
    column = plain_column(source, field)
    refuse_where(source, field, pc.is_null(column), "the codes are missing; add them, every item needs all codes")
    codes = _numbers_of_lists(source, field, column, pa.int64())
    wrong_rows = np.flatnonzero(((codes < 0) | (codes > MAX_CODE)).any(axis=1))
    if wrong_rows.size:
        row = int(wrong_rows[0])
        raise source.error(row, field, f"the codes are {codes[row].tolist()}, expected 0 to {MAX_CODE}; correct them")
    return codes.astype(np.int32)


def _code_column(source: SourceTable, field: str) -> Int32[np.ndarray, "item"]:
    column = plain_column(source, field)
    refuse_where(source, field, pc.is_null(column), "the code is missing; add it, every item needs one per codebook")
    if is_text(column.type):
        column = safely_cast(source, field, pc.utf8_trim_whitespace(column), pa.int64())
    if not pa.types.is_integer(column.type):
        raise source.column_error(field, f"the column is {column.type}, expected whole numbers; name another column")
    codes: np.ndarray = safely_cast(source, field, column, pa.int64()).to_numpy()
    wrong_rows = np.flatnonzero((codes < 0) | (codes > MAX_CODE))
    if wrong_rows.size:
        row = int(wrong_rows[0])
        raise source.error(row, field, f"the code is {codes[row]}, expected 0 to {MAX_CODE}; correct it")
    return codes.astype(np.int32)
