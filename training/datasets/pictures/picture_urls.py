"""Urls in a column of pictures, and the files that `clairo-train fetch-pictures` keeps. Connects to nothing."""

import hashlib
import re
from pathlib import Path

FETCHED_FOLDER = "pictures"
_URLS = re.compile(r"https?://", re.IGNORECASE)
_BETWEEN = re.compile(r"[,|;\s]+(?=https?://)", re.IGNORECASE)


def first_url(cell: str) -> str | None:
    """The url in a cell, the first of several; None if it holds a path.

    >>> first_url(" https://shop.test/a,b.jpg, https://shop.test/c.jpg"), first_url("photos/c.jpg")
    ('https://shop.test/a,b.jpg', None)
    """
    text = cell.strip()
    return _BETWEEN.split(text, maxsplit=1)[0] if _URLS.match(text) else None


def fetched_picture(picture_folder: Path, url: str) -> Path:
    """Where the picture of a url is kept: named by the url's SHA-256, in `pictures/`."""
    return picture_folder / FETCHED_FOLDER / hashlib.sha256(url.encode()).hexdigest()
