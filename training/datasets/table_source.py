"""Tables that are not one Parquet, CSV or JSON Lines file, such as a query; `table_files.read_table` reads both."""

from collections.abc import Mapping
from typing import Protocol

import pyarrow as pa

from clairo_core.progress import Progress, silent
from training.datasets.column_kinds import ColumnKind


class TableSource(Protocol):
    """Reads itself. Its `str` names it in errors."""

    def column_names(self) -> tuple[str, ...]:
        """List the columns."""

    def read(self, kinds: Mapping[str, ColumnKind], progress: Progress = silent) -> pa.Table:
        """Read some columns.

        Raises:
            DatasetError: as `read_table`.
        """

    def row_number(self, index: int) -> int:
        """Number of a row for error messages, from 1; `index` counts from 0."""
