"""Turn a JSON Lines file (one object per line, UTF-8, gzip if it ends in .gz) into an Arrow table.

Arrow reads files whose columns each have one simple type. All others, and those where Arrow fails, are read line by
line. Start at `read_json_lines`.
"""

import gzip
import json
import math
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as arrow_json
from jaxtyping import Int64

from clairo_core.errors import DatasetError, RowError
from clairo_core.progress import Progress, silent
from training.datasets.column_kinds import ColumnKind, check_column_names, value_as_text
from training.datasets.line_count import count_lines
from training.datasets.row_faults import OnFault, raise_fault

_BLOCK_BYTES = 16 * 1024 * 1024
_ROWS_PER_CHUNK = 65_536
_SIMPLE_TYPES = {str: pa.large_string(), int: pa.int64(), float: pa.float64()}


def read_json_lines(path: Path, kinds: Mapping[str, ColumnKind], progress: Progress = silent) -> pa.Table:
    """Read some fields of every record; blank lines are skipped, missing fields are null.

    Raises:
        MissingColumnError: no record has this field; the text lists the fields of all records.
        RowError: a line is not a JSON object, or a value is not of its column's kind; names the line.
        DatasetError: the gzip stream is damaged or cut short.
    """
    table = _read_by_arrow(path, kinds)
    return _read_line_by_line(path, kinds, progress, raise_fault)[0] if table is None else table


def json_records(
    path: Path, progress: Progress = silent, num_lines: int | None = None, on_fault: OnFault = raise_fault
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the line number, from 1, and the object of every line that is not blank. Faulty lines go to `on_fault`.

    Raises:
        RowError, DatasetError: as `read_json_lines`.
    """
    decoder = json.JSONDecoder(parse_constant=_nan_or_refuse)
    for line_number, line in progress(_lines(path), f"reading {path.name}", num_lines):
        try:
            record = decoder.decode(line.decode("utf-8"))
        except UnicodeDecodeError:
            on_fault(_line_fault(path, line_number, ": the bytes are not UTF-8; save the file as UTF-8"))
        except (ValueError, RecursionError) as error:
            problem = f" is not JSON ({error}); it begins {line[:60]!r}; write one object per line"
            on_fault(_line_fault(path, line_number, problem))
        else:
            if isinstance(record, dict):
                yield line_number, record
            else:
                problem = f" is a JSON {_name(record)}, expected an object; write one per line"
                on_fault(_line_fault(path, line_number, problem))


def _line_fault(path: Path, line_number: int, problem: str) -> RowError:
    return RowError(
        f"{path} row {line_number}{problem}", path=path, rows=(line_number,), problem=problem.removeprefix(":").strip()
    )


def read_sound_json_lines(
    path: Path, kinds: Mapping[str, ColumnKind], on_fault: OnFault, progress: Progress = silent
) -> tuple[pa.Table, Int64[np.ndarray, "row"]]:
    """Read as `read_json_lines`, but leave out lines with a fault. Returns the table, and the line of each row.

    Raises:
        MissingColumnError, DatasetError: as `read_json_lines`.
    """
    return _read_line_by_line(path, kinds, progress, on_fault)


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
    try:
        with _open(path) as file:
            for line_number, line in enumerate(file, start=1):
                content = line.removeprefix(b"\xef\xbb\xbf") if line_number == 1 else line
                if not content.isspace() and content:
                    yield line_number, content
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DatasetError(
            f"{path} is not a gzip file, or is damaged or cut short ({error}); download it again"
        ) from error


def _open(path: Path) -> gzip.GzipFile | BinaryIO:
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")


def _nan_or_refuse(name: str) -> float:
    if name == "NaN":
        # Python and pandas write it for a missing value.
        return math.nan
    raise ValueError(f"{name} is not a JSON value; write null")


def _name(value: Any) -> str:
    if value is None:
        return "null"
    names = {dict: "object", list: "array", str: "string", bool: "boolean", int: "number", float: "number"}
    return names[type(value)]


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


def _read_line_by_line(
    path: Path, kinds: Mapping[str, ColumnKind], progress: Progress, on_fault: OnFault
) -> tuple[pa.Table, Int64[np.ndarray, "row"]]:
    values: dict[str, list[Any]] = {name: [] for name in kinds}
    chunks: dict[str, list[pa.Array]] = {name: [] for name in kinds}
    seen: dict[str, None] = {}
    row_type: dict[str, type] = {}
    lines: list[int] = []
    for line_number, record in json_records(path, progress, count_lines(path), on_fault):
        seen.update(dict.fromkeys(record))
        row: list[Any] = []
        for name, kind in kinds.items():
            value = record.get(name)
            if isinstance(value, float) and math.isnan(value):
                value = None
            if value is not None:
                try:
                    value = _checked(path, line_number, name, kind, value, row_type)
                except RowError as fault:
                    on_fault(fault)
                    continue
            row.append(value)
        if len(row) < len(kinds):
            continue
        lines.append(line_number)
        for column, value in zip(values.values(), row, strict=True):
            column.append(value)
        if len(next(iter(values.values()))) == _ROWS_PER_CHUNK:
            _close_chunks(values, kinds, chunks)
    _close_chunks(values, kinds, chunks)
    if seen:
        check_column_names(path, tuple(seen), kinds)
    tables = [pa.table(dict(zip(kinds, columns, strict=True))) for columns in zip(*chunks.values(), strict=True)]
    return pa.concat_tables(tables, promote_options="permissive"), np.array(lines, dtype=np.int64)


def _close_chunks(
    values: Mapping[str, list[Any]], kinds: Mapping[str, ColumnKind], chunks: Mapping[str, list[pa.Array]]
) -> None:
    for name, kind in kinds.items():
        is_text = kind in ("id", "text", "picture")
        chunks[name].append(pa.array(values[name], pa.large_string() if is_text else None))
        values[name].clear()


def _checked(path: Path, line_number: int, name: str, kind: ColumnKind, value: Any, row_type: dict[str, type]) -> Any:
    """Convert the value to its column's kind."""
    try:
        checked = _CHECKS[kind](value)
    except (TypeError, ValueError) as error:
        shown = f"a JSON {_name(value)}" if isinstance(value, dict | list) else repr(value)
        raise _field_fault(path, line_number, name, f"got {shown}, expected {error}; correct it") from error
    if kind in ("order", "numbers"):
        # An Arrow column has one type; the first value decides.
        value_type = float if isinstance(checked, int | float) else type(checked)
        if row_type.setdefault(name, value_type) is not value_type:
            problem = f"got {value!r}, but earlier rows have {_SHOWN_TYPES[row_type[name]]}; use one type"
            raise _field_fault(path, line_number, name, problem)
    return checked


def _field_fault(path: Path, line_number: int, field: str, problem: str) -> RowError:
    message = f"{path} row {line_number}, field {field!r}: {problem}"
    return RowError(message, path=path, rows=(line_number,), field=field, problem=problem)


_SHOWN_TYPES = {float: "numbers", str: "text", list: "lists"}


def _as_id(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise TypeError("text or a whole number")
    return _encodable(str(value))


def _as_order(value: Any) -> int | float | str:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError("a number, or a date and time as text")
    return _encodable(value) if isinstance(value, str) else _bounded(value)


def _as_numbers(value: Any) -> Any:
    numbers = value if isinstance(value, list) else [value]
    if any(isinstance(number, bool) or not isinstance(number, int | float) for number in numbers):
        raise TypeError("a number or a list of numbers")
    return [_bounded(number) for number in numbers] if isinstance(value, list) else _bounded(value)


def _as_picture(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("the path of a picture file")
    return _encodable(value)


def _as_text(value: Any) -> str | None:
    try:
        text = value_as_text(value)
    except TypeError as error:
        raise TypeError("text, a number, or a list of them") from error
    return None if text is None else _encodable(text)


def _encodable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("text without lone surrogates") from error
    return text


def _bounded(number: float) -> float:
    if isinstance(number, int) and not -(2**63) <= number < 2**63:
        raise ValueError("a number of at most 64 bits")
    return number


_CHECKS: dict[ColumnKind, Callable[[Any], Any]] = {
    "id": _as_id,
    "order": _as_order,
    "numbers": _as_numbers,
    "picture": _as_picture,
    "text": _as_text,
}
