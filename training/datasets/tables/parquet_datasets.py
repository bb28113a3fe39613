"""Turn a folder of Parquet files, here or in object storage, into one table that is read batch by batch.

Files are read in the order of their paths. A folder named `KEY=VALUE`, as Hive and Spark write them, gives its files a
column of text. Start at `ParquetDataset`; `table_at` makes one of a dataset's TOML.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int64
from pyarrow import fs

from clairo_core.errors import DatasetError, EmptyTableError
from clairo_core.progress import Progress, silent
from training.datasets.tables.column_kinds import ColumnKind, check_column_names
from training.datasets.tables.field_paths import FieldPath
from training.datasets.tables.parquet_files import opened, table_batches, type_family
from training.datasets.tables.record_tables import RecordTable, table_of_records
from training.datasets.tables.row_faults import OnFault, raise_fault

BATCH_ROWS = 262_144
PICTURE_ROWS = 128
"""Read at once where a column holds pictures."""
_SUFFIX = ".parquet"
_HIDDEN = (".", "_")
"""Beginnings of names that writers use for files without rows, such as _SUCCESS."""
_MISSING_VALUE = "__HIVE_DEFAULT_PARTITION__"
_FOOTERS_AT_ONCE = 16
_CURE = "check the address, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_REGION, and AWS_ENDPOINT_URL"


def table_at(folder: Path, file: str) -> "Path | ParquetDataset":
    """The table that a dataset's TOML in `folder` names: one file, or a Parquet data set.

    Raises:
        DatasetError: an address has credentials.
    """
    if "://" in file:
        if "@" in file:
            # A secret may contain `/`, so that no part of the address is safe to show.
            raise DatasetError(
                f"a file of the dataset, {urlsplit(file).scheme}://...@...: got credentials in the address, expected "
                "none; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment"
            )
        return ParquetDataset(file)
    path = folder / file
    return ParquetDataset(str(path)) if file.endswith("/") or path.is_dir() else path


@dataclass(frozen=True, slots=True)
class _File:
    """One file, and its rows' place in the data set."""

    path: str
    name: str
    """Below the data set's folder."""
    group_ends: tuple[int, ...]
    """Rows up to the end of each row group."""
    schema: pa.Schema
    keys: Mapping[str, str | None]
    """Columns by the names of its folders."""

    @property
    def num_rows(self) -> int:
        """Rows of the file."""
        return self.group_ends[-1] if self.group_ends else 0


@dataclass(frozen=True)
class ParquetDataset:
    """All Parquet files below a folder, or one file; rows are numbered through all files, from 1.

    Files are listed once, so that every reading has the same rows.
    """

    address: str
    """A path, or a URI without credentials, such as s3://BUCKET/FOLDER/."""

    def __str__(self) -> str:
        return _shown(self.address)

    def column_names(self) -> tuple[str, ...]:
        """List the columns of the first file, then those that only later files have, by their contents or folders.

        Raises:
            DatasetError: the folder does not exist or cannot be read, or a file is not Parquet.
            EmptyTableError: no file is there.
        """
        return tuple(dict.fromkeys(name for file in self._files for name in (*file.schema.names, *file.keys)))

    def row_numbers(self, num_rows: int) -> Int64[np.ndarray, "row"]:
        """Places among the rows of all files, from 1."""
        return np.arange(1, num_rows + 1)

    def place_of(self, number: int) -> tuple[str, int]:
        """The name of a row's file, and the row's number in it, from 1."""
        file, before = self._file_at(number - 1)
        return self._name_of(file.name), number - before

    def read(self, kinds: Mapping[str, ColumnKind], progress: Progress = silent) -> pa.Table:
        """Read some columns of all files.

        Raises:
            DatasetError: as `records_table`.
        """
        return self.records_table(kinds, progress).table

    def records_table(
        self, kinds: Mapping[str, ColumnKind], progress: Progress = silent, on_fault: OnFault = raise_fault
    ) -> RecordTable:
        """Read some columns, or nested fields by their paths, of all files.

        Of pictures as bytes, the rows' places in the data set stand for them, from 0, or -1 for empty ones.

        Raises:
            MissingColumnError: no file has a column.
            RowError: a nested value is not of its column's kind.
            DatasetError: as `column_names`; or files differ in a column.
        """
        names = _Names(self.column_names(), kinds)
        self._check_columns(names.top)
        plain = []
        before = 0
        pictures = [name for name in names.plain if kinds[name] == "picture" and self.has_bytes(name)]
        for batch in self._batches(names.plain, progress, PICTURE_ROWS if pictures else BATCH_ROWS):
            plain.append(_plain(_with_places(batch, pictures, before)))
            before += len(batch)
        table = pa.concat_tables(plain, promote_options="permissive") if plain else _no_rows(names.plain)
        if not names.nested:
            return RecordTable(table, None)
        records = progress(self._records(names.nested), f"reading {self}", self._ends[-1])
        return _joined(names, table, table_of_records(self, records, names.kinds_of_paths, on_fault))

    def parts(
        self, kinds: Mapping[str, ColumnKind], progress: Progress = silent, on_fault: OnFault = raise_fault
    ) -> Iterator[tuple[int, RecordTable]]:
        """Yield as many rows as one batch has, with the number of rows before them.

        Raises:
            DatasetError: as `records_table`.
        """
        names = _Names(self.column_names(), kinds)
        self._check_columns(names.top)
        before = 0
        for batch in self._batches(names.top, progress):
            if not names.nested:
                yield before, RecordTable(batch, None)
            else:
                records = enumerate(batch.select(names.nested).to_pylist(), start=before + 1)
                of_paths = table_of_records(self, records, names.kinds_of_paths, on_fault)
                yield before, _joined(names, batch, of_paths)
            before += len(batch)

    def first_rows(self, count: int) -> Iterator[dict[str, Any]]:
        """Yield up to `count` records of the first files, with all columns."""
        for file in self._files:
            with opened(self._name_of(file.name), file.path, self._filesystem) as content:
                for batch in table_batches(content, file.schema.names, count):
                    rows = batch.slice(0, count).to_pylist()
                    yield from ({**file.keys, **row} for row in rows)
                    count -= len(rows)
                    if count <= 0:
                        return

    def has_bytes(self, column: str) -> bool:
        """Whether a top-level column holds bytes."""
        schemas = [file.schema for file in self._files if column in file.schema.names]
        return "bytes" in {type_family(schema.field(column).type) for schema in schemas}

    def group_start(self, row: int) -> int:
        """The first row of a row's group; rows count from 0, through all files."""
        file, before = self._file_at(row)
        ends = file.group_ends
        group = int(np.searchsorted(ends, row - before, side="right"))
        return before + (ends[group - 1] if group else 0)

    def cells(self, column: str, row: int) -> Iterator[tuple[int, pa.Array]]:
        """Yield a column a few rows at a time, from a row's group on, each time with the number of the first row."""
        number = self.group_start(row)
        first, before = self._file_at(number)
        groups = [group for group, end in enumerate(first.group_ends) if before + end > number]
        for file in self._files[self._files.index(first) :]:
            with opened(self._name_of(file.name), file.path, self._filesystem) as content:
                of_file = groups if file is first else range(len(file.group_ends))
                for batch in content.iter_batches(PICTURE_ROWS, row_groups=list(of_file), columns=[column]):
                    yield number, batch.column(0)
                    number += batch.num_rows

    def _file_at(self, row: int) -> tuple[_File, int]:
        """The file of a row, and the number of rows before it; rows count from 0."""
        file = int(np.searchsorted(self._ends, row, side="right"))
        return self._files[file], self._ends[file - 1] if file else 0

    def _batches(self, columns: Sequence[str], progress: Progress, batch_rows: int | None = None) -> Iterator[pa.Table]:
        """Yield the rows of all files with some top-level columns."""

        batch_rows = batch_rows or BATCH_ROWS

        def batches() -> Iterator[pa.Table]:
            for file in self._files:
                of_file = [name for name in columns if name in file.schema.names]
                with opened(self._name_of(file.name), file.path, self._filesystem) as content:
                    for table in table_batches(content, of_file, batch_rows):
                        yield _with_keys(table, file.keys, columns)

        num_batches = sum(-(-file.num_rows // batch_rows) for file in self._files)
        yield from progress(batches(), f"reading {self}, {batch_rows:,} rows each", num_batches)

    def _records(self, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
        number = 0
        for batch in self._batches(columns, silent):
            for number, record in enumerate(batch.to_pylist(), start=number + 1):  # noqa: B020 - numbers run on
                yield number, record

    def _check_columns(self, columns: Sequence[str]) -> None:
        """Check that every file has these columns, each with values of one meaning."""
        check_column_names(self, self.column_names(), columns)
        for name in columns:
            first: tuple[_File, str] | None = None
            for file in self._files:
                place = self._name_of(file.name)
                check_column_names(place, file.schema.names, {name} & set(file.schema.names))
                if name not in file.schema.names and name not in file.keys:
                    # Not a missing column: the description is right for the other files.
                    having = next(one for one in self._files if name in one.schema.names or name in one.keys)
                    raise DatasetError(
                        f"{place}: there is no column {name!r}, which {self._name_of(having.name)} has; write "
                        "all files with the same columns"
                    )
                family = type_family(file.schema.field(name).type) if name in file.schema.names else "text"
                first = first or (file, family) if family != "null" else first
                if first is not None and family not in ("null", first[1]):
                    raise DatasetError(
                        f"{place}, field {name!r}: the column has {family}, but {first[1]} in "
                        f"{self._name_of(first[0].name)}; write all files with one type"
                    )

    def _name_of(self, name: str) -> str:
        return f"{str(self).rstrip('/')}/{name}" if name else str(self)

    @cached_property
    def _opened(self) -> tuple[fs.FileSystem, str]:
        if "://" not in self.address:
            return fs.LocalFileSystem(), self.address
        try:
            filesystem, path = fs.FileSystem.from_uri(self.address)
        except pa.ArrowInvalid as error:
            raise DatasetError(
                f"{self}: got an address that cannot be used ({self._problem(error)}), expected one such as "
                "s3://BUCKET/FOLDER/; correct it"
            ) from None
        except (pa.ArrowException, OSError) as error:
            raise self._unreadable(error) from None
        return filesystem, path

    @property
    def _filesystem(self) -> fs.FileSystem:
        return self._opened[0]

    @cached_property
    def _files(self) -> tuple[_File, ...]:
        """All files in the order of their paths, with their footers read."""
        filesystem, root = self._opened
        try:
            found = filesystem.get_file_info(root)
            if found.type == fs.FileType.Directory:
                listed = filesystem.get_file_info(fs.FileSelector(root, recursive=True))
                paths = sorted(one.path for one in listed if one.type == fs.FileType.File)
            else:
                paths = [root]
        except (pa.ArrowException, OSError) as error:
            raise self._unreadable(error) from None
        if found.type == fs.FileType.NotFound:
            relative = "" if "://" in self.address else ", which is relative to the dataset's TOML"
            raise DatasetError(f"{self} does not exist; correct the {'path' if relative else 'address'}{relative}")
        below = {path: path.removeprefix(root.rstrip("/")).lstrip("/") for path in paths}
        below = {path: name for path, name in below.items() if not _is_hidden(name)}
        for path, name in below.items():
            if not path.lower().endswith(_SUFFIX):
                raise DatasetError(
                    f"{self}: got the file {name or path}, expected only files that end in {_SUFFIX}, which are one "
                    "table; name the table's own file, or move this one away"
                )
        if not below:
            raise EmptyTableError(f"{self} has no file that ends in {_SUFFIX}; write the table into it")
        with ThreadPoolExecutor(_FOOTERS_AT_ONCE) as threads:
            return tuple(threads.map(self._file, below.keys(), below.values()))

    def _file(self, path: str, name: str) -> _File:
        keys = dict(part.split("=", 1) for part in name.split("/")[:-1] if "=" in part)
        values = {key: None if value == _MISSING_VALUE else unquote(value) for key, value in keys.items()}
        with opened(self._name_of(name), path, self._filesystem) as content:
            groups = (content.metadata.row_group(group).num_rows for group in range(content.num_row_groups))
            return _File(path, name, tuple(accumulate(groups)), content.schema_arrow, values)

    @cached_property
    def _ends(self) -> list[int]:
        """Numbers of the files' last rows."""
        return list(accumulate(file.num_rows for file in self._files))

    def _unreadable(self, error: Exception) -> DatasetError:
        cure = _CURE if "://" in self.address else "check its permissions"
        return DatasetError(f"{self} cannot be read ({self._problem(error)}); {cure}")

    def _problem(self, error: Exception) -> str:
        return " ".join(str(error).replace(self.address, str(self)).split())


class _Names:
    """Which of the wanted columns are top-level ones, and which the paths of nested fields."""

    def __init__(self, existing: Sequence[str], kinds: Mapping[str, ColumnKind]) -> None:
        paths = {name: path for name in kinds if name not in existing and (path := FieldPath.parse(name)) is not None}
        self.wanted = list(kinds)
        self.plain = [name for name in kinds if name not in paths]
        self.nested = list(dict.fromkeys(path.first_name for path in paths.values()))
        self.top = list(dict.fromkeys([*self.plain, *self.nested]))
        self.kinds_of_paths: dict[str, ColumnKind] = {name: kinds[name] for name in paths}


def _joined(names: _Names, plain: pa.Table, of_paths: RecordTable) -> RecordTable:
    """Put the plain columns beside those of nested fields."""
    if of_paths.records is not None:
        plain = plain.take(of_paths.records)
    columns = {name: of_paths.table[name] if name in names.kinds_of_paths else plain[name] for name in names.wanted}
    return of_paths._replace(table=pa.table(columns))


def _with_keys(table: pa.Table, keys: Mapping[str, str | None], columns: Sequence[str]) -> pa.Table:
    """Add the columns by the names of folders."""
    for name in columns:
        if name not in table.column_names:
            column = pa.repeat(pa.scalar(keys[name], pa.large_string()), len(table))
            table = table.append_column(name, column)
    return table.select(list(columns))


def _with_places(table: pa.Table, pictures: Sequence[str], before: int) -> pa.Table:
    """Replace pictures by their places."""
    for name in pictures:
        sizes = pc.binary_length(table[name].cast(pa.large_binary()))
        places = pa.array(np.arange(before, before + len(table)))
        # Where there is none, its size and so its place are null.
        places = pc.if_else(pc.greater(sizes, 0), places, -1)
        table = table.set_column(table.column_names.index(name), name, places)
    return table


def _plain(table: pa.Table) -> pa.Table:
    """Decode dictionaries, and give text and bytes one type each, so that tables of several files can be joined."""
    for place, field in enumerate(table.schema):
        arrow_type = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        arrow_type = {"text": pa.large_string(), "bytes": pa.large_binary()}.get(type_family(arrow_type), arrow_type)
        table = table.set_column(place, field.name, table[field.name].cast(arrow_type))
    return table


def _no_rows(columns: Sequence[str]) -> pa.Table:
    return pa.table({name: pa.nulls(0) for name in columns})


def _is_hidden(name: str) -> bool:
    return any(part.startswith(_HIDDEN) for part in name.split("/"))


def _shown(address: str) -> str:
    """The address without credentials and settings."""
    if "://" not in address:
        return address
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
