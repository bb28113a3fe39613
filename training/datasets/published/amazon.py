"""Describe one category of Amazon Reviews 2014, 2018 or 2023, as published.

As in the works that use them, interactions with items without metadata are left out, only a user's first review of an
item counts, and the iterative 5-core is taken. We differ: the core is taken last, after all other filters. Conditions
of `[events]` may read the rating: `overall`, in 2023 `rating`. Pictures are read from `images/ASIN.jpg` (or .jpeg,
.png, .webp), else those of the metadata's urls that were fetched. Start at `describe_amazon2023`.

Sources: McAuley et al. 2015, "Image-based recommendations on styles and substitutes". Ni, Li and McAuley 2019,
"Justifying recommendations using distantly-labeled reviews and fine-grained aspects". Hou et al. 2024, "Bridging
language and items for retrieval and recommendation".
"""

from functools import partial
from pathlib import Path

import pyarrow.compute as pc

from clairo_core.errors import DatasetError, EmptyTableError, RowError
from clairo_core.events import InteractionRules
from clairo_core.progress import Progress
from training.datasets.columns.value_columns import id_column
from training.datasets.description import DatasetDescription, InteractionsDescription, ItemsDescription
from training.datasets.published.amazon_metadata import ATTRIBUTES, TEXTS, item_of_2014, item_of_2018, item_of_2023
from training.datasets.published.published_tables import Records, RecordsTable, pictures_by_id
from training.datasets.published.python_lines import is_python_lines, python_records
from training.datasets.tables.json_lines import json_records
from training.datasets.tables.table_files import read_table
from training.datasets.tables.table_source import TableFile

RULES = InteractionRules(repeats="drop", min_interactions=5, unknown_items="drop")
_REVIEWS_SUFFIX = "_5.json.gz"
_REVIEW_FIELDS = ("reviewerID", "asin", "unixReviewTime", "overall")
_READ_ITEM = {"2014": item_of_2014, "2018": item_of_2018, "2023": item_of_2023}


def describe_amazon2014(folder: Path) -> DatasetDescription | None:
    """Describe `reviews_Category_5.json.gz` and `meta_Category.json.gz`; None without such reviews.

    Raises:
        DatasetError: the metadata is missing, or there are several categories.
    """
    found = sorted(folder.glob(f"reviews_*{_REVIEWS_SUFFIX}"))
    if not found:
        return None
    reviews = _only(folder, f"reviews_*{_REVIEWS_SUFFIX}", found)
    category = reviews.name.removesuffix(_REVIEWS_SUFFIX).removeprefix("reviews_")
    interactions: TableFile = reviews
    if is_python_lines(reviews):
        interactions = RecordsTable(reviews, _REVIEW_FIELDS, python_records)
    return _description("2014", category, _beside(reviews, f"meta_{category}.json.gz"), interactions)


def describe_amazon2018(folder: Path) -> DatasetDescription | None:
    """Describe `Category_5.json.gz` and `meta_Category.json.gz`; None without either.

    Raises:
        DatasetError: a file is missing, or there are several categories.
    """
    found = sorted(folder.glob(f"*{_REVIEWS_SUFFIX}"))
    if not found and not any(folder.glob("meta_*.json.gz")):
        return None
    reviews = _only(folder, f"*{_REVIEWS_SUFFIX}", found)
    category = reviews.name.removesuffix(_REVIEWS_SUFFIX)
    return _description("2018", category, _beside(reviews, f"meta_{category}.json.gz"), reviews)


def describe_amazon2023(folder: Path) -> DatasetDescription | None:
    """Describe `meta_Category.jsonl.gz` with `Category.csv` (0core or 5core) or else `Category.jsonl.gz`.

    Both may be unpacked. Returns None without metadata.

    Raises:
        DatasetError: the reviews are missing, or there are several categories.
    """
    found = sorted({*folder.glob("meta_*.jsonl"), *folder.glob("meta_*.jsonl.gz")})
    if not found:
        return None
    metadata = _only(folder, "meta_*.jsonl.gz", found)
    category = metadata.name.removeprefix("meta_").split(".jsonl")[0]
    names = [f"{category}.{ending}" for ending in ("csv", "csv.gz", "jsonl.gz", "jsonl")]
    reviews = next((folder / name for name in names if (folder / name).is_file()), None)
    if reviews is None:
        raise DatasetError(f"{folder}: expected {' or '.join(names)} beside {metadata.name}, found none; download one")
    return _description("2023", category, metadata, reviews)


def _description(release: str, category: str, metadata: Path, interactions: TableFile) -> DatasetDescription:
    user_id, item_id, order = _REVIEW_FIELDS[:3]
    if release == "2023":
        user_id, item_id, order = "user_id", "parent_asin", "timestamp"
    columns = (item_id, *dict.fromkeys((*TEXTS, *ATTRIBUTES)), "picture")
    return DatasetDescription(
        name=category,
        items=ItemsDescription(
            file=RecordsTable(metadata, columns, partial(_items, release, item_id, interactions)),
            item_id=item_id,
            texts=TEXTS,
            attributes=ATTRIBUTES,
            picture="picture",
            picture_folder=metadata.parent,
            urls_are_optional=True,
        ),
        interactions=(
            InteractionsDescription(file=interactions, user_id=user_id, item_id=item_id, order=order, is_time=True),
        ),
        rules=RULES,
    )


def _only(folder: Path, pattern: str, found: list[Path]) -> Path:
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise DatasetError(
            f"{folder}: expected one file {pattern}, found {names}; put each category into its own folder"
        )
    return found[0]


def _beside(reviews: Path, name: str) -> Path:
    path = reviews.parent / name
    if not path.is_file():
        raise DatasetError(f"{path} does not exist; download it beside {reviews.name}")
    return path


def _items(release: str, id_field: str, interactions: TableFile, path: Path, progress: Progress) -> Records:
    """The first metadata of each item that is reviewed; that of all Amazon would not fit into memory."""
    reviews = read_table(interactions, {id_field: "id"}, progress)
    reviewed = set(pc.unique(id_column(reviews, id_field)).to_pylist())
    pictures = pictures_by_id(path.parent / "images")
    records = python_records(path, progress) if is_python_lines(path) else json_records(path, progress)
    seen: set[str] = set()
    num_records = 0
    for number, record in records:
        num_records += 1
        item_id = record.get(id_field)
        if not isinstance(item_id, str) or not item_id:
            raise RowError(
                f"{path} row {number}, field {id_field!r}: got {item_id!r}, expected an id; download it again"
            )
        if item_id not in reviewed or item_id in seen:
            continue
        seen.add(item_id)
        values = _READ_ITEM[release](record) | {id_field: item_id}
        picture = pictures.get(item_id)
        yield number, values if picture is None else values | {"picture": f"images/{picture.name}"}
    if num_records == 0:
        raise EmptyTableError(f"{path} has no lines, expected metadata of items; download it again")
    if not seen:
        raise EmptyTableError(
            f"{path}: none of its {num_records:,} items is reviewed; download the metadata of the same category"
        )
