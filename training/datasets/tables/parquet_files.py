"""Read one Parquet file, batch by batch: columns of every type as Arrow has them. Start at `opened`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from clairo_core.errors import DatasetError

_ERRORS = (pa.ArrowException, OSError, UnicodeDecodeError)
"""A damaged footer may hold names that are not UTF-8."""
_BUFFER_BYTES = 4 * 1024 * 1024
"""Of each column, instead of the whole column of a row group."""


@contextmanager
def opened(name: str, path: str, filesystem: fs.FileSystem | None = None) -> Iterator[pq.ParquetFile]:
    """Open a file; `name` is for errors.

    Raises:
        DatasetError: the file, or what is read of it within the block, is damaged or not Parquet.
    """
    try:
        with pq.ParquetFile(path, filesystem=filesystem, buffer_size=_BUFFER_BYTES) as file:
            yield file
    except _ERRORS as error:
        problem = " ".join(str(error).split())
        if filesystem is None or isinstance(filesystem, fs.LocalFileSystem):
            raise DatasetError(
                f"{name} is not a Parquet file, or is damaged or cut short ({problem}); write or copy it again"
            ) from error
        raise DatasetError(
            f"{name} cannot be read, or is not a Parquet file ({problem}); check the connection and the file"
        ) from error


def table_batches(file: pq.ParquetFile, columns: Sequence[str], batch_rows: int) -> Iterator[pa.Table]:
    """Yield the file's rows with some top-level columns."""
    for batch in file.iter_batches(batch_size=batch_rows, columns=list(columns)):
        table = pa.Table.from_batches([batch])
        # Some writers skip this check; invalid text would fail later, far from its file.
        table.validate(full=True)
        # `iter_batches` takes a.b.c as a struct's field; `select` only takes top-level columns.
        yield without_views(table.select(list(columns)))


def without_views(table: pa.Table) -> pa.Table:
    """Convert view types, of which Arrow cannot take rows."""
    for place, name in enumerate(table.column_names):
        of_view = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}.get(table[name].type)
        if of_view is not None:
            table = table.set_column(place, name, table[name].cast(of_view))
    return table


def type_family(arrow_type: pa.DataType) -> str:
    """A name that types share whose values have one meaning in all files of a data set.

    >>> type_family(pa.int8()) == type_family(pa.uint64()), type_family(pa.dictionary(pa.int8(), pa.string()))
    (True, 'text')
    """
    types: Any = pa.types
    if types.is_dictionary(arrow_type):
        return type_family(arrow_type.value_type)
    families = {
        "text": (types.is_string, types.is_large_string, types.is_string_view),
        "bytes": (types.is_binary, types.is_large_binary, types.is_binary_view),
        "whole numbers": (types.is_integer,),
        "decimal numbers": (types.is_floating,),
        "objects": (types.is_struct, types.is_map),
    }
    for name, tests in families.items():
        if any(test(arrow_type) for test in tests):
            return name
    if types.is_timestamp(arrow_type):
        return "times" if arrow_type.tz is None else "times with a zone"
    if types.is_list(arrow_type) or types.is_large_list(arrow_type) or types.is_fixed_size_list(arrow_type):
        return f"lists of {type_family(arrow_type.value_type)}"
    return str(arrow_type)
