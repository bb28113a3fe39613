"""What a dataset consists of: which file and which column is what, and which rows count.

Knows names of files and columns; reads none of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

OnBadPicture = Literal["error", "drop"]
OnUnknownItem = Literal["error", "drop"]
OnRepeat = Literal["keep", "drop"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemsDescription:
    """The table of items, and what to do with those that lack a picture."""

    file: Path
    item_id: str = "item_id"
    texts: tuple[str, ...] = ()
    """Columns with words, in reading order; the first one is the title."""
    attributes: tuple[str, ...] = ()
    picture: str | None = None
    picture_folder: Path
    """What picture paths are relative to."""
    vectors: Mapping[str, str] = field(default_factory=dict)
    """Modality name -> column of lists of numbers."""
    unreadable_pictures: OnBadPicture = "error"
    only_with_picture: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PicturesDescription:
    """A table of its own for the pictures' bytes or paths, at most one row an item."""

    file: Path
    item_id: str = "item_id"
    items_column: str
    """The column of the items table that `item_id` refers to."""
    picture: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CodesDescription:
    """Precomputed codes, one row an item."""

    file: Path
    item_id: str = "item_id"
    items_column: str
    """The column of the items table that `item_id` refers to."""
    columns: tuple[str, ...] = ()
    """One column a codebook, or a single column of lists; none: the codes are there, but not used unless asked for."""
    sizes: tuple[int, ...] = ()
    """Codes of every codebook; empty: the largest code that occurs, plus one."""
    unique: bool = False
    """No two items share all codes, and no collision index is to be added."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InteractionsDescription:
    """The table of interactions, and which of them count."""

    file: Path
    user_id: str = "user_id"
    item_id: str = "item_id"
    order: str
    """Column of timestamps or positions."""
    min_interactions: int = 0
    unknown_items: OnUnknownItem = "error"
    repeats: OnRepeat = "keep"


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetDescription:
    """A dataset as two tables, perhaps with pictures and codes in tables of their own."""

    name: str
    items: ItemsDescription
    pictures: PicturesDescription | None = None
    codes: CodesDescription | None = None
    interactions: InteractionsDescription
