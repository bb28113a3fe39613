"""Turn a Parquet, CSV or JSON Lines file into an Arrow table of the columns asked for. Start at `read_table`."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Int64

from clairo_core.errors import DatasetError, EmptyTableError, RowError
from clairo_core.progress import Progress, silent
from training.datasets.column_kinds import ColumnKind, check_column_names
from training.datasets.csv_files import csv_header, csv_lines, csv_row_number, read_csv, read_sound_csv
from training.datasets.json_lines import (
    json_lines,
    json_lines_row_number,
    json_records,
    read_json_lines,
    read_sound_json_lines,
)
from training.datasets.row_faults import OnFault

SUFFIXES = (".parquet", ".csv", ".jsonl", ".ndjson")
_PARQUET_ERRORS = (pa.ArrowException, OSError, UnicodeDecodeError)
"""A damaged footer may hold names that are not UTF-8."""


@dataclass(frozen=True, slots=True)
class SourceTable:
    """Some columns of a file, with errors that name the row in the file."""

    path: Path
    table: pa.Table
    numbers: Int64[np.ndarray, "row"] | None = None
    """Of the rows in the file, where they are known beforehand; None: found when an error needs one."""

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def error(self, index: int | Int64[np.ndarray, "faulty"], field: str, problem: str) -> RowError:
        """Make a `RowError` about one row, or all rows with the same fault; `index` counts the table's rows from 0."""
        indices = np.ravel(index)
        rows = (self.number(int(indices[0])),) if self.numbers is None else self.numbers[indices].tolist()
        return numbered_error(self.path, rows, field, problem)

    def number(self, index: int) -> int:
        """Number of a row in the file; see `row_number`."""
        return row_number(self.path, index) if self.numbers is None else int(self.numbers[index])

    def column_error(self, field: str, problem: str) -> RowError:
        """Make a `RowError` about a whole column; the message names its first row."""
        error = self.error(0, field, problem)
        error.rows = ()
        return error


def row_error(path: Path, index: int, field: str, problem: str) -> RowError:
    """Make a `RowError` that names file, row and field; `index` counts the table's rows from 0."""
    return numbered_error(path, (row_number(path, index),), field, problem)


def numbered_error(path: Path, rows: Sequence[int], field: str, problem: str) -> RowError:
    """Make a `RowError` about rows whose numbers in the file are known."""
    return RowError(
        f"{path} row {rows[0]}, field {field!r}: {problem}", path=path, rows=rows, field=field, problem=problem
    )


def row_number(path: Path, index: int) -> int:
    """Number of a row for error messages, from 1.

    In text files the line at which the row begins, so a CSV's header counts; in Parquet the position.
    """
    if path.suffix == ".csv":
        return csv_row_number(path, index)
    if path.suffix == ".parquet":
        return index + 1
    return json_lines_row_number(path, index)


def row_numbers(path: Path, num_rows: int) -> Int64[np.ndarray, "row"]:
    """Numbers of all rows of a file, as `row_number` gives them one by one."""
    if path.suffix == ".csv":
        return csv_lines(path, num_rows)
    if path.suffix == ".parquet":
        return np.arange(1, num_rows + 1)
    return json_lines(path, num_rows)


def read_sound_table(
    path: Path, kinds: Mapping[str, ColumnKind], on_fault: OnFault, progress: Progress = silent
) -> SourceTable:
    """Read as `read_table`, but pass the faults of lines on, leave these lines out, and number the rows.

    Raises:
        DatasetError: as `read_table`, for faults that are not of one line.
    """
    try:
        source = read_table(path, kinds, progress)
    except RowError as fault:
        if fault.path is None or path.suffix == ".parquet":
            raise
    else:
        return SourceTable(path, source.table, row_numbers(path, len(source)))
    if path.suffix == ".csv":
        table, numbers = read_sound_csv(path, tuple(kinds), on_fault, progress)
    else:
        table, numbers = read_sound_json_lines(path, kinds, on_fault, progress)
    return SourceTable(path, table, numbers)


def read_table(path: Path, kinds: Mapping[str, ColumnKind], progress: Progress = silent) -> SourceTable:
    """Read the columns named in `kinds`, in the file's row order.

    Raises:
        MissingColumnError: a column does not exist; the text lists the existing ones.
        EmptyTableError: the file has no rows.
        RowError: a text file's line cannot be read.
        DatasetError: the file does not exist, has another format, or is damaged.
    """
    _check_file(path)
    if path.suffix == ".parquet":
        table = _read_parquet(path, tuple(kinds))
    elif path.suffix == ".csv":
        table = read_csv(path, tuple(kinds), progress)
    else:
        table = read_json_lines(path, kinds, progress)
    if table.num_rows == 0:
        raise EmptyTableError(f"{path} has no rows, expected at least one; fill it, or name another file")
    return SourceTable(path, table)


TableReader: TypeAlias = Callable[[Path, Mapping[str, ColumnKind], Progress], SourceTable]
"""`read_table`, or a reader that leaves out faulty rows."""


def column_names(path: Path) -> tuple[str, ...]:
    """List the columns of a file; for JSON Lines the fields of the first record.

    Raises:
        DatasetError: as `read_table`.
    """
    _check_file(path)
    if path.suffix == ".parquet":
        return tuple(_parquet_file(path).schema_arrow.names)
    if path.suffix == ".csv":
        return csv_header(path)
    return tuple(next((record for _, record in json_records(path)), {}))


_CURES = {
    ".tsv": "save it as comma-separated CSV",
    ".txt": "save it as comma-separated CSV",
    ".xls": "save it as CSV UTF-8",
    ".xlsx": "save it as CSV UTF-8",
    ".json": "write one object per line, to a .jsonl file",
    ".gz": "unpack it",
    ".zip": "unpack it",
}


def _check_file(path: Path) -> None:
    if path.suffix not in SUFFIXES:
        cure = _CURES.get(path.suffix.lower(), "convert it")
        raise DatasetError(f"{path}: expected a file that ends in {', '.join(SUFFIXES)}; {cure}")
    if not path.is_file():
        raise DatasetError(f"{path} does not exist; correct the path, which is relative to the dataset's TOML")
    try:
        is_empty = path.stat().st_size == 0
        path.open("rb").close()
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({error}); check its permissions") from error
    if is_empty:
        raise EmptyTableError(f"{path} is empty, expected a table with at least one row; export it again")


def _parquet_file(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except _PARQUET_ERRORS as error:
        raise _damaged_parquet(path, error) from error


def _read_parquet(path: Path, columns: Iterable[str]) -> pa.Table:
    with _parquet_file(path) as file:
        check_column_names(path, file.schema_arrow.names, columns)
        try:
            table = file.read(columns=list(columns))
            # Some writers skip this check; invalid text would fail later, far from its file.
            table.validate(full=True)
        except _PARQUET_ERRORS as error:
            raise _damaged_parquet(path, error) from error
    # `read` takes a.b.c as a struct's field; `select` only takes top-level columns.
    return table.select(list(columns))


def _damaged_parquet(path: Path, error: Exception) -> DatasetError:
    problem = " ".join(str(error).split())
    return DatasetError(f"{path} is not a Parquet file, or is damaged or cut short ({problem}); write or copy it again")
