"""Read lines that are Python dict literals, as the older releases of UCSD have them. Start at `python_records`.

Only literals are read; nothing is evaluated.
"""

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from clairo_core.errors import RowError
from clairo_core.progress import Progress, silent
from training.datasets.tables.packed_files import unpacked


def is_python_lines(path: Path) -> bool:
    """Whether the first line is a dict in Python's notation rather than JSON's."""
    _, line = next(_lines(path), (1, b""))
    return line.lstrip().startswith((b"{'", b"{u'"))


def python_records(path: Path, progress: Progress = silent) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the line number, from 1, and the dict of every line that is not blank; lines of JSON are read too.

    Raises:
        RowError: a line is neither.
        DatasetError: the gzip stream is damaged or cut short.
    """
    for line_number, line in progress(_lines(path), f"reading {path.name}", None):
        try:
            record = _record(line)
        except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
            raise RowError(
                f"{path} row {line_number} is not a Python dict ({error}); it begins {line[:60]!r}; download it again"
            ) from error
        yield line_number, record


def _record(line: bytes) -> dict[str, Any]:
    text = line.decode("utf-8").strip()
    record: Any = None
    if text.startswith('{"'):
        try:
            record = json.loads(text)
        except ValueError:
            record = None
    if record is None:
        record = ast.literal_eval(text)
    if not isinstance(record, dict):
        raise ValueError(f"got a {type(record).__name__}")  # noqa: TRY004 - the caller refuses the line, not the type
    return {name: _whole(value) for name, value in record.items()} if "\\ud" in text.lower() else record


def _whole(value: Any) -> Any:
    """Join surrogate pairs, which Python 2 wrote as two characters; single surrogates are left out."""
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")
    if isinstance(value, list | tuple):
        return [_whole(one) for one in value]
    return {name: _whole(one) for name, one in value.items()} if isinstance(value, dict) else value


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with unpacked(path) as file:
        for line_number, line in enumerate(file, start=1):
            if line.strip():
                yield line_number, line
