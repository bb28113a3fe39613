"""Check pictures of items: the start of every file, the whole of a sample or of all. Start at `check_pictures`."""

import dataclasses
from pathlib import Path

import numpy as np

from clairo_core.encoders.picture_metadata import JPEG_START, PNG_START
from clairo_core.encoders.pictures import MAX_PICTURE_BYTES
from clairo_core.items import Item
from clairo_core.progress import Progress
from training.datasets.check.sound_tables import SoundTables
from training.datasets.description import DatasetDescription
from training.datasets.items_table import LoadedItems, read_items
from training.datasets.pictures.picture_check import picture_problem
from training.datasets.tables.row_faults import field_fault

SAMPLE = 100
"""Pictures that are decoded unless all are."""
_START_BYTES = 12


def check_pictures(
    description: DatasetDescription, tables: SoundTables, *, decode_all: bool, progress: Progress
) -> int:
    """Note missing and unreadable pictures. Returns the number of pictures that the dataset may drop for that.

    Args:
        description: of the dataset.
        tables: its tables; rows left out here stay in others.
        decode_all: decode every picture, not a sample.
        progress: of pictures.
    """
    strict = dataclasses.replace(
        description, items=dataclasses.replace(description.items, unreadable_pictures="error"), codes=None
    )
    own = dataclasses.replace(tables, left_out=dict(tables.left_out))
    is_dropped = description.items.unreadable_pictures == "drop"
    loaded = own.collect(lambda: read_items(description if is_dropped else strict, progress, own.read))
    if loaded is None or loaded.picture_origin is None:
        return 0
    return _check_contents(loaded, own, is_dropped=is_dropped, decode_all=decode_all, progress=progress)


def _check_contents(
    loaded: LoadedItems, tables: SoundTables, *, is_dropped: bool, decode_all: bool, progress: Progress
) -> int:
    origin = loaded.picture_origin
    assert origin is not None
    numbers = tables.sound_rows(origin.path).numbers
    assert numbers is not None
    having = [row for row, item in enumerate(loaded.items) if item.picture is not None]
    places = np.linspace(0, max(len(having) - 1, 0), num=min(SAMPLE, len(having)), dtype=np.int64)
    sample = {having[place] for place in places}
    num_dropped = 0
    for row in progress(having, "checking pictures", len(having)):
        item = loaded.items[row]
        if not (decode_all or row in sample) and _starts_as_picture(item):
            continue
        problem = picture_problem(item)
        if problem is None:
            continue
        if is_dropped:
            num_dropped += 1
            continue
        problem = f'item {item.item_id!r}: {problem}; or set unreadable_pictures = "drop" in [items]'
        number = int(numbers[origin.rows[row]])
        tables.faults.add(field_fault(origin.path, (number,), origin.field, problem))
    return num_dropped


def _starts_as_picture(item: Item) -> bool:
    """Whether size and first bytes are those of a picture."""
    picture = item.picture
    try:
        if isinstance(picture, Path):
            size = picture.stat().st_size
            with picture.open("rb") as file:
                start = file.read(_START_BYTES)
        else:
            content = item.read_picture() or b""
            size, start = len(content), content[:_START_BYTES]
    except OSError:
        return False
    is_webp = start.startswith(b"RIFF") and start[8:12] == b"WEBP"
    return size <= MAX_PICTURE_BYTES and (start.startswith((JPEG_START, PNG_START)) or is_webp)
