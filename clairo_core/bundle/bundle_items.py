"""Save a bundle's items for display: words and attributes as JSON Lines, all pictures in one file.

Rows are those of the catalogue. `index_items` adds what spares a service reading every line.
"""

import hashlib
import io
import json
import mmap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int64, UInt8
from PIL import Image

from clairo_core.attributes import as_json
from clairo_core.bundle.item_index import load_item_index, write_item_index
from clairo_core.bundle.item_lines import ItemLines, read_item_lines
from clairo_core.encoders.pictures import decode_picture
from clairo_core.errors import BundleError, ContentError
from clairo_core.items import Item, picture_digest
from clairo_core.progress import Progress, silent
from clairo_core.selection.search_index import write_search_index
from clairo_core.storage.array_file import find_array, load_arrays, save_arrays

_LINES_FILE, _ITEM_INDEX, SEARCH_INDEX = "items.jsonl", "lines", "search"
MAX_SHOWN_SIDE = 512
"""Longest side, in pixels, of a stored picture: it is displayed, never encoded again."""
MAX_SHOWN_BYTES = 128 * 1024


class PackedPictures:
    """The pictures of all items, read one at a time; some items have none. Thread-safe."""

    def __init__(
        self,
        content: bytes | mmap.mmap,
        offsets: Int64[np.ndarray, "item+1"],
        digests: UInt8[np.ndarray, "item 32"] | None = None,
    ) -> None:
        """`digests` are of the pictures as trained on; older bundles lack them."""
        self._content = content
        self._offsets = offsets
        self._digests = digests

    def has(self, row: int) -> bool:
        """Whether the item in this row has a picture; rows of items added later have none."""
        return 0 <= row < len(self._offsets) - 1 and bool(self._offsets[row + 1] > self._offsets[row])

    def read(self, row: int) -> bytes | None:
        """An encoded picture, or None."""
        return self._content[self._offsets[row] : self._offsets[row + 1]] if self.has(row) else None

    def digest(self, row: int) -> str | None:
        """Hexadecimal SHA-256 of the picture that training read, or of the stored one in older bundles; or None."""
        if self._digests is not None and 0 <= row < len(self._digests):
            return self._digests[row].tobytes().hex() if self._digests[row].any() else None
        return picture_digest(self.read(row))


def save_items(folder: Path, items: Sequence[Item], progress: Progress[Item] = silent) -> None:
    """Write items.jsonl, pictures.bin and pictures.npz into `folder`, which must exist.

    Raises:
        OSError: a picture's file cannot be read.
    """
    offsets = np.zeros(len(items) + 1, dtype=np.int64)
    digests = np.zeros((len(items), 32), dtype=np.uint8)
    with (
        (folder / _LINES_FILE).open("w", encoding="utf-8") as lines,
        (folder / "pictures.bin").open("wb") as pictures,
    ):
        for row, item in enumerate(progress(items, "bundle: items and pictures", len(items))):
            record = {"item_id": item.item_id, "texts": dict(item.texts), "attributes": as_json(item.attributes)}
            lines.write(json.dumps(record) + "\n")
            picture = item.read_picture()
            offsets[row + 1] = offsets[row] + pictures.write(shown_picture(picture))
            if picture is not None:
                digests[row] = np.frombuffer(hashlib.sha256(picture).digest(), dtype=np.uint8)
    save_arrays(folder / "pictures.npz", offsets=offsets, digests=digests)


def index_items(folder: Path) -> None:
    """Write the indexes of saved items, for loading and for searching them. Nothing depends on either."""
    items = read_item_lines(folder / _LINES_FILE)
    write_item_index(folder / _ITEM_INDEX, items)
    write_search_index(folder / SEARCH_INDEX, items)


def load_items(folder: Path) -> tuple[ItemLines, PackedPictures]:
    """Load saved items, without their pictures, and the pictures apart.

    Raises:
        BundleError: a file is damaged although its digest is correct.
    """
    try:
        items = load_item_index(folder / _ITEM_INDEX, folder / _LINES_FILE) or read_item_lines(folder / _LINES_FILE)
        (offsets,) = load_arrays(folder / "pictures.npz", "offsets")
        digests = find_array(folder / "pictures.npz", "digests")
        with (folder / "pictures.bin").open("rb") as file:
            # Mapped once, not opened for each picture: a newer bundle may replace the folder meanwhile.
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if offsets[-1] else b""
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(f"{folder}: items cannot be read ({error}); copy the bundle again") from error
    return items, PackedPictures(content, offsets, digests)


def shown_picture(content: bytes | None) -> bytes:
    """A small picture unchanged, a large one as a smaller JPEG; empty if missing or unreadable."""
    if content is None:
        return b""
    try:
        picture = decode_picture(content, shortest_side=MAX_SHOWN_SIDE)
    except ContentError:
        return b""
    if len(content) <= MAX_SHOWN_BYTES and max(picture.size) <= MAX_SHOWN_SIDE:
        return content
    picture.thumbnail((MAX_SHOWN_SIDE, MAX_SHOWN_SIDE), Image.Resampling.LANCZOS)
    smaller = io.BytesIO()
    picture.save(smaller, format="JPEG", quality=85)
    return smaller.getvalue()
