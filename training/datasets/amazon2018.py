"""Turn a category of Amazon Reviews 2018, as published, into a dataset.

A folder holds `Category_5.json.gz` (reviews: reviewerID, asin, unixReviewTime), `meta_Category.json.gz` (items: asin,
title, description, ...) and, if pictures have been downloaded, `images/ASIN.jpg` (or .jpeg, .png, .webp).

Source: Ni, Li and McAuley 2019, "Justifying recommendations using distantly-labeled reviews and fine-grained aspects".
As in the works that use it, interactions with items without metadata are left out, only a user's first review of an
item counts, and the iterative 5-core is taken. We differ: the core is taken last, after all other filters.
"""

import html
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc

from clairo_core.errors import DatasetError, EmptyTableError, RowError
from clairo_core.events import InteractionRules
from clairo_core.items import Item
from clairo_core.progress import Progress, silent
from clairo_core.values.ids import check_item_id, shown
from clairo_core.values.numbers import number_in
from training.datasets.column_kinds import ColumnKind
from training.datasets.columns import id_column
from training.datasets.dataset import Dataset, PictureOrigin, build_dataset
from training.datasets.interactions_table import find_interactions
from training.datasets.json_lines import json_records, read_json_lines
from training.datasets.table_files import SourceTable
from training.datasets.user_sequences import build_sequences

RULES = InteractionRules(repeats="drop", min_interactions=5, unknown_items="drop")
_REVIEWS_SUFFIX = "_5.json.gz"
_PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
_LONGEST_CATEGORY = 60
"""Longer entries of `category` are misplaced sentences of the description."""
_TAG = re.compile(r"<style.*?</style>|<script.*?</script>|<[^<>]*>", re.DOTALL | re.IGNORECASE)


def is_amazon2018_folder(folder: Path) -> bool:
    """Whether the folder has files with the names of the release."""
    return any(folder.glob(f"*{_REVIEWS_SUFFIX}")) or any(folder.glob("meta_*.json.gz"))


def load_amazon2018(folder: Path, progress: Progress = silent) -> Dataset:
    """Read reviews and metadata, and take the iterative 5-core.

    Texts are title, brand, categories, features and description, cleaned of HTML; brand, category and price are also
    attributes. Only the first metadata of an item counts; a malformed field counts as missing.

    Raises:
        RowError: a line is not JSON, or a field of a review is missing or malformed.
        EmptyTableError: a file has no lines, or no user and item have five interactions.
        DatasetError: a file is missing, damaged or cut short, or there are several categories.
    """
    reviews_path, meta_path = _category_files(folder)
    kinds: dict[str, ColumnKind] = {"reviewerID": "id", "asin": "id", "unixReviewTime": "order"}
    reviews = SourceTable(reviews_path, read_json_lines(reviews_path, kinds, progress))
    if len(reviews) == 0:
        raise EmptyTableError(f"{reviews_path} has no lines, expected reviews; download it again")
    reviewed = set(pc.unique(id_column(reviews, "asin")).to_pylist())
    items = _read_items(meta_path, reviewed, _pictures(folder / "images"), progress)
    interactions = find_interactions(
        reviews, "reviewerID", "asin", "unixReviewTime", [item.item_id for item in items], RULES.unknown_items
    )
    built = build_sequences(
        interactions, np.ones(len(items), dtype=np.bool_), RULES, source_name=str(reviews_path), is_time=True
    )
    kept_items = tuple(item for item, keep in zip(items, built.is_item_kept, strict=True) if keep)
    return build_dataset(
        reviews_path.name.removesuffix(_REVIEWS_SUFFIX),
        kept_items,
        built.user_ids,
        built.sequences,
        days=built.days,
        rules=RULES,
        picture_origin=PictureOrigin(folder / "images", "file", np.full(len(kept_items), -1), "error"),
        progress=progress,
    )


def _category_files(folder: Path) -> tuple[Path, Path]:
    reviews = sorted(folder.glob(f"*{_REVIEWS_SUFFIX}"))
    if len(reviews) != 1:
        found = ", ".join(path.name for path in reviews) or "none"
        raise DatasetError(
            f"{folder}: expected one file *{_REVIEWS_SUFFIX}, found {found}; put each category into its own folder"
        )
    category = reviews[0].name.removesuffix(_REVIEWS_SUFFIX)
    meta = folder / f"meta_{category}.json.gz"
    if not meta.is_file():
        raise DatasetError(f"{meta} does not exist; download it beside {reviews[0].name}")
    return reviews[0], meta


def _pictures(folder: Path) -> dict[str, Path]:
    """Map ASIN to picture file; of several formats, the first in alphabetical order."""
    if not folder.is_dir():
        return {}
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in _PICTURE_SUFFIXES)
    return {path.stem: path for path in reversed(files)}


def _read_items(path: Path, wanted: set[str], pictures: Mapping[str, Path], progress: Progress) -> list[Item]:
    items: dict[str, Item] = {}
    num_records = 0
    for line_number, record in json_records(path, progress):
        num_records += 1
        asin = record.get("asin")
        if not isinstance(asin, str) or not asin:
            raise RowError(f"{path} row {line_number}, field 'asin': got {asin!r}, expected an id; download it again")
        if asin in wanted and asin not in items:
            try:
                check_item_id(asin)
            except ValueError as error:
                raise RowError(f"{path} row {line_number}, field 'asin': got {shown(asin)}, but {error}") from error
            items[asin] = _item(asin, record, pictures.get(asin))
    if num_records == 0:
        raise EmptyTableError(f"{path} has no lines, expected metadata of items; download it again")
    if not items:
        raise EmptyTableError(
            f"{path}: none of its {num_records:,} items is reviewed; download the metadata of the same category"
        )
    return list(items.values())


def _item(asin: str, record: Mapping[str, Any], picture: Path | None) -> Item:
    categories = [name for name in _texts(record.get("category")) if len(name) <= _LONGEST_CATEGORY]
    brand = " ".join(_texts(record.get("brand"))).removeprefix("by").strip()
    price = _text(record.get("price"))
    texts = {
        "title": _title(record.get("title")),
        "brand": brand,
        "categories": ", ".join(categories),
        "features": " ".join(_texts(record.get("feature"))),
        "description": " ".join(_texts(record.get("description"))),
    }
    attributes = {
        "brand": brand,
        "category": categories[-1] if categories else "",
        "price": price if _is_price(price) else "",
    }
    return Item(
        item_id=asin,
        texts={name: text for name, text in texts.items() if text},
        picture=picture,
        attributes={name: text for name, text in attributes.items() if text},
    )


def _is_price(text: str) -> bool:
    """Whether the text is a price or a span of prices; scraped pages have scripts there too."""
    return not any(map(math.isnan, map(number_in, text.split(" - "))))


def _title(value: object) -> str:
    title = _text(value)
    # Some scraped titles are the page's script.
    return "" if "getTime" in title or "aPageStart" in title else title


def _texts(value: object) -> list[str]:
    """Cleaned texts of a field that should be a list of texts or one text."""
    values = value if isinstance(value, list) else [value]
    return [text for text in map(_text, values) if text]


def _text(value: object) -> str:
    """Remove tags, entities, NULs and runs of white space; empty if the value is not text."""
    if not isinstance(value, str):
        return ""
    without_tags = _TAG.sub(" ", html.unescape(value))
    # A lone surrogate cannot be encoded as UTF-8.
    encodable = without_tags.replace("\0", " ").encode(errors="ignore").decode()
    return " ".join(encodable.split())
