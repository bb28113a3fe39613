"""Turn a Parquet, CSV or JSON Lines file into an Arrow table of the columns asked for. Start at `read_table`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from clairo_core.errors import DatasetError, EmptyTableError, RowError
from clairo_core.progress import Progress, silent
from training.datasets.column_kinds import ColumnKind, check_column_names
from training.datasets.csv_files import csv_header, csv_row_number, read_csv
from training.datasets.json_lines import json_lines_row_number, json_records, read_json_lines
from training.datasets.table_source import TableSource

SUFFIXES = (".parquet", ".csv", ".jsonl", ".ndjson")
_PARQUET_ERRORS = (pa.ArrowException, OSError, UnicodeDecodeError)
"""A damaged footer may hold names that are not UTF-8."""


@dataclass(frozen=True, slots=True)
class SourceTable:
    """Some columns of a file, with errors that name the row in the file."""

    path: Path | TableSource
    table: pa.Table

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def error(self, index: int, field: str, problem: str) -> RowError:
        """Make a `RowError` about one value; `index` counts the table's rows from 0."""
        return row_error(self.path, index, field, problem)


def row_error(path: Path | TableSource, index: int, field: str, problem: str) -> RowError:
    """Make a `RowError` that names file, row and field; `index` counts the table's rows from 0."""
    return RowError(f"{path} row {row_number(path, index)}, field {field!r}: {problem}")


def row_number(path: Path | TableSource, index: int) -> int:
    """Number of a row for error messages, from 1.

    In text files the line at which the row begins, so a CSV's header counts; in Parquet the position.
    """
    if not isinstance(path, Path):
        return path.row_number(index)
    if path.suffix == ".csv":
        return csv_row_number(path, index)
    if path.suffix == ".parquet":
        return index + 1
    return json_lines_row_number(path, index)


def read_table(path: Path | TableSource, kinds: Mapping[str, ColumnKind], progress: Progress = silent) -> SourceTable:
    """Read the columns named in `kinds`, in the file's row order.

    Raises:
        MissingColumnError: a column does not exist; the text lists the existing ones.
        EmptyTableError: the file has no rows.
        RowError: a text file's line cannot be read.
        DatasetError: the file does not exist, has another format, or is damaged.
    """
    if not isinstance(path, Path):
        table = path.read(kinds, progress)
    else:
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


def column_names(path: Path | TableSource) -> tuple[str, ...]:
    """List the columns of a file; for JSON Lines the fields of the first record.

    Raises:
        DatasetError: as `read_table`.
    """
    if not isinstance(path, Path):
        return path.column_names()
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
