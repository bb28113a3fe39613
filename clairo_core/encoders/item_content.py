"""Read an item's content for an encoder: words as one text, a decoded picture, a digest of either.

Unreadable content counts as missing, never as an error.
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
from clairo_core.values.markup import words_of

TEXT, IMAGE = "text", "image"
MAX_TEXT_CHARACTERS = 16_000
"""Passed to a tokenizer; every model we know reads less."""


def normalized_text(item: Item) -> str:
    """All text fields in order, one per line, without mark-up; empty if there are none.

    Half surrogate pairs become question marks.
    """
    words = "\n".join(words_of(text) for text in item.texts.values() if text)
    text = words[:MAX_TEXT_CHARACTERS].encode("utf-8", "replace").decode("utf-8")
    return unicodedata.normalize("NFC", text).strip()


def picture_of(item: Item, shortest_side: int) -> Image.Image | None:
    """Decode the picture as upright RGB; None if missing, unreadable or blank.

    Large JPEGs may be decoded smaller, with no side below `shortest_side`.
    """
    try:
        content = item.read_picture()
        picture = None if content is None else decode_picture(content, shortest_side=shortest_side)
    except (OSError, ContentError):
        return None
    return None if picture is None or shows_nothing(picture) else picture


def encoder_input_digest(item: Item, modality: str) -> str:
    """Hexadecimal digest of the content that an encoder of this modality reads from an item."""
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
    """Yield each batch with the row of its first item, and report progress."""
    starts = range(0, len(items), batch_size)
    for start in progress(starts, label, len(starts)):
        yield start, list(islice(items, start, start + batch_size))
