"""Turn the columns of a source table into ids, texts, pictures and times, with errors that name the row.

Independent of file formats.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float64, Int64

from clairo_core.values.ids import MAX_ID_CHARACTERS, check_item_id, check_user_id, shown
from training.datasets.columns.arrow_columns import (
    first_unlike,
    is_binary,
    is_list,
    is_text,
    plain_column,
    refuse_where,
    safely_cast,
    without_missing_text,
)
from training.datasets.columns.time_texts import times_in
from training.datasets.tables.column_kinds import value_as_text
from training.datasets.tables.parquet_pictures import ParquetPicture, PictureColumn
from training.datasets.tables.table_files import SourceTable, as_parquet

_MORE_URLS = r"(?s)^(https?://\S*?)\s*,\s*https?://.*$"


def id_column(source: SourceTable, field: str) -> pa.LargeStringArray:
    """Read ids as text, in row order; whole numbers are written in digits.

    Raises:
        RowError: an id is missing, empty or contains NUL, or the column is neither text nor whole numbers.
    """
    column = plain_column(source, field)
    if not (is_text(column.type) or pa.types.is_integer(column.type) or pa.types.is_null(column.type)):
        raise source.column_error(
            field, f"the column is {column.type}, expected text or whole numbers; convert it before writing the file"
        )
    ids = column.cast(pa.large_string())
    refuse_where(source, field, pc.is_null(ids), "the id is missing; fill it in, or leave out the row")
    refuse_where(source, field, pc.equal(ids, ""), "the id is empty; fill it in, or leave out the row")
    _refuse_nul(source, field, ids)
    return ids


def item_id_column(source: SourceTable, field: str) -> list[str]:
    """Read the ids of items, in row order.

    Raises:
        RowError: as `id_column`; also if the service would refuse the id (`check_item_id`).
    """
    ids: list[str] = id_column(source, field).to_pylist()
    _check_ids(source, field, ids, check_item_id, lambda place: np.array([place]))
    return ids


def user_id_column(source: SourceTable, field: str) -> pa.DictionaryArray:
    """Read the ids of users, in row order.

    Raises:
        RowError: as `id_column`; also if the service would refuse the id (`check_user_id`).
    """
    ids = id_column(source, field).dictionary_encode()
    codes = ids.indices.to_numpy()
    # No printable ASCII is refused: of millions of ids, few are left for Python.
    is_plain = pc.invert(pc.match_substring_regex(ids.dictionary, "[^ -~]"))
    is_short = pc.less_equal(pc.binary_length(ids.dictionary), MAX_ID_CHARACTERS)
    odd = np.flatnonzero(~pc.and_(is_plain, is_short).to_numpy(zero_copy_only=False))
    odd_ids: list[str] = ids.dictionary.take(pa.array(odd)).to_pylist()
    _check_ids(source, field, odd_ids, check_user_id, lambda place: np.flatnonzero(codes == odd[place]))
    return ids


def text_column(source: SourceTable, field: str) -> list[str | None]:
    """Read a column as text, in row order; missing values are None, lists are joined by commas.

    Raises:
        RowError: a value contains NUL, or the column is bytes, a struct or a map.
    """
    column = plain_column(source, field)
    if is_list(column.type):
        return [None if texts is None else ", ".join(texts) for texts in list_column(source, field)]
    if pa.types.is_nested(column.type) or is_binary(column.type):
        raise source.column_error(
            field, f"the column is {column.type}, expected text, numbers, or lists of them; name another column"
        )
    try:
        texts = column.cast(pa.large_string())
    except pa.ArrowException:
        raise source.column_error(field, f"the column is {column.type}, expected text or numbers; convert it") from None
    if pa.types.is_floating(column.type):
        # Through float: Arrow prints some numbers in another way than JSON Lines' reader.
        return [None if text is None else value_as_text(float(text)) for text in texts.to_pylist()]
    _refuse_nul(source, field, texts)
    return [value_as_text(text) for text in texts.to_pylist()]


def list_column(source: SourceTable, field: str) -> list[list[str] | None]:
    """Read a column of lists as lists of texts, in row order; lists without a value are None.

    Raises:
        RowError: a text contains NUL, or a value is neither text nor number.
    """
    lists: list[list[str] | None] = []
    for row, values in enumerate(plain_column(source, field).to_pylist()):
        try:
            texts = [text for text in map(value_as_text, values or ()) if text is not None]
        except TypeError as error:
            raise source.error(
                row, field, f"the list contains {error}, expected text or numbers; correct it"
            ) from error
        if any("\0" in text for text in texts):
            raise source.error(row, field, "the text contains a NUL character; remove it")
        lists.append(texts or None)
    return lists


def picture_column(source: SourceTable, field: str) -> list[bytes | ParquetPicture | str | None]:
    """Read encoded pictures as bytes or file paths as text, in row order; missing values are None.

    Bytes in Parquet stay there until a picture is looked at.

    Raises:
        RowError: the column is neither bytes nor text.
    """
    column = plain_column(source, field)
    parquet = as_parquet(source.path)
    if pa.types.is_integer(column.type) and parquet is not None and parquet.has_bytes(field):
        stored = PictureColumn(parquet, field)
        return [None if place is None or place < 0 else stored.picture(place) for place in column.to_pylist()]
    if is_text(column.type):
        _refuse_nul(source, field, column)
    elif not (is_binary(column.type) or pa.types.is_null(column.type)):
        raise source.column_error(
            field, f"the column is {column.type}, expected a picture's bytes or its path; name another column"
        )
    pictures = without_missing_text(column) if is_text(column.type) else column
    if is_text(column.type):
        # The first of several urls is the main picture.
        pictures = pc.replace_substring_regex(pictures, _MORE_URLS, r"\1")
    return [picture or None for picture in pictures.to_pylist()]


def order_column(source: SourceTable, field: str) -> Int64[np.ndarray, "row"] | Float64[np.ndarray, "row"]:
    """Read numbers that sort rows by time: positions, seconds since 1970, or microseconds for dates.

    Text is read as whole numbers, else as decimal numbers, else as dates and times, UTC without a zone.

    Raises:
        RowError: a value is missing, not finite, or neither a number nor a date.
    """
    column = plain_column(source, field)
    if is_text(column.type):
        column = without_missing_text(pc.utf8_trim_whitespace(column))
    refuse_where(source, field, pc.is_null(column), "the value is missing; fill it in, or leave out the row")
    if is_text(column.type):
        column = _parsed(source, field, column)
    if pa.types.is_temporal(column.type):
        column = _microseconds(source, field, column)
    if pa.types.is_integer(column.type):
        positions: np.ndarray = safely_cast(source, field, column, pa.int64()).to_numpy()
        return positions
    if pa.types.is_floating(column.type):
        column = column.cast(pa.float64())
        refuse_where(source, field, pc.invert(pc.is_finite(column)), "the value is not finite; correct it")
        numbers: np.ndarray = column.to_numpy()
        return numbers
    raise source.column_error(field, f"the column is {column.type}, expected numbers or dates; name another column")


def holds_numbers(source: SourceTable, field: str) -> bool:
    """Whether `order_column` reads numbers, not dates: of texts, the first tells."""
    first = plain_column(replace(source, table=source.table.slice(0, 1)), field)
    if not is_text(first.type):
        return not pa.types.is_temporal(first.type)
    return source.form.timestamp_format is None and len(first) > 0 and not math.isnan(_float(first[0].as_py() or ""))


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _microseconds(source: SourceTable, field: str, column: pa.Array) -> pa.Array:
    """Convert dates and times to microseconds since 1970; nanoseconds are cut."""
    if pa.types.is_date32(column.type):
        counts, factor = column.cast(pa.int32()).cast(pa.int64()), 86_400_000_000
    elif pa.types.is_date64(column.type):
        counts, factor = column.cast(pa.int64()), 1000
    elif pa.types.is_timestamp(column.type):
        if column.type.unit == "ns":
            return pc.divide(column.cast(pa.int64()), 1000)
        counts, factor = column.cast(pa.int64()), {"s": 1_000_000, "ms": 1000, "us": 1}[column.type.unit]
    else:
        raise source.column_error(field, f"the column is {column.type}, expected dates, times with dates, or numbers")
    # Arrow's own casts of dates wrap around.
    largest = (2**63 - 1) // factor
    is_outside = pc.or_(pc.greater(counts, largest), pc.less(counts, -largest))
    refuse_where(source, field, is_outside, "the time is beyond 64 bits of microseconds; correct it")
    return pc.multiply(counts, factor)


def _check_ids(
    source: SourceTable,
    field: str,
    ids: Sequence[str],
    check: Callable[[str], str],
    rows_of: Callable[[int], np.ndarray],
) -> None:
    for place, one in enumerate(ids):
        try:
            check(one)
        except ValueError as error:
            raise source.error(
                rows_of(place), field, f"got {shown(one)}, but {error}; the service refuses such an id"
            ) from error


def _refuse_nul(source: SourceTable, field: str, texts: pa.Array) -> None:
    refuse_where(source, field, pc.match_substring(texts, "\0"), "the text contains a NUL character; remove it")


def _parsed(source: SourceTable, field: str, texts: pa.Array) -> pa.Array:
    """Parse all texts as whole numbers, else as decimal numbers, else as times in microseconds."""
    furthest = 0
    for reading in () if source.form.timestamp_format else (pa.int64(), pa.float64()):
        try:
            return texts.cast(reading)
        except pa.ArrowInvalid:
            furthest = max(furthest, first_unlike(texts, reading))
    return times_in(source, field, texts, furthest)
