"""Guess what the columns of an items file mean. Start at `guess_items`."""

from collections.abc import Sequence
from pathlib import Path

from training.datasets.init.attribute_guesses import guess_types
from training.datasets.init.column_words import (
    ATTRIBUTES,
    DESCRIPTIONS,
    ITEM_IDS,
    PICTURES,
    TITLES,
    best_column,
    matching_columns,
)
from training.datasets.init.file_sample import FileSample
from training.datasets.init.layouts import known_layout
from training.datasets.init.settings import TO_FILL_IN, Section

_LONG_TEXT = 20
"""Characters of a value, on average, that make a column words."""
_URL = ("http://", "https://")
_ITEM_FOLDERS = 50


def guess_items(sample: FileSample, item_column: str | None, folder: Path) -> Section:
    """Make the [items] section.

    Args:
        sample: of the items file.
        item_column: whose values interactions name; None if unknown.
        folder: of the TOML, for paths of pictures.
    """
    section = Section("[items]")
    layout = known_layout(sample.columns)
    if layout is not None and layout.is_items:
        layout.fill(section, sample.columns)
    else:
        _fill_by_names(section, sample, item_column)
    picture = section.get("picture")
    if isinstance(picture, str):
        _set_picture_source(section, sample.texts(picture), folder)
    return section


def _fill_by_names(section: Section, sample: FileSample, item_column: str | None) -> None:
    columns = sample.columns
    by_name = best_column(columns, ITEM_IDS)
    item_id = item_column or by_name
    why = "the column that interactions name" if item_column and item_column != by_name else ""
    section.set("item_id", item_id or TO_FILL_IN, why or ("" if item_id else "no column is named as an id"))
    if item_id is not None:
        ids = sample.texts(item_id)
        if len(set(ids)) < len(ids):
            section.set("group_variants", item_id, f"{len(ids) - len(set(ids))} of the first rows repeat an id")
    title = best_column([column for column in columns if column != item_id], TITLES)
    descriptions = matching_columns(columns, DESCRIPTIONS)
    texts = tuple(dict.fromkeys([*([title] if title else []), *descriptions]))
    if texts:
        section.set("texts", texts, "in reading order, the title first")
    else:
        section.set("texts", _longest_texts(sample, item_id) or (TO_FILL_IN,), "the longest words of all columns")
    used = {item_id, *texts}
    attributes = tuple(one for one in matching_columns(columns, ATTRIBUTES) if one not in used)
    section.set("attributes", attributes)
    section.set("attribute_types", guess_types(sample, attributes), "by their first values; others are text")
    section.set("picture", best_column(columns, PICTURES) or "")
    if best_column(columns, ("item_group_id",)) is not None and section.get("group_variants") is None:
        section.notes.append('group_variants = "item_group_id"    # if variants are to be one item')


def _longest_texts(sample: FileSample, item_id: str | None) -> tuple[str, ...]:
    lengths = {}
    for column in sample.columns:
        values = sample.texts(column)
        if column != item_id and values and not values[0].startswith(_URL):
            lengths[column] = sum(map(len, values)) / len(values)
    longest = max(lengths, key=lambda column: lengths[column], default=None)
    return (longest,) if longest is not None and lengths[longest] >= _LONG_TEXT else ()


def _set_picture_source(section: Section, pictures: Sequence[str], folder: Path) -> None:
    """Say where pictures are: behind urls, or in the folder that has the first ones."""
    if pictures and pictures[0].startswith(_URL):
        section.set("unreadable_pictures", "drop", "pictures are urls; remove this once they are fetched")
        return
    first = pictures[:_ITEM_FOLDERS]
    if not first or any(_exists(folder / picture) for picture in first):
        return
    for inside in sorted(entry for entry in folder.iterdir() if entry.is_dir()):
        if any(_exists(inside / picture) for picture in first):
            section.set("picture_folder", inside.name, "the folder that has them")
            return


def _exists(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False
