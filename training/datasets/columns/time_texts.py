"""Turn dates and times written as text into microseconds since 1970, column by column. Start at `times_in`.

Arrow reads ISO 8601, and other forms are rewritten to it: ten million take half a minute. `moment_in` reads the rest.
"""

import contextlib
import re
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int64

from clairo_core.values.times import moment_in
from training.datasets.tables.table_files import SourceTable

_BY_ARROW = (pa.timestamp("us"), pa.timestamp("us", "UTC"))
_LOCAL = r"^(?P<first>\d{1,2})(?:/(?P<second>\d{1,2})/|-(?P<other>\d{1,2})-)\d{4}(?:\D|$)"
_TO_ISO = (
    (r"^(\d{4})/(\d\d)/(\d\d)", r"\1-\2-\3"),
    (r"^(\d{1,2})\.(\d{1,2})\.(\d{4})", r"\3-\2-\1"),
    (r"^(\d{4})-(\d)-", r"\1-0\2-"),
    (r"^(\d{4}-\d\d)-(\d)(\D|$)", r"\1-0\2\3"),
    (r"^(\d{4}-\d\d-\d\d),? +(\d\d?:)", r"\1 \2"),
    (r"^(\d{4}-\d\d-\d\d) (\d):", r"\1 0\2:"),
    (r" ?(UTC|GMT)$", "Z"),
    (r"(\d) ([+-]\d\d(:?\d\d)?)$", r"\1\2"),
)
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_ROWS_PER_PART = 65_536
_FAST_DIRECTIVES = frozenset("dmYHMSTFR%")
"""Of a format; C and Python read these alike."""


def times_in(source: SourceTable, field: str, texts: pa.Array, furthest: int = 0) -> pa.Array:
    """Parse all texts as times, in the source's `timestamp_format` or in any form with one reading.

    Args:
        source: for errors.
        field: of the column.
        texts: none missing.
        furthest: first row that is not a number; an error names it if times fail before.

    Raises:
        RowError: names all texts that are not times; or days and months cannot be told apart.
    """
    form = source.form.timestamp_format
    if form is not None:
        return _in_format(source, field, texts, form)
    # Arrow reads six digits of a second.
    texts_of_arrow = pc.replace_substring_regex(texts, r"\.(\d{6})\d+", r".\1")
    if (times := _read_by_arrow(texts_of_arrow)) is not None:
        return times
    day_first = _is_day_first(source, field, texts)
    moments = np.zeros(len(texts), dtype=np.int64)
    wrong: list[int] = []
    # In parts, so that one odd row among millions does not make the others slow.
    parts = [(0, len(texts))]
    while parts:
        start, end = parts.pop()
        part = texts_of_arrow.slice(start, end - start)
        times = _read_by_arrow(part)
        if times is None and end - start > _ROWS_PER_PART:
            middle = (start + end) // 2
            parts += [(middle, end), (start, middle)]
            continue
        if times is None:
            times = _read_by_arrow(_as_iso(part, day_first))
        if times is not None:
            moments[start:end] = times.to_numpy()
            continue
        for row, text in enumerate(texts.slice(start, end - start).to_pylist(), start=start):
            try:
                moments[row] = moment_in(text, day_first=day_first)
            except ValueError:
                wrong.append(row)
                if row < furthest:
                    raise _no_times(source, field, texts, _rows_without_number(texts, furthest)) from None
    if wrong:
        raise _no_times(source, field, texts, np.array(wrong))
    return pa.array(moments)


def _rows_without_number(texts: pa.Array, first: int) -> Int64[np.ndarray, "row"]:
    """The rows that are not numbers, and the first of which that is known."""
    is_number = pc.match_substring_regex(texts, _NUMBER).to_numpy(zero_copy_only=False)
    return np.union1d(np.flatnonzero(~is_number), [first])


def _no_times(source: SourceTable, field: str, texts: pa.Array, rows: Int64[np.ndarray, "row"]) -> Exception:
    return source.error(
        rows,
        field,
        f"got {texts[int(rows[0])].as_py()!r}, expected a number, or a date and time such as 2024-05-31 17:00:00, "
        "written as in the rows before; correct it",
    )


def _as_iso(texts: pa.Array, day_first: bool | None) -> pa.Array:
    """Rewrite other forms to the one that Arrow reads."""
    if day_first is not None:
        order = r"\3-\2-\1" if day_first else r"\3-\1-\2"
        for mark in "/-":
            texts = pc.replace_substring_regex(texts, rf"^(\d{{1,2}}){mark}(\d{{1,2}}){mark}(\d{{4}})", order)
    for pattern, replacement in _TO_ISO:
        texts = pc.replace_substring_regex(texts, pattern, replacement)
    return texts


def _read_by_arrow(texts: pa.Array) -> pa.Array | None:
    # `moment_in` reads the same, except that Arrow has a year 0.
    for reading in () if pc.any(pc.starts_with(texts, "0000-")).as_py() else _BY_ARROW:
        with contextlib.suppress(pa.ArrowInvalid):
            return texts.cast(reading).cast(pa.int64())
    return None


def _is_day_first(source: SourceTable, field: str, texts: pa.Array) -> bool | None:
    """Whether 03/04/2024 is in April: a number above 12 in any row decides. None without such dates."""
    parts = pc.extract_regex(texts, _LOCAL)
    rows = np.flatnonzero(parts.is_valid().to_numpy(zero_copy_only=False))
    if not len(rows):
        return None
    found = parts.drop_null()
    first, second, other = (found.field(name) for name in ("first", "second", "other"))
    day = _numbers(first)
    month = _numbers(pc.if_else(pc.equal(second, ""), other, second))
    by_day, by_month = np.flatnonzero(day > 12), np.flatnonzero(month > 12)
    setting = 'timestamp_format = "%d/%m/%Y %H:%M"'
    if len(by_day) and len(by_month):
        row = int(max(rows[by_day[0]], rows[by_month[0]]))
        raise source.error(
            row, field, f"got {texts[row].as_py()!r}, with day and month in another order than rows before; correct it"
        )
    if not (len(by_day) or len(by_month)):
        row = int(rows[0])
        raise source.error(
            row,
            field,
            f"got {texts[row].as_py()!r}, where day and month have two readings in every row; set the one that holds, "
            f"such as {setting}",
        )
    return bool(len(by_day))


def _numbers(digits: pa.Array) -> Int64[np.ndarray, "row"]:
    return np.asarray(digits.cast(pa.int64()).to_numpy(zero_copy_only=False))


def _in_format(source: SourceTable, field: str, texts: pa.Array, form: str) -> pa.Array:
    if set(re.findall("%(.)", form)) <= _FAST_DIRECTIVES:
        times = pc.strptime(texts, form, "us", error_is_null=True)
        # It takes 31 February for 2 March.
        if times.null_count == 0 and pc.all(pc.equal(pc.strftime(times, form), texts)).as_py():
            return times.cast(pa.int64())
    encoded = texts.dictionary_encode()
    moments = []
    for place, text in enumerate(encoded.dictionary.to_pylist()):
        try:
            moment = datetime.strptime(text, form)
        except ValueError:
            raise _unlike_format(source, field, texts, pc.index(encoded.indices, place).as_py(), form) from None
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        moments.append((aware - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1))
    return pa.array(moments, pa.int64()).take(encoded.indices)


def _unlike_format(source: SourceTable, field: str, texts: pa.Array, row: int, form: str) -> Exception:
    return source.error(
        row, field, f"got {texts[row].as_py()!r}, expected timestamp_format {form!r}; correct one of the two"
    )
