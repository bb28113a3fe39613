"""Tell a .json file of one array from one of JSON Lines, and yield the records of either. Start at `json_file_records`.

An array's elements are read one by one, so a long file needs no more memory than its longest element.
"""

import codecs
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from clairo_core.errors import RowError
from clairo_core.progress import Progress, silent
from training.datasets.tables.json_lines import JSON, json_records
from training.datasets.tables.line_count import count_lines
from training.datasets.tables.packed_files import unpacked
from training.datasets.tables.row_faults import OnFault, line_fault, raise_fault

_BLOCK_CHARACTERS = 1024 * 1024
_PAST_BLANKS = re.compile("[ \t\r\n\ufeff]*")


def is_json_array(path: Path) -> bool:
    """Whether the file's first character that is not blank opens an array."""
    with unpacked(path) as file:
        while block := file.read(4096):
            if begun := block.removeprefix(codecs.BOM_UTF8).lstrip():
                return begun.startswith(b"[")
    return False


def json_file_records(
    path: Path, progress: Progress = silent, on_fault: OnFault = raise_fault
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the number of every record, from 1, and the record: elements of an array, else lines.

    Lines and elements with a fault go to `on_fault`; text that is not JSON ends an array.

    Raises:
        RowError: the text is not JSON, or a record is not an object.
        DatasetError: the content cannot be unpacked.
    """
    if not is_json_array(path):
        yield from json_records(path, progress, count_lines(path), on_fault)
        return
    with unpacked(path) as file, io.TextIOWrapper(file, "utf-8-sig") as text:
        yield from enumerate(progress(_elements(path, text), f"reading {path.name}", None), start=1)


def _elements(path: Path, file: TextIO) -> Iterator[dict[str, Any]]:
    """Decode one element after the other; where the text read so far ends inside one, read on."""
    text, place, block, count, is_at_end = "", 0, _BLOCK_CHARACTERS, 0, False
    expected = "["

    def refusal(problem: object) -> RowError:
        begins = text[place : place + 60]
        return line_fault(path, count + 1, f"is not JSON ({problem}); it begins {begins!r}; write an array of objects")

    while True:
        place = _PAST_BLANKS.match(text, place).end()  # type: ignore[union-attr]
        if place < len(text) and expected:
            if text[place] not in expected:
                raise refusal(f"expected {' or '.join(expected)}")
            if text[place] == "]":
                break
            if text[place] in "[,":
                place, expected = place + 1, "{]" if expected == "[" else "{"
                continue
        try:
            element, end = JSON.raw_decode(text, place)
        except (ValueError, RecursionError) as error:
            if is_at_end:
                raise refusal(error) from error
            more = _read(path, file, block, count)
            # An element longer than the block is decoded again each time: double, and the effort stays linear.
            text, place, is_at_end = text[place:] + more, 0, not more
            block = max(_BLOCK_CHARACTERS, len(text))
            continue
        place, expected, count = end, ",]", count + 1
        yield element
    place += 1
    text = text[place:] + _read(path, file, -1, count)
    place = 0
    if _PAST_BLANKS.fullmatch(text) is None:
        raise refusal("there is text after the array")


def _read(path: Path, file: TextIO, num_characters: int, count: int) -> str:
    try:
        return file.read(num_characters)
    except UnicodeDecodeError as error:
        raise RowError(f"{path} after row {count}: the bytes are not UTF-8; save the file as UTF-8") from error
