"""Turn a CSV file (comma-separated, UTF-8, a header line) into an Arrow table of text columns, exactly or not at all.

Arrow reads the file. Python's slower reader, which is strict about quotes, checks every file whose quotes need a look,
and finds the faulty line where Arrow fails. Start at `read_csv`.
"""

import codecs
import csv
import itertools
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import TextIO

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv
from jaxtyping import Int64

from clairo_core.errors import DatasetError, EmptyTableError, RowError
from clairo_core.progress import Progress, silent
from training.datasets.column_kinds import check_column_names
from training.datasets.line_count import count_lines
from training.datasets.row_faults import OnFault, raise_fault

_BLOCK_BYTES = 16 * 1024 * 1024
"""A row must fit into two blocks."""
_MAX_FIELD_BYTES = 2**31 - 1
_ROWS_PER_CHUNK = 65_536
_QUOTE = ord('"')
_BESIDE_QUOTES = np.frombuffer(b',\n\r"', dtype=np.uint8)


def read_csv(path: Path, columns: Sequence[str], progress: Progress = silent) -> pa.Table:
    """Read some columns as text; empty values are null, blank lines are skipped.

    Quotes are judged alike in every row: a quoted value ends with its quote, and a quote inside an unquoted value is
    itself.

    Raises:
        MissingColumnError: a column is not in the header.
        RowError: ragged, not UTF-8, or quoted wrongly; names the line.
    """
    header = csv_header(path)
    check_column_names(path, header, columns)
    try:
        table = arrow_csv.read_csv(
            path,
            read_options=arrow_csv.ReadOptions(block_size=_BLOCK_BYTES),
            parse_options=arrow_csv.ParseOptions(newlines_in_values=True),
            convert_options=arrow_csv.ConvertOptions(
                include_columns=list(columns),
                column_types={name: pa.large_string() for name in columns},
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
            ),
        )
    except pa.ArrowException as error:
        raise_first_fault(path, progress)
        raise DatasetError(f"{path} cannot be read as CSV ({error}); save it again as comma-separated UTF-8") from error
    if not quotes_enclose_values(path):
        # Arrow takes text after a closing quote, and the rest of the file if none closes, without an error.
        raise_first_fault(path, progress)
    return table


def csv_header(path: Path) -> tuple[str, ...]:
    """Read the column names.

    Raises:
        EmptyTableError: all lines are blank.
        DatasetError: another character than a comma separates the columns.
        RowError: the first line is not UTF-8, or quoted wrongly.
    """
    _check_separator(path)
    for line, record in _records(path):
        if fault := _not_utf8(path, line, record, record):
            raise fault
        return tuple(record)
    raise EmptyTableError(f"{path} is empty, expected a header line and rows; export the table again")


def _check_separator(path: Path) -> None:
    with path.open("rb") as file:
        header = next((line for line in file if line.strip()), b"")
    separator = next((other for other in ("\t", ";", "|") if other.encode() in header), None)
    # A table of one column is of no use: its name has no such character.
    if separator is not None and b"," not in header:
        raise DatasetError(
            f"{path}: got columns separated by {separator!r}, expected commas; save it as comma-separated CSV, such as "
            f"with pandas: read_csv({path.name!r}, sep={separator!r}).to_csv({path.name!r}, index=False)"
        )


def csv_row_number(path: Path, index: int) -> int:
    """First line, counted from 1, of row `index`, counted from 0 after the header."""
    for count, (line, _) in enumerate(_records(path), start=-1):
        if count == index:
            return line
    return index + 2


def raise_first_fault(path: Path, progress: Progress = silent) -> None:
    """Read the whole file strictly.

    Raises:
        RowError: names the first line that is ragged, not UTF-8, or quoted wrongly.
    """
    for _ in _sound_records(path, raise_fault, progress):
        pass


def read_sound_csv(
    path: Path, columns: Sequence[str], on_fault: OnFault, progress: Progress = silent
) -> tuple[pa.Table, Int64[np.ndarray, "row"]]:
    """Read as `read_csv`, but leave out lines with a fault. Returns the table, and the first line of each row.

    Python reads the file: several times slower.

    Raises:
        MissingColumnError, DatasetError: as `read_csv`; the header must be sound.
    """
    header = csv_header(path)
    check_column_names(path, header, columns)
    places = [header.index(name) for name in columns]
    schema = pa.schema([(name, pa.large_string()) for name in columns])
    chunks, lines = [schema.empty_table()], []
    records = itertools.islice(_sound_records(path, on_fault, progress), 1, None)
    while chunk := list(itertools.islice(records, _ROWS_PER_CHUNK)):
        lines += [line for line, _ in chunk]
        values = [[record[place] or None for _, record in chunk] for place in places]
        chunks.append(pa.table(values, schema=schema))
    return pa.concat_tables(chunks), np.array(lines, dtype=np.int64)


def csv_lines(path: Path, num_rows: int) -> Int64[np.ndarray, "row"]:
    """First line of every row of a file without faults."""
    if count_lines(path) == num_rows + 1:
        return np.arange(2, num_rows + 2)
    lines = (line for line, _ in _records(path))
    return np.fromiter(itertools.islice(lines, 1, None), dtype=np.int64, count=num_rows)


def _sound_records(path: Path, on_fault: OnFault, progress: Progress) -> Iterator[tuple[int, list[str]]]:
    """Yield line and values of the header, and of every record without a fault."""
    header: list[str] = []
    for line, record in progress(_records(path, on_fault), f"checking {path.name}", count_lines(path)):
        header = header or record
        fault = _not_utf8(path, line, record, header) or _ragged(path, line, record, header)
        if fault is None:
            yield line, record
        else:
            on_fault(fault)


def _records(path: Path, on_fault: OnFault = raise_fault) -> Iterator[tuple[int, list[str]]]:
    """Yield the first line and the values of each record; bytes that are not UTF-8 become lone surrogates."""
    previous_limit = csv.field_size_limit(_MAX_FIELD_BYTES)
    start: int | None = 1
    try:
        while start is not None:
            with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
                start = yield from _records_from(path, file, start, on_fault)
    finally:
        csv.field_size_limit(previous_limit)


def _records_from(
    path: Path, file: TextIO, start: int, on_fault: OnFault
) -> Generator[tuple[int, list[str]], None, int | None]:
    """Yield records from a line on. Returns the line to go on from if a quote swallowed lines, else None."""
    reader = csv.reader(itertools.islice(file, start - 1, None), strict=True)
    while True:
        line = start + reader.line_num
        try:
            record = next(reader)
        except StopIteration:
            return None
        except csv.Error as error:
            problem = (
                f"is not CSV ({error}); "
                'put values that contain quotes into quotes and double the inner ones: "12"" vinyl"'
            )
            on_fault(RowError(f"{path} row {line} {problem}", path=path, rows=(line,), problem=problem))
            if start + reader.line_num > line + 1:
                return line + 1
            continue
        if record:
            yield line, record


def _ragged(path: Path, line: int, record: Sequence[str], header: Sequence[str]) -> RowError | None:
    if len(record) == len(header):
        return None
    problem = (
        f"has {len(record)} fields, but the header line has {len(header)}: "
        f"{', '.join(map(repr, header))}; quote values that contain commas"
    )
    field = header[len(record)] if len(record) < len(header) else f"column {len(header) + 1}"
    return RowError(f"{path} row {line} {problem}", path=path, rows=(line,), field=field, problem=problem)


def _not_utf8(path: Path, line: int, record: Sequence[str], header: Sequence[str]) -> RowError | None:
    if "".join(record).isascii():
        return None
    for position, value in enumerate(record):
        try:
            value.encode()
        except UnicodeEncodeError:
            field = header[position] if position < len(header) and header is not record else f"column {position + 1}"
            problem = "the bytes are not UTF-8; save the file as UTF-8"
            message = f"{path} row {line}, field {field!r}: {problem}"
            return RowError(message, path=path, rows=(line,), field=field, problem=problem)
    return None


def quotes_enclose_values(path: Path, block_bytes: int = _BLOCK_BYTES) -> bool:
    """Whether quotes alternately open and close whole values or are doubled, so that any reader takes them alike.

    A comma, a line end or, if doubled, a quote stands before each opening quote and after each closing one.
    """
    is_open, previous = False, ord("\n")
    with path.open("rb") as file:
        if file.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:
            file.seek(0)
        while block := file.read(block_bytes):
            letters = np.frombuffer(bytes([previous]) + block, dtype=np.uint8)
            quotes = np.flatnonzero(letters[1:] == _QUOTE) + 1
            opens = (np.arange(len(quotes)) % 2 == 0) != is_open
            closing = quotes[~opens]
            if previous == _QUOTE and not is_open:
                closing = np.append(closing, 0)
            beside = np.concatenate([letters[quotes[opens] - 1], letters[closing[closing < len(block)] + 1]])
            if not np.isin(beside, _BESIDE_QUOTES).all():
                return False
            is_open ^= len(quotes) % 2 == 1
            previous = block[-1]
    return not is_open
