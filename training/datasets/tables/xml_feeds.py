"""Turn a product feed in XML (RSS 2.0 or Atom, with Google Merchant's g: fields) into records. Start at `feed_records`.

The parser takes no document type, so no entity, file or address that a feed could name is ever read.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.parsers import expat

from clairo_core.errors import DatasetError, RowError
from clairo_core.progress import Progress, silent
from training.datasets.tables.packed_files import unpacked

_RECORD_NAMES = ("item", "entry")
_BLOCK_BYTES = 1024 * 1024


def feed_records(path: Path, progress: Progress = silent) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the line of every item, from 1, and its fields by name without prefix: g:id and id are both `id`.

    A field that occurs several times is a list, and one with fields of its own an object.

    Raises:
        RowError: the text is not XML; names the line.
        DatasetError: the feed has a document type, or cannot be unpacked.
    """
    feed = _Feed(path)
    with unpacked(path) as file:
        blocks = iter(lambda: file.read(_BLOCK_BYTES), b"")
        size = path.stat().st_size // _BLOCK_BYTES + 1
        for block in progress(blocks, f"reading {path.name}", size):
            yield from feed.read(block, is_last=False)
        yield from feed.read(b"", is_last=True)


class _Element:
    """An open element: its name, text, and fields."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.texts: list[str] = []
        self.fields: dict[str, Any] = {}

    def add(self, name: str, value: Any) -> None:
        if name not in self.fields:
            self.fields[name] = value
        elif isinstance(self.fields[name], list):
            self.fields[name].append(value)
        else:
            self.fields[name] = [self.fields[name], value]

    @property
    def value(self) -> Any:
        return self.fields or "".join(self.texts).strip() or None


class _Feed:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartDoctypeDeclHandler = self._refuse_document_type
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        self._open: list[_Element] = []
        """The item that is being read, and its open fields."""
        self._line = 0
        self._records: list[tuple[int, dict[str, Any]]] = []

    def read(self, block: bytes, *, is_last: bool) -> list[tuple[int, dict[str, Any]]]:
        """Parse a block. Returns the items that end in it."""
        self._records = []
        try:
            self._parser.Parse(block, is_last)
        except expat.ExpatError as error:
            raise RowError(f"{self._path} row {error.lineno} is not XML ({error}); export the feed again") from error
        return self._records

    def _refuse_document_type(self, name: str, *_: object) -> None:
        raise DatasetError(
            f"{self._path} has a document type <!DOCTYPE {name}>, expected a feed without one; remove that line"
        )

    def _start(self, name: str, _attributes: object) -> None:
        local = name.rpartition(":")[2]
        if self._open:
            self._open.append(_Element(local))
        elif local in _RECORD_NAMES:
            self._open.append(_Element(local))
            self._line = self._parser.CurrentLineNumber

    def _characters(self, text: str) -> None:
        if self._open:
            self._open[-1].texts.append(text)

    def _end(self, _name: str) -> None:
        if not self._open:
            return
        closed = self._open.pop()
        if self._open:
            self._open[-1].add(closed.name, closed.value)
        else:
            self._records.append((self._line, closed.fields))
