"""Read the columns and the first rows of a file in any format, to guess what they mean. Start at `sample_file`."""

import codecs
import csv
import io
import itertools
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from clairo_core.values.missing import is_missing
from training.datasets.tables.column_kinds import value_as_text
from training.datasets.tables.csv_files import csv_separator
from training.datasets.tables.json_files import json_file_records
from training.datasets.tables.packed_files import format_suffix, unpacked
from training.datasets.tables.parquet_datasets import ParquetDataset, table_at
from training.datasets.tables.record_tables import table_of_records
from training.datasets.tables.table_files import as_parquet, column_names
from training.datasets.tables.table_form import TableForm
from training.datasets.tables.table_source import TableFile
from training.datasets.tables.xml_feeds import feed_records

MOST_ROWS = 20_000
_ENCODING_BYTES = 4 * 1024 * 1024
_WITHOUT_UTF8 = "cp1252"
"""What Windows writes in western Europe."""


@dataclass(frozen=True, slots=True, eq=False)
class FileSample:
    """A file's columns and first rows."""

    path: TableFile
    form: TableForm
    columns: tuple[str, ...]
    """Of the first rows; nested fields are not among them."""
    rows: tuple[Mapping[str, Any], ...]

    @property
    def name(self) -> str:
        """The last part of the path."""
        return str(self.path).rstrip("/").rpartition("/")[2]

    def seen_from(self, folder: Path) -> str:
        """The file as a description in `folder` names it."""
        if "://" in str(self.path):
            return self.path.address if isinstance(self.path, ParquetDataset) else str(self.path)
        relative = Path(os.path.relpath(str(self.path), folder)).as_posix()
        return f"{relative}/" if isinstance(self.path, ParquetDataset) else relative

    def texts(self, column: str) -> list[str]:
        """The values of a column, or of a nested field by its path, that are not missing."""
        if column in self.columns:
            values = [_as_text(row.get(column)) for row in self.rows]
        else:
            numbered = enumerate(self.rows, start=1)
            values = table_of_records(self.path, numbered, {column: "text"}).table[column].to_pylist()
        return [value for value in values if value is not None and not is_missing(value)]


def sample_file(file: str) -> FileSample:
    """Read the columns and first rows of a file or a Parquet data set; the encoding of a CSV is found out.

    Raises:
        DatasetError: the file does not exist, has another format, is empty or damaged.
    """
    path, form = table_at(Path(), file), TableForm()
    parquet = as_parquet(path)
    if parquet is not None:
        return FileSample(path, form, column_names(path), tuple(parquet.first_rows(MOST_ROWS)))
    assert isinstance(path, Path)
    suffix = format_suffix(path)
    if suffix in (".csv", ".tsv") and path.is_file():
        form = replace(form, encoding=_encoding_of(path))
    names = column_names(path, form)
    rows = tuple(itertools.islice(_rows(path, suffix, form), MOST_ROWS))
    if suffix not in (".csv", ".tsv"):
        names = tuple(dict.fromkeys(name for row in rows for name in row))
    return FileSample(path, form, names, rows)


def _as_text(value: Any) -> str | None:
    try:
        return value_as_text(value)
    except TypeError:
        # Objects are named by the paths of their fields. Dates of Parquet have a text of their own.
        return None if isinstance(value, dict | list | bytes) else str(value)


def _rows(path: Path, suffix: str, form: TableForm) -> Iterator[Mapping[str, Any]]:
    if suffix in (".csv", ".tsv"):
        encoding = "utf-8-sig" if form.encoding == "utf-8" else form.encoding
        with unpacked(path) as file, io.TextIOWrapper(file, encoding, errors="replace", newline="") as text:
            yield from csv.DictReader(text, delimiter=csv_separator(path, form))
    else:
        records = feed_records(path) if suffix == ".xml" else json_file_records(path)
        yield from (record for _, record in records)


def _encoding_of(path: Path) -> str:
    with unpacked(path) as file:
        start = file.read(_ENCODING_BYTES)
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    try:
        # The last character may be cut.
        codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        return _WITHOUT_UTF8
    return "utf-8"
