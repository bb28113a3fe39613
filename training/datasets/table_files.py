"""Turn a file of any supported format into an Arrow table of the columns asked for. Start at `read_table`."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Int64

from clairo_core.errors import DatasetError, EmptyTableError, RowError
from clairo_core.progress import Progress, silent
from training.datasets.column_kinds import ColumnKind, check_column_names
from training.datasets.csv_files import csv_header, csv_row_number, read_csv
from training.datasets.description import TableForm
from training.datasets.field_paths import FieldPath
from training.datasets.json_files import is_json_array, json_file_records
from training.datasets.json_lines import json_lines_row_number, read_json_lines
from training.datasets.packed_files import format_suffix, is_packed
from training.datasets.record_tables import RecordTable, table_of_records
from training.datasets.table_rows import filled_and_kept
from training.datasets.xml_feeds import feed_records

SUFFIXES = (".parquet", ".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".xml")
_CSV = (".csv", ".tsv")
_JSON = (".jsonl", ".ndjson", ".json")
_BATCH_ROWS = 65_536
_PARQUET_ERRORS = (pa.ArrowException, OSError, UnicodeDecodeError)
"""A damaged footer may hold names that are not UTF-8."""


@dataclass(frozen=True, slots=True)
class SourceTable:
    """Some columns of a file, with errors that name the row in the file."""

    path: Path
    table: pa.Table
    form: TableForm = field(default_factory=TableForm)
    records: Int64[np.ndarray, "row"] | None = None
    """The file's record of each row, from 0; None: they are the same."""
    records_of: Mapping[str, Int64[np.ndarray, "row"]] = field(default_factory=dict)
    """For fields whose values come from other records than `records`."""

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def file_rows(self, name: str) -> Int64[np.ndarray, "row"]:
        """The file's record that each value of a field comes from, from 0."""
        records = self.records_of.get(name, self.records)
        return np.arange(len(self)) if records is None else records

    def only(self, rows: Int64[np.ndarray, "kept"]) -> "SourceTable":
        """Some rows, with errors that name the same rows of the file."""
        records_of = {name: records[rows] for name, records in self.records_of.items()}
        return SourceTable(
            self.path,
            self.table.take(rows),
            self.form,
            rows if self.records is None else self.records[rows],
            records_of,
        )

    def row_number(self, index: int, name: str) -> int:
        """Number of a value's row in the file for error messages; `index` counts the table's rows from 0."""
        return row_number(self.path, int(self.file_rows(name)[index]), self.form)

    def error(self, index: int, field: str, problem: str) -> RowError:
        """Make a `RowError` about one value; `index` counts the table's rows from 0."""
        return RowError(f"{self.path} row {self.row_number(index, field)}, field {field!r}: {problem}")


def row_error(path: Path, index: int, field: str, problem: str) -> RowError:
    """Make a `RowError` that names file, row and field; `index` counts the file's records from 0."""
    return RowError(f"{path} row {row_number(path, index)}, field {field!r}: {problem}")


def row_number(path: Path, index: int, form: TableForm | None = None) -> int:
    """Number of the file's record for error messages, from 1.

    In text files the line at which the record begins, so a CSV's header counts; in Parquet and JSON arrays its place.
    """
    suffix = format_suffix(path)
    if suffix in _CSV:
        return csv_row_number(path, index, form or TableForm())
    if suffix == ".xml":
        return next((line for line, _ in itertools.islice(feed_records(path), index, None)), index + 1)
    if suffix == ".parquet" or (suffix == ".json" and is_json_array(path)):
        return index + 1
    return json_lines_row_number(path, index)


def read_table(
    path: Path, kinds: Mapping[str, ColumnKind], progress: Progress = silent, form: TableForm | None = None
) -> SourceTable:
    """Read the columns named in `kinds`, in the file's row order.

    In JSON, XML and Parquet, a name may be the path of a nested field, see `field_paths`.

    Raises:
        MissingColumnError: a column does not exist; the text lists the existing ones.
        EmptyTableError: the file has no rows, or none with the values of `form.skip_without`.
        RowError: a text file's line cannot be read.
        DatasetError: the file does not exist, has another format, or is damaged.
    """
    form = form or TableForm()
    _check_file(path)
    _check_form(path, form)
    of_form: tuple[str, ...] = (*form.skip_without, *form.fill_down, *([form.order_id] if form.order_id else []))
    all_kinds: dict[str, ColumnKind] = {**dict.fromkeys(of_form, "text"), **kinds}
    table, records = _read(path, all_kinds, progress, form)
    if table.num_rows == 0:
        raise EmptyTableError(f"{path} has no rows, expected at least one; fill it, or name another file")
    if not of_form:
        return SourceTable(path, table, form, records)
    table, kept = filled_and_kept(table, form)
    if not len(kept):
        raise EmptyTableError(f"{path}: no row has a value in {', '.join(form.skip_without)}; correct skip_without")
    return SourceTable(path, table.select(list(kinds)), form, records).only(kept)


def _read(path: Path, kinds: Mapping[str, ColumnKind], progress: Progress, form: TableForm) -> RecordTable:
    suffix = format_suffix(path)
    if suffix in _CSV:
        return RecordTable(read_csv(path, tuple(kinds), progress, form), None)
    if suffix == ".parquet":
        return _read_parquet(path, kinds, progress)
    if suffix == ".xml":
        # Names may have the prefix that they have in the feed.
        local = {name: name.removeprefix("g:") for name in kinds}
        table, records = table_of_records(
            path, feed_records(path, progress), {local[name]: kinds[name] for name in kinds}
        )
        return RecordTable(table.select([local[name] for name in kinds]).rename_columns(list(kinds)), records)
    if suffix == ".json" and is_json_array(path):
        return table_of_records(path, json_file_records(path, progress), kinds)
    return read_json_lines(path, kinds, progress)


def column_names(path: Path, form: TableForm | None = None) -> tuple[str, ...]:
    """List the columns of a file; where records are objects, the fields of the first.

    Raises:
        DatasetError: as `read_table`.
    """
    _check_file(path)
    suffix = format_suffix(path)
    if suffix == ".parquet":
        return tuple(_parquet_file(path).schema_arrow.names)
    if suffix in _CSV:
        return csv_header(path, form or TableForm())
    records = feed_records(path) if suffix == ".xml" else json_file_records(path)
    return tuple(next((record for _, record in records), {}))


_CURES = {
    ".txt": "save it as CSV",
    ".xls": "save it as CSV UTF-8",
    ".xlsx": "save it as CSV UTF-8",
    ".zip": "unpack it",
}


def _check_file(path: Path) -> None:
    suffix = format_suffix(path)
    if suffix not in SUFFIXES:
        cure = _CURES.get(suffix, "convert it")
        raise DatasetError(
            f"{path}: expected a file that ends in {', '.join(SUFFIXES)}, or these with .gz or .zst; {cure}"
        )
    if suffix == ".parquet" and is_packed(path):
        raise DatasetError(
            f"{path}: got a packed Parquet file, expected a plain one, which is packed inside; unpack it"
        )
    if not path.is_file():
        raise DatasetError(f"{path} does not exist; correct the path, which is relative to the dataset's TOML")
    try:
        is_empty = path.stat().st_size == 0
        path.open("rb").close()
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({error}); check its permissions") from error
    if is_empty:
        raise EmptyTableError(f"{path} is empty, expected a table with at least one row; export it again")


def _check_form(path: Path, form: TableForm) -> None:
    if format_suffix(path) not in _CSV and (form.separator is not None or form.encoding != TableForm().encoding):
        raise DatasetError(f"{path}: got a separator or an encoding, which only CSV and TSV have; remove it")


def _parquet_file(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except _PARQUET_ERRORS as error:
        raise _damaged_parquet(path, error) from error


def _read_parquet(path: Path, kinds: Mapping[str, ColumnKind], progress: Progress) -> RecordTable:
    with _parquet_file(path) as file:
        names = file.schema_arrow.names
        paths = {name: parsed for name in kinds if name not in names and (parsed := FieldPath.parse(name)) is not None}
        top = dict.fromkeys(paths[name].first_name if name in paths else name for name in kinds)
        check_column_names(path, names, top)
        plain = [name for name in kinds if name not in paths]
        nested = dict.fromkeys(parsed.first_name for parsed in paths.values())
        try:
            table = file.read(columns=plain)
            # Some writers skip this check; invalid text would fail later, far from its file.
            table.validate(full=True)
            # `read` takes a.b.c as a struct's field; `select` only takes top-level columns.
            table = table.select(plain)
            if not paths:
                return RecordTable(table, None)
            records = progress(_parquet_records(file, list(nested)), f"reading {path.name}", file.metadata.num_rows)
            of_paths = table_of_records(path, records, {name: kinds[name] for name in paths})
        except _PARQUET_ERRORS as error:
            raise _damaged_parquet(path, error) from error
    if of_paths.records is not None:
        table = table.take(of_paths.records)
    columns = {name: of_paths.table[name] if name in paths else table[name] for name in kinds}
    return RecordTable(pa.table(columns), of_paths.records)


def _parquet_records(file: pq.ParquetFile, columns: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    number = 0
    for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=columns):
        for number, record in enumerate(batch.to_pylist(), start=number + 1):  # noqa: B020 - numbers run on
            yield number, record


def _damaged_parquet(path: Path, error: Exception) -> DatasetError:
    problem = " ".join(str(error).split())
    return DatasetError(f"{path} is not a Parquet file, or is damaged or cut short ({problem}); write or copy it again")
