"""Tables that are not one file of a known format, such as a query; `table_files.read_table` reads all."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
import pyarrow as pa
from jaxtyping import Int64

from clairo_core.progress import Progress, silent
from training.datasets.tables.column_kinds import ColumnKind


class TableSource(Protocol):
    """Reads itself. Its `str` names it in errors, and it is hashable."""

    def column_names(self) -> tuple[str, ...]:
        """List the columns."""

    def read(self, kinds: Mapping[str, ColumnKind], progress: Progress = silent) -> pa.Table:
        """Read some columns.

        Raises:
            DatasetError: as `read_table`.
        """

    def row_numbers(self, num_rows: int) -> Int64[np.ndarray, "row"]:
        """Numbers of the first rows for error messages, from 1."""


TableFile: TypeAlias = Path | TableSource
