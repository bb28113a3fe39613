"""Open table files, unpacked if their names end in .gz or .zst. Start at `unpacked`."""

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa

from clairo_core.errors import DatasetError

_FORMATS = {".gz": "gzip", ".zst": "Zstandard"}
_BLOCK_BYTES = 1024 * 1024


def is_packed(path: Path) -> bool:
    """Whether the file's name ends in .gz or .zst."""
    return path.suffix.lower() in _FORMATS


def format_suffix(path: Path) -> str:
    """The ending that names the format, in lower case.

    >>> format_suffix(Path("orders.CSV")), format_suffix(Path("events.json.gz"))
    ('.csv', '.json')
    """
    return (path.with_suffix("") if is_packed(path) else path).suffix.lower()


@contextmanager
def unpacked(path: Path) -> Iterator[BinaryIO]:
    """Open the file's content for reading.

    Raises:
        DatasetError: the content cannot be unpacked.
    """
    packing = path.suffix.lower()
    damage = {".gz": (EOFError, gzip.BadGzipFile, zlib.error), ".zst": (OSError, pa.ArrowException)}.get(packing, ())
    try:
        with _open(path, packing) as file:
            yield file
    except damage as error:
        raise DatasetError(
            f"{path} is not a {_FORMATS[packing]} file, or is damaged or cut short ({error}); download it again"
        ) from error


def _open(path: Path, packing: str) -> BinaryIO:
    if packing == ".gz":
        return cast(BinaryIO, gzip.open(path))
    if packing == ".zst":
        return cast(BinaryIO, io.BufferedReader(pa.input_stream(str(path), compression="zstd"), _BLOCK_BYTES))
    return path.open("rb")
