"""Tables of published files: records that a function reads, and values between separators."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv
from jaxtyping import Int64

from clairo_core.errors import DatasetError
from clairo_core.progress import Progress, silent
from training.datasets.tables.column_kinds import ColumnKind, check_column_names

Records: TypeAlias = Iterator[tuple[int, Mapping[str, Any]]]
"""Row number in the file, from 1, and values by column."""

_ROWS_PER_BATCH = 65_536
_PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


@dataclass(frozen=True, slots=True)
class RecordsTable:
    """A file read record by record; texts are text, times and values numbers or text."""

    path: Path
    columns: tuple[str, ...]
    records: Callable[[Path, Progress], Records]

    def __str__(self) -> str:
        return str(self.path)

    def column_names(self) -> tuple[str, ...]:
        """List the columns."""
        return self.columns

    def row_numbers(self, num_rows: int) -> Int64[np.ndarray, "row"]:
        """Numbers that the records give."""
        records = islice(self.records(self.path, silent), num_rows)
        return np.fromiter((number for number, _ in records), dtype=np.int64)

    def read(self, kinds: Mapping[str, ColumnKind], progress: Progress = silent) -> pa.Table:
        """Read some columns, with one batch at a time as Python values.

        Raises:
            MissingColumnError: a column does not exist.
            DatasetError: as `records`.
        """
        check_column_names(self, self.columns, kinds)
        types = {name: None if kind in ("order", "numbers") else pa.large_string() for name, kind in kinds.items()}
        records = self.records(self.path, progress)
        batches = []
        while batch := [record for _, record in islice(records, _ROWS_PER_BATCH)]:
            batches.append(
                pa.table({name: pa.array([record.get(name) for record in batch], kind) for name, kind in types.items()})
            )
        if not batches:
            return pa.table({name: pa.nulls(0) for name in kinds})
        return pa.concat_tables(batches, promote_options="permissive")


@dataclass(frozen=True, slots=True)
class SeparatedTable:
    """Values between separators of any length, without a header or quotes, as in MovieLens' `u.data`."""

    path: Path
    separator: str
    columns: tuple[str, ...]

    def __str__(self) -> str:
        return str(self.path)

    def column_names(self) -> tuple[str, ...]:
        """List the columns."""
        return self.columns

    def row_numbers(self, num_rows: int) -> Int64[np.ndarray, "row"]:
        """Lines, from 1."""
        return np.arange(1, num_rows + 1)

    def read(self, kinds: Mapping[str, ColumnKind], progress: Progress = silent) -> pa.Table:
        """Read some columns as text.

        Raises:
            MissingColumnError: a column does not exist.
            DatasetError: a line has another number of values.
        """
        check_column_names(self, self.columns, kinds)
        # Arrow separates by one character.
        content = self.path.read_bytes().replace(self.separator.encode(), b"\t")
        if not content.strip():
            return pa.table({name: pa.nulls(0) for name in kinds})
        try:
            return arrow_csv.read_csv(
                pa.py_buffer(content),
                read_options=arrow_csv.ReadOptions(column_names=list(self.columns)),
                parse_options=arrow_csv.ParseOptions(delimiter="\t", quote_char=False),
                convert_options=arrow_csv.ConvertOptions(
                    include_columns=list(kinds),
                    column_types={name: pa.large_string() for name in kinds},
                    null_values=[""],
                    strings_can_be_null=True,
                ),
            )
        except pa.ArrowException as error:
            problem = " ".join(str(error).split())
            raise DatasetError(
                f"{self.path}: expected {', '.join(self.columns)} between {self.separator!r} in each line ({problem}); "
                "download it again"
            ) from error


def pictures_by_id(folder: Path) -> dict[str, Path]:
    """Map id to `ID.jpg` (.jpeg, .png, .webp); of several formats, the first in alphabetical order."""
    if not folder.is_dir():
        return {}
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in _PICTURE_SUFFIXES)
    return {path.stem: path for path in reversed(files)}
