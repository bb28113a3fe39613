"""Turn a CSV or TSV file with a header line into an Arrow table of text columns, exactly or not at all.

Arrow reads the file. Python's slower reader, which is strict about quotes, checks every file whose quotes need a look,
and finds the faulty line where Arrow fails. Start at `read_csv`.
"""

import codecs
import contextlib
import csv
import io
import itertools
import re
from array import array
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv
from jaxtyping import Int64

from clairo_core.errors import DatasetError, EmptyTableError, RowError
from clairo_core.progress import Progress, silent
from training.datasets.tables.column_kinds import check_column_names
from training.datasets.tables.line_count import count_lines
from training.datasets.tables.packed_files import format_suffix, is_packed, unpacked
from training.datasets.tables.row_faults import OnFault, field_fault, line_fault, raise_fault
from training.datasets.tables.table_form import TableForm

_BLOCK_BYTES = 16 * 1024 * 1024
"""A row must fit into two blocks."""
_MAX_FIELD_BYTES = 2**31 - 1
_QUOTE = ord('"')
_ROWS_PER_CHUNK = 65_536
SEPARATORS = (",", ";", "\t", "|")
_QUOTED = re.compile('"[^"]*"')
_FORM = TableForm()
_ARROW_ERRORS = (pa.ArrowException, UnicodeError, OSError)


def read_csv(path: Path, columns: Sequence[str], progress: Progress = silent, form: TableForm = _FORM) -> pa.Table:
    """Read some columns as text; empty values are null, blank lines are skipped.

    Quotes are judged alike in every row: a quoted value ends with its quote, and a quote inside an unquoted value is
    itself.

    Raises:
        MissingColumnError: a column is not in the header.
        RowError: ragged, wrongly encoded, or quoted wrongly; names the line.
        DatasetError: the content cannot be unpacked.
    """
    check_column_names(path, csv_header(path, form), columns)
    try:
        table = _read_by_arrow(path, columns, form)
    except _ARROW_ERRORS as error:
        raise_first_fault(path, progress, form)
        raise DatasetError(f"{path} cannot be read as CSV ({error}); save it again as comma-separated UTF-8") from error
    if not _are_quotes_clear(path, form):
        raise_first_fault(path, progress, form)
    return table


def _read_by_arrow(
    path: Path, columns: Sequence[str], form: TableForm, ragged: list[arrow_csv.InvalidRow] | None = None
) -> pa.Table:
    """Read the columns. With a list, rows of another length than the header are added to it instead of raising."""

    return arrow_csv.read_csv(
        pa.input_stream(str(path), compression="detect") if is_packed(path) else path,
        # Arrow's threads do not know the numbers of rows, and one that lets go of the handler while Python ends aborts.
        read_options=arrow_csv.ReadOptions(block_size=_BLOCK_BYTES, encoding=form.encoding, use_threads=ragged is None),
        parse_options=arrow_csv.ParseOptions(
            delimiter=csv_separator(path, form),
            newlines_in_values=True,
            invalid_row_handler=None if ragged is None else partial(_leave_out, ragged),
        ),
        convert_options=arrow_csv.ConvertOptions(
            include_columns=list(columns),
            column_types={name: pa.large_string() for name in columns},
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=True,
        ),
    )


def _leave_out(ragged: list[arrow_csv.InvalidRow], row: arrow_csv.InvalidRow) -> str:
    ragged.append(row)
    return "skip"


def _are_quotes_clear(path: Path, form: TableForm) -> bool:
    """Whether Arrow read the quotes right.

    It takes text after a closing quote, and the rest of the file if none closes, without an error.
    """
    return not _hides_quotes(form.encoding) and quotes_enclose_values(path, separator=csv_separator(path, form))


def csv_header(path: Path, form: TableForm = _FORM) -> tuple[str, ...]:
    """Read the column names.

    Raises:
        EmptyTableError: all lines are blank.
        RowError: the first line is wrongly encoded, or quoted wrongly.
        DatasetError: the content cannot be unpacked.
    """
    for line, record in _records(path, form):
        if fault := _wrong_encoding(path, line, record, record, form.encoding):
            raise fault
        return tuple(record)
    raise EmptyTableError(f"{path} is empty, expected a header line and rows; export the table again")


def csv_separator(path: Path, form: TableForm = _FORM) -> str:
    """The character between columns: as declared, a tab in a TSV, else the most frequent of the header's `SEPARATORS`.

    Quoted names count for nothing. A tie goes to the comma.
    """
    if form.separator is not None or format_suffix(path) == ".tsv":
        return form.separator or "\t"
    with _text_of(path, form.encoding) as file:
        header = _QUOTED.sub("", next((line for line in file if line.strip()), ""))
    return max(SEPARATORS, key=header.count)


def csv_row_number(path: Path, index: int, form: TableForm = _FORM) -> int:
    """First line, counted from 1, of row `index`, counted from 0 after the header."""
    for count, (line, _) in enumerate(_records(path, form), start=-1):
        if count == index:
            return line
    return index + 2


def raise_first_fault(path: Path, progress: Progress = silent, form: TableForm = _FORM) -> None:
    """Read the whole file strictly.

    Raises:
        RowError: names the first line that is ragged, wrongly encoded, or quoted wrongly.
        DatasetError: the content cannot be unpacked.
    """
    for _ in _sound_records(path, form, raise_fault, progress):
        pass


def read_sound_csv(
    path: Path, columns: Sequence[str], form: TableForm, on_fault: OnFault, progress: Progress = silent
) -> tuple[pa.Table, Int64[np.ndarray, "row"]]:
    """Read as `read_csv`, but leave out lines with a fault. Returns the table, and the first line of each row.

    Where a line has another fault than its number of fields, Python reads the file, several times slower.

    Raises:
        MissingColumnError, DatasetError: as `read_csv`; the header must be sound.
    """
    header = csv_header(path, form)
    check_column_names(path, header, columns)
    if (read := _read_sound_by_arrow(path, columns, form, header, on_fault)) is not None:
        return read
    places = [header.index(name) for name in columns]
    schema = pa.schema([(name, pa.large_string()) for name in columns])
    chunks, lines = [schema.empty_table()], array("q")
    values: list[list[str | None]] = [[] for _ in places]

    def close_chunk() -> None:
        chunks.append(pa.table(values, schema=schema))
        for column in values:
            column.clear()

    # Values of a column, not records: a million small lists would keep Python's garbage collector busy.
    for line, record in itertools.islice(_sound_records(path, form, on_fault, progress), 1, None):
        lines.append(line)
        for column, place in zip(values, places, strict=True):
            column.append(record[place] or None)
        if len(values[0]) == _ROWS_PER_CHUNK:
            close_chunk()
    close_chunk()
    return pa.concat_tables(chunks), np.array(lines)


def _read_sound_by_arrow(
    path: Path, columns: Sequence[str], form: TableForm, header: Sequence[str], on_fault: OnFault
) -> tuple[pa.Table, Int64[np.ndarray, "row"]] | None:
    """Read without ragged lines; None if the file has other faults, or lines cannot be counted."""
    attempts: tuple[list[arrow_csv.InvalidRow] | None, ...] = (None, [])
    for ragged in attempts:
        with contextlib.suppress(*_ARROW_ERRORS):
            table = _read_by_arrow(path, columns, form, ragged)
            num_rows = len(table) + len(ragged or ())
            if not _are_quotes_clear(path, form) or (ragged and count_lines(path) != num_rows + 1):
                return None
            for row in ragged or ():
                on_fault(_ragged(path, row.number, row.actual_columns, header, csv_separator(path, form)))
            lines = csv_lines(path, num_rows, form)
            return table, lines if not ragged else np.setdiff1d(lines, [row.number for row in ragged])
    return None


def csv_lines(path: Path, num_rows: int, form: TableForm = _FORM) -> Int64[np.ndarray, "row"]:
    """First line of every row of a file without faults."""
    if count_lines(path) == num_rows + 1 and not _hides_quotes(form.encoding):
        return np.arange(2, num_rows + 2)
    lines = (line for line, _ in _records(path, form))
    return np.fromiter(itertools.islice(lines, 1, None), dtype=np.int64, count=num_rows)


def _sound_records(
    path: Path, form: TableForm, on_fault: OnFault, progress: Progress
) -> Iterator[tuple[int, list[str]]]:
    """Yield line and values of the header, and of every record without a fault."""
    header: list[str] = []
    separator = csv_separator(path, form)
    for line, record in progress(_records(path, form, on_fault), f"checking {path.name}", count_lines(path)):
        header = header or record
        fault = _wrong_encoding(path, line, record, header, form.encoding)
        if fault is None and len(record) != len(header):
            fault = _ragged(path, line, len(record), header, separator)
        if fault is None:
            yield line, record
        else:
            on_fault(fault)


def _ragged(path: Path, line: int, num_fields: int, header: Sequence[str], separator: str) -> RowError:
    field = header[num_fields] if num_fields < len(header) else f"column {len(header) + 1}"
    problem = (
        f"has {num_fields} fields, but the header line has {len(header)}: "
        f"{', '.join(map(repr, header))}; quote values that contain {_shown(separator)}"
    )
    return line_fault(path, line, problem, field)


def _shown(separator: str) -> str:
    return {",": "commas", ";": "semicolons", "\t": "tabs"}.get(separator, repr(separator))


def _hides_quotes(encoding: str) -> bool:
    """Whether bytes do not show where quotes are, as in UTF-16."""
    return '"\n'.encode(encoding) not in (b'"\n', codecs.BOM_UTF8 + b'"\n')


@contextmanager
def _text_of(path: Path, encoding: str) -> Iterator[io.TextIOWrapper]:
    """Open as text; bytes of another encoding become lone surrogates."""
    encoding = "utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding
    with unpacked(path) as file, io.TextIOWrapper(file, encoding, errors="surrogateescape", newline="") as text:
        yield text


def _records(path: Path, form: TableForm, on_fault: OnFault = raise_fault) -> Iterator[tuple[int, list[str]]]:
    """Yield the first line and the values of each record; bytes of another encoding become lone surrogates."""
    separator = csv_separator(path, form)
    previous_limit = csv.field_size_limit(_MAX_FIELD_BYTES)
    start: int | None = 1
    try:
        while start is not None:
            with _text_of(path, form.encoding) as file:
                reader = csv.reader(itertools.islice(file, start - 1, None), delimiter=separator, strict=True)
                start = yield from _records_from(path, reader, start, on_fault)
    finally:
        csv.field_size_limit(previous_limit)


def _records_from(
    path: Path, reader: Any, start: int, on_fault: OnFault
) -> Generator[tuple[int, list[str]], None, int | None]:
    """Yield records from a line on. Returns the line to go on from if a quote swallowed lines, else None."""
    while True:
        line: int = start + reader.line_num
        try:
            record = next(reader)
        except StopIteration:
            return None
        except csv.Error as error:
            problem = 'put values that contain quotes into quotes and double the inner ones: "12"" vinyl"'
            on_fault(line_fault(path, line, f"is not CSV ({error}); {problem}"))
            if start + reader.line_num > line + 1:
                return line + 1
            continue
        if record:
            yield line, record


def _wrong_encoding(
    path: Path, line: int, record: Sequence[str], header: Sequence[str], encoding: str
) -> RowError | None:
    if "".join(record).isascii():
        return None
    for position, value in enumerate(record):
        try:
            value.encode()
        except UnicodeEncodeError:
            field = header[position] if position < len(header) and header is not record else f"column {position + 1}"
            problem = f"the bytes are not {encoding.upper()}; save the file as UTF-8, or name its encoding, such as "
            return field_fault(path, (line,), field, f'{problem}encoding = "cp1252"')
    return None


def quotes_enclose_values(path: Path, block_bytes: int = _BLOCK_BYTES, separator: str = ",") -> bool:
    """Whether quotes alternately open and close whole values or are doubled, so that any reader takes them alike.

    A separator, a line end or, if doubled, a quote stands before each opening quote and after each closing one.
    """
    is_open, previous = False, ord("\n")
    beside_quotes = np.frombuffer(f'{separator}\n\r"'.encode(), dtype=np.uint8)
    with unpacked(path) as file:
        start = file.read(len(codecs.BOM_UTF8))
        block = b"" if start == codecs.BOM_UTF8 else start
        while block := block + file.read(block_bytes):
            letters = np.frombuffer(bytes([previous]) + block, dtype=np.uint8)
            quotes = np.flatnonzero(letters[1:] == _QUOTE) + 1
            opens = (np.arange(len(quotes)) % 2 == 0) != is_open
            closing = quotes[~opens]
            if previous == _QUOTE and not is_open:
                closing = np.append(closing, 0)
            beside = np.concatenate([letters[quotes[opens] - 1], letters[closing[closing < len(block)] + 1]])
            if not np.isin(beside, beside_quotes).all():
                return False
            is_open ^= len(quotes) % 2 == 1
            previous, block = block[-1], b""
    return not is_open
