"""Turn a JSON Lines file (one object per line, UTF-8, .gz or .zst if packed) into an Arrow table.

Arrow reads files whose columns each have one simple type. All others, and those where Arrow fails, are read line by
line. Start at `read_json_lines`.
"""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as arrow_json
from jaxtyping import Int64

from clairo_core.errors import RowError
from clairo_core.progress import Progress, silent
from training.datasets.tables.column_kinds import ColumnKind
from training.datasets.tables.line_count import count_lines
from training.datasets.tables.packed_files import unpacked
from training.datasets.tables.record_tables import RecordTable, table_of_records
from training.datasets.tables.record_values import name_of_type
from training.datasets.tables.row_faults import OnFault, line_fault, raise_fault

_BLOCK_BYTES = 16 * 1024 * 1024
_SIMPLE_TYPES = {str: pa.large_string(), int: pa.int64(), float: pa.float64()}


def read_json_lines(path: Path, kinds: Mapping[str, ColumnKind], progress: Progress = silent) -> RecordTable:
    """Read some fields of every record; blank lines are skipped, missing fields are null.

    Raises:
        MissingColumnError: no record has this field; the text lists the fields of all records.
        RowError: a line is not a JSON object, or a value is not of its column's kind; names the line.
        DatasetError: the file is damaged or cut short, or two fields give rows by different lists.
    """
    table = _read_by_arrow(path, kinds)
    if table is not None:
        return RecordTable(table, None)
    return table_of_records(path, json_records(path, progress, count_lines(path)), kinds)


def json_records(
    path: Path, progress: Progress = silent, num_lines: int | None = None, on_fault: OnFault = raise_fault
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the line number, from 1, and the object of every line that is not blank. Faulty lines go to `on_fault`.

    Raises:
        RowError, DatasetError: as `read_json_lines`.
    """
    for line_number, line in progress(_lines(path), f"reading {path.name}", num_lines):
        try:
            record = JSON.decode(line.decode("utf-8"))
        except UnicodeDecodeError:
            problem = "the bytes are not UTF-8; save the file as UTF-8"
            message = f"{path} row {line_number}: {problem}"
            on_fault(RowError(message, path=path, rows=(line_number,), problem=problem))
        except (ValueError, RecursionError) as error:
            problem = f"is not JSON ({error}); it begins {line[:60]!r}; write one object per line"
            on_fault(line_fault(path, line_number, problem))
        else:
            if isinstance(record, dict):
                yield line_number, record
            else:
                problem = f"is a JSON {name_of_type(record)}, expected an object; write one per line"
                on_fault(line_fault(path, line_number, problem))


def json_lines(path: Path, num_rows: int) -> Int64[np.ndarray, "row"]:
    """Line of every row of a file without faults."""
    if count_lines(path) == num_rows:
        return np.arange(1, num_rows + 1)
    return np.fromiter((line_number for line_number, _ in _lines(path)), dtype=np.int64, count=num_rows)


def json_lines_row_number(path: Path, index: int) -> int:
    """Line, counted from 1, of record `index`, counted from 0."""
    for count, (line_number, _) in enumerate(_lines(path)):
        if count == index:
            return line_number
    return index + 1


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with unpacked(path) as file:
        for line_number, line in enumerate(file, start=1):
            content = line.removeprefix(b"\xef\xbb\xbf") if line_number == 1 else line
            if not content.isspace() and content:
                yield line_number, content


def _nan_or_refuse(name: str) -> float:
    if name == "NaN":
        # Python and pandas write it for a missing value.
        return math.nan
    raise ValueError(f"{name} is not a JSON value; write null")


JSON = json.JSONDecoder(parse_constant=_nan_or_refuse)
"""Takes NaN for a missing value, and refuses infinity."""


def _read_by_arrow(path: Path, kinds: Mapping[str, ColumnKind]) -> pa.Table | None:
    """Read with Arrow; None unless all records have the simple types of the first."""
    try:
        first = next((record for _, record in json_records(path)), {})
        types = {name: _SIMPLE_TYPES.get(type(first.get(name))) for name in kinds}
        if None in types.values():
            return None
        schema = pa.schema(list(types.items()))
        options = arrow_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
        with pa.input_stream(str(path), compression="detect") as stream:
            table = arrow_json.read_json(stream, arrow_json.ReadOptions(block_size=_BLOCK_BYTES), options)
        # Arrow's JSON reader accepts any bytes as text.
        table.validate(full=True)
        if any(_has_infinity(column) for column in table.columns):
            return None
    except (pa.ArrowException, OSError):
        return None
    return table.select(list(kinds))


def _has_infinity(column: pa.ChunkedArray) -> bool:
    """Arrow reads the word Infinity, which JSON lacks."""
    return bool(pa.types.is_floating(column.type) and pc.any(pc.is_inf(column)).as_py())
