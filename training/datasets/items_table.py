"""Turn the items table, and separate tables of pictures and codes, into items and semantic ids.

Start at `read_items`.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import Bool, Int32, Int64

from clairo_core.attributes import AttributeType
from clairo_core.errors import DatasetError
from clairo_core.items import Item, PictureFile
from clairo_core.progress import Progress, silent
from training.datasets.columns.attribute_columns import attribute_column, attribute_type
from training.datasets.columns.number_columns import code_columns, vector_column
from training.datasets.columns.value_columns import id_column, item_id_column, picture_column, text_column
from training.datasets.dataset import Codes, PictureOrigin
from training.datasets.description import (
    CodesDescription,
    DatasetDescription,
    PicturesDescription,
)
from training.datasets.item_names import ItemNames, find_names
from training.datasets.pictures.picture_urls import fetched_picture, first_url
from training.datasets.tables.column_kinds import ColumnKind
from training.datasets.tables.parquet_pictures import ParquetPicture
from training.datasets.tables.table_files import SourceTable, TableReader, read_table
from training.datasets.variants import group_variants, option_attributes

T = TypeVar("T")

_LONGEST_PATH_SHOWN = 200


@dataclass(frozen=True, slots=True, eq=False)
class LoadedItems:
    """All items of the source in row order, with their codes and pictures."""

    items: tuple[Item, ...]
    attribute_types: Mapping[str, AttributeType]
    """Of attributes that are not text."""
    names: ItemNames
    codes: Codes | None
    picture_origin: PictureOrigin | None
    is_wanted: Bool[np.ndarray, "item"]


def read_items(
    description: DatasetDescription, progress: Progress = silent, read: TableReader = read_table
) -> LoadedItems:
    """Read the items with their texts, pictures, vectors, attributes and codes; `read` opens each table.

    Raises:
        DatasetError: see `read_table`; also a RowError for a duplicate id, an ambiguous key, a missing picture file, an
            item without codes, and a value of the wrong kind.
    """
    described = description.items
    rows = _read_items_table(description, progress, read)
    id_fields = (described.item_id, *described.item_key)
    groups = None if described.group_variants is None else group_variants(rows, described.group_variants, id_fields)
    source = rows if groups is None else groups.source
    item_ids = item_id_column(source, described.item_id)
    _row_of_each_id(source, described.item_id, item_ids)
    members = tuple((row,) for row in range(len(rows))) if groups is None else groups.members
    names = find_names(rows, id_fields, members, item_ids)
    picture_origin, pictures = _pictures(description, source, progress, read)
    texts = {name: text_column(source, name) for name in described.texts}
    attributes = {
        name: attribute_column(source, name, described.attribute_types.get(name)) for name in described.attributes
    }
    options = option_attributes(rows, described.options, members)
    vectors = {modality: vector_column(source, name) for modality, name in described.vectors.items()}
    items = tuple(
        Item(
            item_id=item_id,
            texts=_present(texts, row),
            picture=pictures[row],
            vectors=_present(vectors, row),
            attributes={**_present(attributes, row), **options[row]},
        )
        for row, item_id in enumerate(item_ids)
    )
    is_wanted = np.array([not described.only_with_picture or picture is not None for picture in pictures])
    codes = None
    if description.codes is not None and description.codes.columns:
        codes = _codes(description.codes, source, progress, read)
    types = {
        name: attribute_type(source, name, described.attribute_types.get(name)) for name in described.attributes
    } | {name: AttributeType.LIST for of_item in options for name in of_item}
    types = {name: one for name, one in types.items() if one is not AttributeType.TEXT}
    return LoadedItems(items, types, names, codes, picture_origin, is_wanted)


def read_picture_cells(
    description: DatasetDescription, progress: Progress = silent
) -> tuple[list[str], list[bytes | ParquetPicture | str | None]]:
    """Read every item's id, and its picture, or its path or url.

    Raises:
        DatasetError: as `read_items`.
    """
    described = dataclasses.replace(description.items, texts=(), attributes=(), options={}, vectors={})
    description = dataclasses.replace(description, items=described, codes=None)
    source = _read_items_table(description, progress, read_table)
    if described.group_variants is not None:
        source = group_variants(source, described.group_variants, (described.item_id, *described.item_key)).source
    found = _picture_cells(description, source, progress, read_table)
    item_ids = item_id_column(source, described.item_id)
    return item_ids, [None] * len(item_ids) if found is None else found[3]


def _read_items_table(description: DatasetDescription, progress: Progress, read: TableReader) -> SourceTable:
    described = description.items
    kinds: dict[str, ColumnKind] = {described.item_id: "id"}
    # A column may be used twice, such as an id that is also an attribute; the stricter kind comes first and stays.
    for beside in (description.pictures, description.codes):
        if beside is not None:
            kinds.setdefault(beside.items_column, "id")
    for name in described.vectors.values():
        kinds.setdefault(name, "numbers")
    if described.picture is not None:
        kinds.setdefault(described.picture, "picture")
    for name in described.attributes:
        kinds.setdefault(name, "attribute")
    more = (*described.item_key, *described.options, *described.options.values(), described.group_variants)
    for name in (*described.texts, *filter(None, more)):
        kinds.setdefault(name, "text")
    return read(described.file, kinds, progress, described.form)


def _present(columns: Mapping[str, Sequence[T | None]], row: int) -> dict[str, T]:
    return {name: value for name, values in columns.items() if (value := values[row]) is not None}


def _row_of_each_id(source: SourceTable, field: str, ids: Sequence[str]) -> dict[str, int]:
    row_of: dict[str, int] = {}
    again = [row for row, row_id in enumerate(ids) if row_of.setdefault(row_id, row) != row]
    if again:
        row_id = ids[again[0]]
        first = source.row_number(row_of[row_id], field)
        raise source.error(np.array(again), field, f"id {row_id!r} is also in row {first}; remove one row")
    return row_of


def _picture_cells(
    description: DatasetDescription, source: SourceTable, progress: Progress, read: TableReader
) -> tuple[SourceTable, str, Int64[np.ndarray, "item"], list[bytes | ParquetPicture | str | None]] | None:
    """The table of pictures, its column, every item's row in it (-1: none), and its picture, path or url."""
    described = description.items
    if description.pictures is not None:
        picture_source, rows = _rows_beside(source, description.pictures, progress, read)
        field = description.pictures.picture
    elif described.picture is not None:
        picture_source, rows, field = source, np.arange(len(source)), described.picture
    else:
        return None
    column = picture_column(picture_source, field)
    return picture_source, field, rows, [column[row] if row >= 0 else None for row in rows.tolist()]


def _pictures(
    description: DatasetDescription, source: SourceTable, progress: Progress, read: TableReader
) -> tuple[PictureOrigin | None, list[bytes | PictureFile | None]]:
    """Read the origin of the pictures, and every item's picture."""
    described = description.items
    found = _picture_cells(description, source, progress, read)
    if found is None:
        return None, [None] * len(source)
    picture_source, field, rows, cells = found
    origin_rows = np.where(rows < 0, rows, picture_source.file_rows(field)[rows])
    origin = PictureOrigin(picture_source.path, field, origin_rows, described.unreadable_pictures)
    pictures: list[bytes | PictureFile | None] = []
    absent: dict[str, list[int]] = {}
    for item, cell in enumerate(cells):
        if not isinstance(cell, str):
            pictures.append(cell)
            continue
        url = first_url(cell)
        path = described.picture_folder / cell if url is None else fetched_picture(described.picture_folder, url)
        is_there = _is_file(path)
        pictures.append(path if is_there else None)
        if is_there or (url is not None and described.urls_are_optional):
            continue
        if url is None:
            problem = "does not exist, expected a picture; correct the path or picture_folder"
        else:
            problem = "is not fetched; run clairo-train fetch-pictures with this dataset"
        absent.setdefault(problem, []).append(item)
    if absent and described.unreadable_pictures == "error":
        problem, items = next(iter(absent.items()))
        cell = str(cells[items[0]])
        shown = first_url(cell) or described.picture_folder / cell
        raise picture_source.error(rows[items], field, f"{_shortened(shown)} {problem}")
    return origin, pictures


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        # Too long or invalid as a path, such as a picture in base64.
        return False


def _shortened(path: Path | str) -> str:
    return str(path) if len(str(path)) <= _LONGEST_PATH_SHOWN else f"{str(path)[:_LONGEST_PATH_SHOWN]}..."


def _rows_beside(
    source: SourceTable, described: PicturesDescription | CodesDescription, progress: Progress, read: TableReader
) -> tuple[SourceTable, Int64[np.ndarray, "item"]]:
    """Read a separate table. Returns it with its row for every item, -1 where it has none."""
    kinds: dict[str, ColumnKind] = {described.item_id: "id"}
    if isinstance(described, PicturesDescription):
        kinds.setdefault(described.picture, "picture")
    else:
        kinds.update({name: "numbers" for name in described.columns if name not in kinds})
    beside = read(described.file, kinds, progress)
    row_of = _row_of_each_id(beside, described.item_id, id_column(beside, described.item_id).to_pylist())
    references = id_column(source, described.items_column).to_pylist()
    rows = np.array([row_of.get(reference, -1) for reference in references], dtype=np.int64)
    if (rows < 0).all():
        raise source.error(
            0,
            described.items_column,
            f"neither {references[0]!r} nor any other row's value is in column {described.item_id!r} of {beside.path}; "
            "name two columns with the same ids",
        )
    return beside, rows


def _codes(described: CodesDescription, source: SourceTable, progress: Progress, read: TableReader) -> Codes:
    beside, rows = _rows_beside(source, described, progress, read)
    if (rows < 0).any():
        missing = int(np.argmax(rows < 0))
        raise source.error(
            missing,
            described.items_column,
            f"the item has no codes in {beside.path}; add its row, every item needs codes",
        )
    all_codes, names = code_columns(beside, described.columns)
    semantic_ids = all_codes[rows]
    sizes = described.sizes or tuple((semantic_ids.max(axis=0) + 1).tolist())
    if len(sizes) != len(names):
        raise DatasetError(f"{beside.path}: got {len(sizes)} sizes for {len(names)} codebooks; set one per codebook")
    too_large = np.argwhere(semantic_ids >= np.array(sizes))
    if too_large.size:
        item, codebook = too_large[0].tolist()
        raise beside.error(
            int(rows[item]),
            names[codebook],
            f"the code is {semantic_ids[item, codebook]}, expected less than the codebook's size, {sizes[codebook]}; "
            "correct sizes or the code",
        )
    if described.unique:
        _refuse_shared_codes(beside, described, semantic_ids, rows)
    return Codes(semantic_ids, names, sizes, described.unique)


def _refuse_shared_codes(
    beside: SourceTable,
    described: CodesDescription,
    semantic_ids: Int32[np.ndarray, "item codebook"],
    rows: Int64[np.ndarray, "item"],
) -> None:
    _, first_items, inverse = np.unique(semantic_ids, axis=0, return_index=True, return_inverse=True)
    earlier = first_items[inverse.ravel()]
    shared = np.flatnonzero(earlier != np.arange(len(semantic_ids)))
    if shared.size:
        item = int(shared[0])
        first = beside.row_number(int(rows[earlier[item]]), described.columns[0])
        raise beside.error(
            int(rows[item]),
            described.columns[0],
            f"row {first} has the same codes {semantic_ids[item].tolist()}, despite unique = true; remove unique, "
            "and a collision index distinguishes the items",
        )
