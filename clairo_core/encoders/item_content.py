"""What of an item an encoder of each modality reads: words as one text, a picture's pixels, a digest of the content.

Knows items; knows nothing of models. Content that cannot be read counts as missing, never as an error.
"""

import hashlib
import json
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
from PIL import Image

from clairo_core.encoders.pictures import decode_picture, shows_nothing
from clairo_core.errors import ContentError
from clairo_core.items import Item
from clairo_core.progress import Progress

TEXT, IMAGE = "text", "image"
MAX_TEXT_CHARACTERS = 16_000
"""Given to a tokenizer; every model we know of reads less."""


def text_of(item: Item) -> str:
    """All text fields in order, one a line; empty if there are none. Half surrogate pairs become question marks."""
    text = item.text[:MAX_TEXT_CHARACTERS].encode("utf-8", "replace").decode("utf-8")
    return unicodedata.normalize("NFC", text).strip()


def picture_of(item: Item, shortest_side: int) -> Image.Image | None:
    """The picture as upright RGB; large JPEGs may come smaller, no side below `shortest_side` for it.

    None if there is none, or none that can be read, or one that shows nothing.
    """
    try:
        content = item.read_picture()
        picture = None if content is None else decode_picture(content, shortest_side=shortest_side)
    except (OSError, ContentError):
        return None
    return None if picture is None or shows_nothing(picture) else picture


def content_digest(item: Item, modality: str) -> str:
    """A hexadecimal digest of all that an encoder of this modality reads of an item; equal content, equal digest."""
    if modality == TEXT:
        content = json.dumps(list(item.texts.items())).encode()
    elif modality == IMAGE:
        try:
            content = item.read_picture() or b""
        except OSError:
            content = b""
    else:
        vector = item.vectors.get(modality)
        content = b"" if vector is None else np.ascontiguousarray(vector, dtype="<f4").tobytes()
    return hashlib.sha256(content).hexdigest()


def batches_of(
    items: Sequence[Item], batch_size: int, label: str, progress: Progress
) -> Iterator[tuple[int, Sequence[Item]]]:
    """Each batch and the row of its first item, reported one by one."""
    starts = range(0, len(items), batch_size)
    for start in progress(starts, label, len(starts)):
        yield start, list(islice(items, start, start + batch_size))
