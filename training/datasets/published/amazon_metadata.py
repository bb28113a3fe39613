"""Turn one item's metadata of Amazon Reviews into clean texts, attributes and the url of a picture, by column.

The fields were scraped: a malformed one counts as missing.
"""

import html
import math
import re
from collections.abc import Mapping
from typing import Any

from clairo_core.values.numbers import number_in
from training.datasets.pictures.picture_urls import first_url

TEXTS = ("title", "brand", "categories", "features", "description")
ATTRIBUTES = ("brand", "category", "price")
_LONGEST_CATEGORY = 60
"""Longer categories of 2018 are misplaced sentences of the description."""
_TAG = re.compile(r"<style.*?</style>|<script.*?</script>|<[^<>]*>", re.DOTALL | re.IGNORECASE)


def item_of_2014(record: Mapping[str, Any]) -> dict[str, str | None]:
    """Values by column. `categories` is a list of paths; the last name of the first path is the category."""
    value = record.get("categories")
    paths = [_texts(path) for path in value] if isinstance(value, list) else []
    names = list(dict.fromkeys(name for path in paths for name in path))
    return _item(record, record.get("brand"), names, (paths or [[]])[0], None, record.get("imUrl"))


def item_of_2018(record: Mapping[str, Any]) -> dict[str, str | None]:
    """Values by column."""
    categories = [name for name in _texts(record.get("category")) if len(name) <= _LONGEST_CATEGORY]
    pictures = record.get("imageURLHighRes") or record.get("imageURL") or [None]
    picture = pictures[0] if isinstance(pictures, list) else None
    return _item(record, record.get("brand"), categories, categories, record.get("feature"), picture)


def item_of_2023(record: Mapping[str, Any]) -> dict[str, str | None]:
    """Values by column. The store stands for the brand."""
    categories = _texts(record.get("categories"))
    path = categories or _texts(record.get("main_category"))
    pictures = record.get("images")
    first = pictures[0] if isinstance(pictures, list) and pictures else None
    picture = first.get("large") if isinstance(first, dict) else None
    return _item(record, record.get("store"), categories, path, record.get("features"), picture)


def _item(
    record: Mapping[str, Any],
    brand_value: object,
    categories: list[str],
    path: list[str],
    features: object,
    picture: object,
) -> dict[str, str | None]:
    brand = " ".join(_texts(brand_value)).removeprefix("by").strip()
    price = record.get("price")
    price_text = repr(price).removesuffix(".0") if type(price) in (int, float) else _text(price)
    values = {
        "title": _title(record.get("title")),
        "brand": brand,
        "categories": ", ".join(categories),
        "features": " ".join(_texts(features)),
        "description": " ".join(_texts(record.get("description"))),
        "category": path[-1] if path else "",
        "price": price_text if _is_price(price_text) else "",
        "picture": _text(picture) if first_url(_text(picture)) else "",
    }
    return {name: text or None for name, text in values.items()}


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
