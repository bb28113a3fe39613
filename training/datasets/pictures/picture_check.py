"""Decode every picture of a dataset once, to find damaged ones before hours of training."""

import dataclasses

from clairo_core.encoders.pictures import decode_picture
from clairo_core.errors import ContentError, RowError
from clairo_core.items import Item
from clairo_core.progress import Progress, silent
from training.datasets.dataset import Dataset, PictureOrigin, with_items
from training.datasets.tables.table_files import row_error

_SHORTEST_SIDE = 128
"""Large JPEGs are read to the end, but decoded at reduced size."""


def check_pictures(dataset: Dataset, progress: Progress = silent) -> Dataset:
    """Decode every picture.

    With `unreadable_pictures = "drop"`, items lose pictures that cannot be decoded, and the returned dataset has
    another fingerprint. Otherwise the dataset is returned unchanged.

    Raises:
        RowError: a picture cannot be decoded; the text names file, row, field and item.
    """
    origin = dataset.picture_origin
    if origin is None:
        return dataset
    items = list(dataset.items)
    for row, item in enumerate(progress(dataset.items, "checking pictures", len(items))):
        problem = picture_problem(item)
        if problem is None:
            continue
        if origin.unreadable_pictures == "error":
            raise _refusal(origin, row, f"item {item.item_id!r}: {problem}")
        items[row] = dataclasses.replace(item, picture=None)
    if all(new is old for new, old in zip(items, dataset.items, strict=True)):
        return dataset
    return with_items(dataset, tuple(items), progress)


def _refusal(origin: PictureOrigin, row: int, problem: str) -> RowError:
    hint = 'or set unreadable_pictures = "drop" in [items]'
    return row_error(origin.path, int(origin.rows[row]), origin.field, f"{problem}; {hint}")


def picture_problem(item: Item) -> str | None:
    """Why the item's picture cannot be decoded; None if it can, or there is none."""
    try:
        content = item.read_picture()
        if content is not None:
            decode_picture(content, shortest_side=_SHORTEST_SIDE)
    except (ContentError, OSError) as error:
        return str(error)
    return None
