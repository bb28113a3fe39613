"""Read tables for the ordinary readers, without the rows in which they find a fault. Start at `SoundTables.collect`.

The readers raise at their first fault: it is noted, its rows are left out, and they run again until no fault is left.
The first fault of a file also has every column tested by itself, so that a row with two faults is noted for both.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Int64

from clairo_core.errors import DatasetError, EmptyTableError, RowError
from clairo_core.progress import Progress, silent
from training.datasets.check.faults import FaultLog
from training.datasets.columns.arrow_columns import is_text, plain_column
from training.datasets.interactions_table import PartReader
from training.datasets.tables.column_kinds import ColumnKind
from training.datasets.tables.packed_files import format_suffix
from training.datasets.tables.table_files import SourceTable, column_names, is_read_in_parts, read_table, table_parts
from training.datasets.tables.table_form import TableForm
from training.datasets.tables.table_source import TableFile

T = TypeVar("T")
Rows: TypeAlias = Int64[np.ndarray, "row"]
"""Numbers of rows in their file, rising."""
ColumnReader: TypeAlias = Callable[[SourceTable, str], Any]
ColumnTests: TypeAlias = Mapping[TableFile, Mapping[str, ColumnReader]]
"""By file, the reader of each column."""

MOST_ROUNDS = 20
"""Runs of the readers for a fault that they name one row at a time, and that no column shows by itself."""
MOST_FAULTS = 1000
"""Rows with a fault in a column that are looked for one by one."""
_SMALL_PART = 4096
_NO_ROWS = np.zeros(0, dtype=np.int64)
_WITH_HEADER = (".csv", ".tsv", ".parquet")


class NotedError(DatasetError):
    """The table cannot be read, for a reason noted already."""


@dataclass(slots=True)
class SoundTables:
    """The tables of a dataset without faulty rows."""

    faults: FaultLog
    tests: ColumnTests
    progress: Progress = silent
    left_out: dict[TableFile, Rows] = field(default_factory=dict)
    """Numbers of the faulty rows of each file."""
    _whole: dict[tuple[TableFile, tuple[str, ...], TableForm | None], SourceTable] = field(default_factory=dict)
    _tested: set[TableFile] = field(default_factory=set)

    def collect(self, read_all: Callable[[], T]) -> T | None:
        """Run a reader of tables until it finds no fault. None if a fault stops it for good.

        It reads by `read` and `read_parts`.
        """
        while True:
            try:
                return read_all()
            except RowError as error:
                if not self._leave_out(error, list(self._tables_of(error.path))):
                    return None
            except NotedError:
                return None
            except DatasetError as error:
                self.faults.add(error)
                return None

    def read(
        self,
        path: TableFile,
        kinds: Mapping[str, ColumnKind],
        progress: Progress = silent,
        form: TableForm | None = None,
    ) -> SourceTable:
        """Read as `read_table`, without faulty rows; a missing column of texts or pictures is empty.

        Raises:
            NotedError: the file cannot be read, or no row is left.
            DatasetError: as `read_table`.
        """
        key = (path, tuple(kinds), form)
        if key not in self._whole:
            try:
                self._whole[key] = self._read_whole(path, kinds, form)
            except RowError as error:
                # It ends the file: reading again finds it again.
                self.faults.add(error)
                raise NotedError(str(error)) from error
        sound = _without(self._whole[key], self.left_out.get(path, _NO_ROWS))
        if len(sound) == 0:
            raise NotedError(f"{path} has no row without a fault")
        return sound

    def read_parts(
        self,
        path: TableFile,
        kinds: dict[str, ColumnKind],
        read_part: PartReader,
        progress: Progress = silent,
        form: TableForm | None = None,
    ) -> None:
        """Give every part of a table to `read_part`, without faulty rows: each again until it finds no fault.

        A table that is not read in parts is read as by `read`.

        Raises:
            NotedError: as `read`, or there are too many faults.
            DatasetError: as `table_parts`.
        """
        if not is_read_in_parts(path, form):
            read_part(self.read(path, kinds, progress, form))
            return
        present, missing = self._present(path, kinds, form)
        for part in table_parts(path, present, self.progress, form, self._note_line):
            self._read_part(
                _with_empty(part, missing), read_part, [name for name, kind in kinds.items() if kind == "order"]
            )

    def _read_part(self, part: SourceTable, read_part: PartReader, orders: Sequence[str]) -> None:
        # Texts of all parts have one reading: a part by itself does not show their faults.
        texts = [name for name in orders if is_text(plain_column(part, name).type)]
        tested = replace(part, table=part.table.drop_columns(texts))
        while True:
            try:
                read_part(_without(part, self.left_out.get(part.path, _NO_ROWS)))
            except RowError as error:
                if not self._leave_out(error, [tested]):
                    raise NotedError(str(error)) from error
            else:
                self._tested.discard(part.path)
                return

    def sound_rows(self, path: TableFile, form: TableForm | None = None) -> SourceTable:
        """A file's rows without a fault, read in this form or any, in its order, with some of its columns."""
        read = ((of, read_as, source) for (of, _, read_as), source in self._whole.items())
        source = next(source for of, read_as, source in read if of == path and form in (None, read_as))
        return _without(source, self.left_out.get(path, _NO_ROWS))

    def faulty_rows(self, path: TableFile, column: str) -> SourceTable | None:
        """The rows of a file that could be read, but have a fault; None if no table has the column."""
        for source in self._tables_of(path):
            if column in source.table.column_names:
                left_out = self.left_out.get(path, _NO_ROWS)
                return source.taken(np.flatnonzero(_is_among(source, left_out)))
        return None

    def test_order(self, path: TableFile, column: str, read: ColumnReader, form: TableForm) -> None:
        """Test a column of times, read by itself where the table is read in parts."""
        if is_read_in_parts(path, form):
            self.read(path, {column: "order"}, form=form)
        self.test(path, column, read)

    def test(self, path: TableFile, column: str, read: ColumnReader) -> None:
        """Note the faults that a reader finds in a column, and leave out their rows."""
        left_out = self.left_out.get(path, _NO_ROWS)
        for source in self._tables_of(path):
            if column in source.table.column_names:
                found = self._faults_in(_without(source, left_out), column, read)
                self.left_out[path] = np.union1d(left_out, found)
                return

    def _tables_of(self, path: TableFile) -> Iterator[SourceTable]:
        return (source for (of_path, _, _), source in self._whole.items() if of_path == path)

    def _present(
        self, path: TableFile, kinds: Mapping[str, ColumnKind], form: TableForm | None
    ) -> tuple[dict[str, ColumnKind], list[str]]:
        """Note the columns that a table lacks. Returns the others and those; `NotedError` if it needs one of those."""
        names = column_names(path, form)
        # A nested field is found by its path, and the first of many records need not have every field.
        is_listed = not isinstance(path, Path) or format_suffix(path) in _WITH_HEADER
        missing = [name for name in kinds if is_listed and name not in names and not {".", "["} & set(name)]
        for name in missing:
            problem = f"there is no such column; the columns are {', '.join(map(repr, names))}"
            self.faults.add(RowError("", path=path, field=name, problem=f"{problem}; correct the name in dataset.toml"))
        if any(kinds[name] in ("id", "order") for name in missing):
            raise NotedError(f"{path} lacks {missing}")
        return {name: kind for name, kind in kinds.items() if name not in missing}, missing

    def _read_whole(self, path: TableFile, kinds: Mapping[str, ColumnKind], form: TableForm | None) -> SourceTable:
        present, missing = self._present(path, kinds, form)
        num_noted = self.faults.num_rows
        try:
            source = read_table(path, present, self.progress, form, self._note_line)
        except EmptyTableError as error:
            if self.faults.num_rows > num_noted:
                # Rows there are, each with a fault.
                raise NotedError(str(error)) from error
            raise
        return _with_empty(source, missing)

    def _note_line(self, error: RowError) -> None:
        fault = self.faults.add(error)
        if len(fault.rows) > MOST_FAULTS:
            fault.is_complete = False
            raise NotedError(str(error))

    def _leave_out(self, error: RowError, tables: Sequence[SourceTable]) -> bool:
        """Note the fault and leave out its rows. Returns whether reading again can find more.

        At the first fault, all columns of `tables` are tested.
        """
        if error.path is None:
            self.faults.add(error)
            return False
        path, left_out = error.path, self.left_out.get(error.path, _NO_ROWS)
        if path not in self._tested:
            self._tested.add(path)
            found = self._test_columns(path, tables)
            self.left_out[path] = np.union1d(left_out, found)
            if len(found):
                return True
        fault = self.faults.add(error)
        self.left_out[path] = np.union1d(left_out, np.asarray(error.rows, dtype=np.int64))
        if len(error.rows) == 1 and len(fault.rows) > MOST_ROUNDS:
            fault.is_complete = False
            return False
        return len(self.left_out[path]) > len(left_out)

    def _test_columns(self, path: TableFile, tables: Sequence[SourceTable]) -> Rows:
        """Find the faulty rows of every column that has a test."""
        found = [_NO_ROWS]
        for column, read in self.tests.get(path, {}).items():
            source = next((one for one in tables if column in one.table.column_names), None)
            if source is not None:
                found.append(self._faults_in(source, column, read))
        return np.unique(np.concatenate(found))

    def _faults_in(self, source: SourceTable, column: str, read: ColumnReader) -> Rows:
        """Find the faulty rows of a column. A reader that names one row at a time reads ever smaller parts."""
        found = _NO_ROWS
        parts = [source]
        while parts:
            part = parts.pop()
            if len(part) == 0:
                continue
            try:
                read(part, column)
            except RowError as error:
                fault = self.faults.add(error)
                if not len(error.rows):
                    break
                if len(found) >= MOST_FAULTS and len(error.rows) == 1:
                    fault.is_complete = False
                    break
                found = np.union1d(found, np.asarray(error.rows, dtype=np.int64))
                num_rows = len(part)
                part = _without(part, found)
                if len(part) == num_rows:
                    # The rows are of another table: reading again would end nowhere.
                    break
                if len(error.rows) == 1 and len(part) > _SMALL_PART:
                    rows = np.arange(len(part))
                    parts += [part.taken(rows[len(part) // 2 :]), part.taken(rows[: len(part) // 2])]
                else:
                    parts.append(part)
        return found


def _with_empty(source: SourceTable, columns: Sequence[str]) -> SourceTable:
    table = source.table
    for name in columns:
        table = table.append_column(name, pa.nulls(len(source)))
    return replace(source, table=table)


def _is_among(source: SourceTable, rows: Rows) -> Bool[np.ndarray, "row"]:
    return np.isin(source.row_numbers(""), rows)


def _without(source: SourceTable, rows: Rows) -> SourceTable:
    return source.taken(np.flatnonzero(~_is_among(source, rows))) if len(rows) else source
