"""Pictures that stay in their Parquet files until they are looked at. Start at `PictureColumn.picture`.

Items hold a row's number instead of its bytes. Looking at pictures in the order of their rows reads each once.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from threading import Lock
from typing import Any

import pyarrow as pa

from training.datasets.tables.parquet_datasets import ParquetDataset


class PictureColumn:
    """A column of encoded pictures, of which a few are in memory."""

    def __init__(self, dataset: ParquetDataset, column: str) -> None:
        self._dataset, self._column = dataset, column
        self._lock = Lock()
        self._cells: Iterator[tuple[int, pa.Array]] = iter(())
        self._start, self._end = 0, -1
        self._read = pa.nulls(0)

    def picture(self, row: int) -> "ParquetPicture":
        """The picture of a row of the data set, from 0."""
        return ParquetPicture(self, row)

    def read(self, row: int) -> bytes:
        """Read the bytes of a row.

        Raises:
            DatasetError: the file was changed or removed since it was opened.
        """
        with self._lock:
            if not self._start <= row < self._end:
                self._go_to(row)
            picture: bytes = self._read[row - self._start].as_py()
            return picture

    def _go_to(self, row: int) -> None:
        """Read on if the row is ahead in the same row group, else from the beginning of its own."""
        if row < self._end or self._dataset.group_start(row) > self._end:
            self._cells = self._dataset.cells(self._column, row)
            self._end = 0
        while row >= self._end:
            self._start, self._read = next(self._cells)
            self._end = self._start + len(self._read)


@dataclass(frozen=True, slots=True)
class ParquetPicture:
    """An encoded picture in a column; other processes get its bytes."""

    column: PictureColumn
    row: int

    def read_bytes(self) -> bytes:
        """Read the picture from its file."""
        return self.column.read(self.row)

    def __reduce__(self) -> tuple[Any, ...]:
        return bytes, (self.read_bytes(),)
