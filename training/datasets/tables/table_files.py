"""Turn a file of any supported format into an Arrow table of the columns asked for. Start at `read_table`."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
from jaxtyping import Int64

from clairo_core.errors import DatasetError, EmptyTableError, RowError
from clairo_core.progress import Progress, silent
from training.datasets.tables.column_kinds import ColumnKind
from training.datasets.tables.csv_files import csv_header, csv_row_number, read_csv, read_sound_csv
from training.datasets.tables.json_files import is_json_array, json_file_records
from training.datasets.tables.json_lines import json_lines, json_lines_row_number, read_json_lines
from training.datasets.tables.packed_files import format_suffix, is_packed
from training.datasets.tables.parquet_datasets import ParquetDataset
from training.datasets.tables.record_tables import RecordTable, table_of_records
from training.datasets.tables.row_faults import OnFault, field_fault, raise_fault
from training.datasets.tables.table_form import TableForm
from training.datasets.tables.table_rows import filled_and_kept
from training.datasets.tables.table_source import TableFile
from training.datasets.tables.xml_feeds import feed_records

SUFFIXES = (".parquet", ".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".xml")
_CSV = (".csv", ".tsv")


@dataclass(frozen=True, slots=True)
class SourceTable:
    """Some columns of a file, with errors that name the row in the file."""

    path: TableFile
    table: pa.Table
    form: TableForm = field(default_factory=TableForm)
    records: Int64[np.ndarray, "row"] | None = None
    """The file's record of each row, from 0; None: they are the same."""
    records_of: Mapping[str, Int64[np.ndarray, "row"]] = field(default_factory=dict)
    """For fields whose values come from other records, as in grouped variants."""
    numbers: Int64[np.ndarray, "record"] | None = None
    """Of all records of the file, for errors; None: found when an error needs one."""
    skipped: Mapping[str, int] = field(default_factory=dict)
    """Rows left out by `form.skip_without`, by the first column without a value."""

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def file_rows(self, name: str) -> Int64[np.ndarray, "row"]:
        """The file's record that each value of a field comes from, from 0."""
        records = self.records_of.get(name, self.records)
        return np.arange(len(self)) if records is None else records

    def row_number(self, index: int, name: str) -> int:
        """Number of a value's row in the file for error messages; `index` counts the table's rows from 0."""
        record = int(self.file_rows(name)[index])
        return row_number(self.path, record, self.form) if self.numbers is None else int(self.numbers[record])

    def row_numbers(self, name: str) -> Int64[np.ndarray, "row"]:
        """Numbers of all rows, as `row_number` gives them one by one; `numbers` is known."""
        assert self.numbers is not None
        numbers: np.ndarray = self.numbers[self.file_rows(name)]
        return numbers

    def error(self, index: int | Int64[np.ndarray, "faulty"], field: str, problem: str) -> RowError:
        """Make a `RowError` about one row, or all rows with the same fault; `index` counts the table's rows from 0."""
        indices = np.ravel(index)
        if self.numbers is None:
            return field_fault(self.path, (self.row_number(int(indices[0]), field),), field, problem)
        return field_fault(self.path, self.row_numbers(field)[indices], field, problem)

    def column_error(self, field: str, problem: str) -> RowError:
        """Make a `RowError` about a whole column; the message names its first row."""
        error = self.error(0, field, problem)
        error.rows = ()
        return error

    def taken(self, rows: Int64[np.ndarray, "taken"]) -> "SourceTable":
        """Some rows, in the given order."""
        return replace(
            self,
            table=self.table.take(pa.array(rows)),
            records=rows if self.records is None else self.records[rows],
            records_of={name: records[rows] for name, records in self.records_of.items()},
        )


def row_error(path: TableFile, index: int, field: str, problem: str) -> RowError:
    """Make a `RowError` that names file, row and field; `index` counts the file's records from 0."""
    return field_fault(path, (row_number(path, index),), field, problem)


def row_number(path: TableFile, index: int, form: TableForm | None = None) -> int:
    """Number of the file's record for error messages, from 1.

    In text files the line at which the record begins, so a CSV's header counts; in Parquet and JSON arrays its place.
    """
    if not isinstance(path, Path):
        return int(path.row_numbers(index + 1)[-1])
    suffix = format_suffix(path)
    if suffix in _CSV:
        return csv_row_number(path, index, form or TableForm())
    if suffix == ".xml":
        return next((line for line, _ in itertools.islice(feed_records(path), index, None)), index + 1)
    if suffix == ".parquet" or (suffix == ".json" and is_json_array(path)):
        return index + 1
    return json_lines_row_number(path, index)


class TableReader(Protocol):
    """`read_table`, or a reader that leaves out faulty rows."""

    def __call__(
        self,
        path: TableFile,
        kinds: Mapping[str, ColumnKind],
        progress: Progress = silent,
        form: TableForm | None = None,
    ) -> SourceTable:
        """Read the columns named in `kinds`."""


def read_table(
    path: TableFile,
    kinds: Mapping[str, ColumnKind],
    progress: Progress = silent,
    form: TableForm | None = None,
    on_fault: OnFault = raise_fault,
) -> SourceTable:
    """Read the columns named in `kinds`, in the file's row order.

    In JSON, XML and Parquet, a name may be the path of a nested field, see `field_paths`. With an `on_fault` that
    returns, lines with a fault are left out, and the rows' numbers are known.

    Raises:
        MissingColumnError: a column does not exist; the text lists the existing ones.
        EmptyTableError: the file has no rows, or none with the values of `form.skip_without`.
        RowError: a text file's line cannot be read.
        DatasetError: the file does not exist, has another format, or is damaged.
    """
    form = form or TableForm()
    if isinstance(path, Path):
        _check_file(path)
    _check_form(path, form)
    of_form = _columns_of(form)
    all_kinds: dict[str, ColumnKind] = {**dict.fromkeys(of_form, "text"), **kinds}
    if on_fault is raise_fault:
        table, records, numbers = _read(path, all_kinds, progress, form, raise_fault)
    else:
        table, records, numbers = _read_sound(path, all_kinds, progress, form, on_fault)
    if table.num_rows == 0:
        raise _no_rows(path)
    source = SourceTable(path, table, form, records, numbers=numbers)
    if not of_form:
        return source
    source = _kept(source, list(kinds))
    if not len(source):
        raise _nothing_kept(path, form)
    return source


def is_read_in_parts(path: TableFile, form: TableForm | None = None) -> bool:
    """Whether `table_parts` gives more than one part of a large table."""
    return as_parquet(path) is not None and not (form and form.fill_down)


def as_parquet(path: TableFile) -> ParquetDataset | None:
    """The data set, or the file as one; None for other tables."""
    if isinstance(path, Path) and format_suffix(path) == ".parquet":
        return ParquetDataset(str(path))
    return path if isinstance(path, ParquetDataset) else None


def table_parts(
    path: TableFile,
    kinds: Mapping[str, ColumnKind],
    progress: Progress = silent,
    form: TableForm | None = None,
    on_fault: OnFault = raise_fault,
) -> Iterator[SourceTable]:
    """Read as `read_table`, Parquet in parts that follow one another; a part may have no row that is kept.

    The rows' numbers are known. Values of one column may be of another type in another part.

    Raises:
        DatasetError: as `read_table`.
    """
    form = form or TableForm()
    parquet = as_parquet(path)
    if parquet is None or form.fill_down:
        yield read_table(path, kinds, progress, form, on_fault)
        return
    if isinstance(path, Path):
        _check_file(path)
    _check_form(path, form)
    all_kinds: dict[str, ColumnKind] = {**dict.fromkeys(_columns_of(form), "text"), **kinds}
    num_rows = num_kept = 0
    for before, (table, records, numbers) in parquet.parts(all_kinds, progress, on_fault):
        if numbers is None:
            numbers = np.arange(before + 1, before + len(table) + 1)  # noqa: PLW2901
        part = _kept(SourceTable(path, table, form, records, numbers=numbers), list(kinds))
        num_rows, num_kept = num_rows + len(table), num_kept + len(part)
        yield part
    if num_rows == 0:
        raise _no_rows(path)
    if num_kept == 0:
        raise _nothing_kept(path, form)


def _columns_of(form: TableForm) -> tuple[str, ...]:
    return (*form.skip_without, *form.fill_down, *([form.order_id] if form.order_id else []))


def _kept(source: SourceTable, columns: list[str]) -> SourceTable:
    """Apply the form to rows."""
    table, kept, skipped = filled_and_kept(source.table, source.form)
    source = replace(source, table=table.select(columns), skipped=skipped)
    return source if len(kept) == len(table) else source.taken(kept)


def _no_rows(path: TableFile) -> EmptyTableError:
    return EmptyTableError(f"{path} has no rows, expected at least one; fill it, or name another file")


def _nothing_kept(path: TableFile, form: TableForm) -> EmptyTableError:
    return EmptyTableError(f"{path}: no row has a value in {', '.join(form.skip_without)}; correct skip_without")


def _read_sound(
    path: TableFile, kinds: Mapping[str, ColumnKind], progress: Progress, form: TableForm, on_fault: OnFault
) -> RecordTable:
    """Read without faulty lines, first as quickly as if there were none."""
    if isinstance(path, Path) and format_suffix(path) in _CSV:
        table, lines = read_sound_csv(path, tuple(kinds), form, on_fault, progress)
        return RecordTable(table, None, lines)
    try:
        whole = _read(path, kinds, progress, form, raise_fault)
    except RowError:
        if not isinstance(path, Path):
            raise
        return _read(path, kinds, progress, form, on_fault)
    return whole if whole.numbers is not None else whole._replace(numbers=_row_numbers(path, whole))


def _row_numbers(path: TableFile, whole: RecordTable) -> Int64[np.ndarray, "record"]:
    if not isinstance(path, Path):
        return path.row_numbers(len(whole.table))
    if format_suffix(path) == ".parquet":
        return np.arange(1, len(whole.table) + 1)
    return json_lines(path, len(whole.table))


def _read(
    path: TableFile, kinds: Mapping[str, ColumnKind], progress: Progress, form: TableForm, on_fault: OnFault
) -> RecordTable:
    if (parquet := as_parquet(path)) is not None:
        return parquet.records_table(kinds, progress, on_fault)
    if not isinstance(path, Path):
        return RecordTable(path.read(kinds, progress), None)
    suffix = format_suffix(path)
    if suffix in _CSV:
        return RecordTable(read_csv(path, tuple(kinds), progress, form), None)
    if suffix == ".xml":
        # Names may have the prefix that they have in the feed.
        local = {name: name.removeprefix("g:") for name in kinds}
        read = table_of_records(
            path, feed_records(path, progress), {local[name]: kinds[name] for name in kinds}, on_fault
        )
        return read._replace(table=read.table.select([local[name] for name in kinds]).rename_columns(list(kinds)))
    if on_fault is raise_fault and not (suffix == ".json" and is_json_array(path)):
        return read_json_lines(path, kinds, progress)
    return table_of_records(path, json_file_records(path, progress, on_fault), kinds, on_fault)


def column_names(path: TableFile, form: TableForm | None = None) -> tuple[str, ...]:
    """List the columns of a file; where records are objects, the fields of the first.

    Raises:
        DatasetError: as `read_table`.
    """
    if not isinstance(path, Path):
        return path.column_names()
    _check_file(path)
    if (parquet := as_parquet(path)) is not None:
        return parquet.column_names()
    suffix = format_suffix(path)
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


def _check_form(path: TableFile, form: TableForm) -> None:
    is_csv = isinstance(path, Path) and format_suffix(path) in _CSV
    if not is_csv and (form.separator is not None or form.encoding != TableForm().encoding):
        raise DatasetError(f"{path}: got a separator or an encoding, which only CSV and TSV have; remove it")
