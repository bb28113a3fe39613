"""The description of a dataset: its files, the meaning of their columns, and filters of rows. Reads no file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from clairo_core.attributes import AttributeType
from clairo_core.events import InteractionRules
from training.datasets.tables.table_form import TableForm
from training.datasets.tables.table_source import TableFile

OnBadPicture = Literal["error", "drop"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredType:
    """The type of an attribute, whatever the type of its column."""

    type: AttributeType
    separator: str = ","
    """Between the values of a list, where the column has text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemsDescription:
    """The table of items, and the treatment of items without a picture."""

    file: TableFile
    form: TableForm = field(default_factory=TableForm)
    item_id: str = "item_id"
    item_key: tuple[str, ...] = ()
    """Columns of further ids, such as SKUs, by which interactions may name an item."""
    group_variants: str | None = None
    """Column whose equal values make one item of several rows."""
    texts: tuple[str, ...] = ()
    """Text columns in reading order; the first is the title."""
    attributes: tuple[str, ...] = ()
    attribute_types: Mapping[str, DeclaredType] = field(default_factory=dict)
    """Others have the type of their column."""
    options: Mapping[str, str] = field(default_factory=dict)
    """Column of an attribute's name to column of its value, such as "Option1 Name" to "Option1 Value"."""
    picture: str | None = None
    picture_folder: Path
    """Base of relative picture paths."""
    vectors: Mapping[str, str] = field(default_factory=dict)
    """Modality name to column of lists of numbers."""
    unreadable_pictures: OnBadPicture = "error"
    only_with_picture: bool = False
    urls_are_optional: bool = False
    """Pictures by url that were not fetched count as missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PicturesDescription:
    """A separate table of picture bytes or paths, at most one row per item."""

    file: TableFile
    item_id: str = "item_id"
    items_column: str
    """Column of the items table that `item_id` refers to."""
    picture: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CodesDescription:
    """Precomputed codes, one row per item."""

    file: TableFile
    item_id: str = "item_id"
    items_column: str
    """Column of the items table that `item_id` refers to."""
    columns: tuple[str, ...] = ()
    """One column per codebook, or a single column of lists. Empty: codes are used only with dataset.code_columns."""
    sizes: tuple[int, ...] = ()
    """Size of every codebook; empty: the largest code that occurs, plus one."""
    unique: bool = False
    """No two items share all codes, and no collision index is added."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InteractionsDescription:
    """One table of interactions."""

    file: TableFile
    form: TableForm = field(default_factory=TableForm)
    user_id: str = "user_id"
    item_id: str = "item_id"
    order: str
    """Column of timestamps or positions."""
    is_time: bool = False
    """Whether it holds timestamps."""
    type: str | None = None
    """Column of event types."""
    event: str | None = None
    """The type of all rows; not both this and `type`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetDescription:
    """A dataset as two tables, with pictures and codes optionally in separate tables."""

    name: str
    items: ItemsDescription
    pictures: PicturesDescription | None = None
    codes: CodesDescription | None = None
    interactions: tuple[InteractionsDescription, ...]
    """Read in this order; rows equal in time keep it."""
    rules: InteractionRules = field(default_factory=InteractionRules)
