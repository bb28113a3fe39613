"""Describe the benchmark folders (`movielens_small_posters`, `amazon2018_*`, `amazon2014_*`) by their columns.

A folder holds items.parquet, interactions.parquet (user_id, position, split, ...), and optionally images.parquet and
codes.parquet or codes_letter.parquet.
"""

from pathlib import Path

from clairo_core.attributes import AttributeType
from clairo_core.events import InteractionRules
from training.datasets.description import (
    CodesDescription,
    DatasetDescription,
    DeclaredType,
    InteractionsDescription,
    ItemsDescription,
    PicturesDescription,
)
from training.datasets.tables.table_files import column_names

_TEXTS = (
    "title",
    "keywords",
    "brand",
    "genres",
    "attributes",
    "description",
    "overview",
    "tags",
    "director",
    "actors",
    "plot_keywords",
)
"""In reading order; missing columns are left out."""
_ATTRIBUTES = ("brand", "genres", "year", "language", "country", "content_rating")
_CODE_FILES = ("codes.parquet", "codes_letter.parquet")
_CODES_BY_DEFAULT = ("letter", "text", "image", "rq")
"""Prefixes of code columns, for folders without words or pictures; one quantizer of the same words is enough."""
_MIN_INTERACTIONS_WITH_POSTER = 5


def is_shared_folder(folder: Path) -> bool:
    """Whether the folder has the files and columns of a benchmark folder."""
    interactions = folder / "interactions.parquet"
    if not ((folder / "items.parquet").is_file() and interactions.is_file()):
        return False
    return {"user_id", "position", "split"} <= set(column_names(interactions))


def describe_shared_folder(folder: Path) -> DatasetDescription:
    """Describe the folder as a dataset.toml would.

    With posters, the dataset is the working set: films with a poster, and of them the iterative 5-core. Codes are used
    by default only in folders without words and pictures.

    Raises:
        DatasetError: a file is damaged.
    """
    names = column_names(folder / "items.parquet")
    item_id = "item_id" if "item_id" in names else "item_idx"
    texts = tuple(name for name in _TEXTS if name in names)
    attributes = tuple(name for name in _ATTRIBUTES if name in names)
    images = folder / "images.parquet"
    has_images = images.is_file()
    return DatasetDescription(
        name=folder.resolve().name,
        items=ItemsDescription(
            file=folder / "items.parquet",
            item_id=item_id,
            texts=texts,
            attributes=attributes,
            # As text, whatever the folder's own types are: so have all bundles of these folders.
            attribute_types=dict.fromkeys(attributes, DeclaredType(type=AttributeType.TEXT)),
            picture_folder=folder,
            only_with_picture=has_images,
        ),
        pictures=PicturesDescription(file=images, item_id=item_id, items_column=item_id, picture="jpeg")
        if has_images
        else None,
        codes=_codes(folder, use_by_default=not texts and not has_images),
        interactions=(
            InteractionsDescription(file=folder / "interactions.parquet", item_id=item_id, order="position"),
        ),
        rules=InteractionRules(min_interactions=_MIN_INTERACTIONS_WITH_POSTER if has_images else 0),
    )


def _codes(folder: Path, use_by_default: bool) -> CodesDescription | None:
    file = next((folder / name for name in _CODE_FILES if (folder / name).is_file()), None)
    if file is None:
        return None
    columns: tuple[str, ...] = ()
    if use_by_default:
        available = column_names(file)
        by_prefix = {prefix: _columns_of(prefix, available) for prefix in _CODES_BY_DEFAULT}
        columns = by_prefix["letter"] or by_prefix["text"] + by_prefix["image"] or by_prefix["rq"]
    return CodesDescription(file=file, item_id="item_idx", items_column="item_idx", columns=columns)


def _columns_of(prefix: str, available: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in available if name.startswith(f"{prefix}_"))
