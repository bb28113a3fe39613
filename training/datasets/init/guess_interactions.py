"""Guess what the columns of an interactions file mean, and which events it has. Start at `guess_interactions`."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from clairo_core.errors import RowError
from clairo_core.values.missing import is_missing
from training.datasets.columns.value_columns import order_column
from training.datasets.init.column_words import (
    ITEM_IDS,
    ORDERS,
    POSITIONS,
    RATINGS,
    TYPES,
    USERS,
    best_column,
    id_columns,
    matching_columns,
    time_column,
    weight_of,
    weights_of,
)
from training.datasets.init.file_sample import FileSample
from training.datasets.init.layouts import known_layout
from training.datasets.init.settings import TO_FILL_IN, Section
from training.datasets.tables.table_files import SourceTable

MOST_TYPES = 30
"""A column with more values is not one of types."""
_NAME_OF_WEIGHT = {1.0: "purchase", 0.5: "cart", 0.2: "view"}
_ITEM_WORDS = ("lineitem_sku", *ITEM_IDS)


@dataclass(frozen=True, slots=True)
class ItemLink:
    """Which column of interactions names items, and by which column of the items file."""

    column: str | None
    item_column: str | None
    """None if no value is in the items file."""
    found_share: float
    """Of the column's values that are in the items file's first rows."""


def link_items(interactions: FileSample, items: FileSample) -> ItemLink:
    """Find the pair of columns that share most values; names decide between equal ones."""
    layout = known_layout(interactions.columns)
    named = next((one.value for one in layout.settings if one.key == "item_id"), None) if layout else None
    candidates = (str(named),) if named else matching_columns(interactions.columns, _ITEM_WORDS)
    ids = matching_columns(items.columns, ("variant_sku", *ITEM_IDS))
    if not candidates or not ids:
        candidates, ids = candidates or id_columns(interactions.columns), ids or id_columns(items.columns)
    known = {column: set(items.texts(column)) for column in ids}
    best = ItemLink(candidates[0] if candidates else None, None, 0.0)
    for column in candidates:
        values = set(interactions.texts(column))
        for item_column, of_items in known.items():
            share = len(values & of_items) / max(len(values), 1)
            if share > best.found_share:
                best = ItemLink(column, item_column, share)
    return best


def guess_interactions(sample: FileSample, link: ItemLink, items_name: str) -> Section:
    """Make one [[interactions]] section, without what holds for all of them.

    Args:
        sample: of the file.
        link: its column of items.
        items_name: of the items file, for reasons.
    """
    section = Section("[[interactions]]")
    layout = known_layout(sample.columns)
    if layout is not None and not layout.is_items:
        layout.fill(section, sample.columns)
    else:
        _fill_by_names(section, sample, link, items_name)
    if link.column is not None and link.item_column is None:
        section.notes.append(f"no value of {link.column!r} is in the first rows of {items_name}: check item_id")
    timestamp = section.get("timestamp")
    if isinstance(timestamp, str) and timestamp != TO_FILL_IN:
        _note_unreadable_times(section, sample, timestamp)
    rating = best_column(sample.columns, RATINGS)
    if rating is not None:
        section.notes.append(
            f'{rating}: to learn what users like, declare in [events] liked = {{when = "{rating} >= 4"}} and '
            f'disliked = {{counts = "negative", when = "{rating} < 3"}}'
        )
    return section


def _fill_by_names(section: Section, sample: FileSample, link: ItemLink, items_name: str) -> None:
    columns = sample.columns
    user = best_column(columns, USERS)
    section.set("user_id", user or TO_FILL_IN, "" if user else "no column is named as a user")
    section.set("item_id", link.column or TO_FILL_IN, "" if link.column else "no column is named as an item")
    time, position = time_column(columns), best_column(columns, POSITIONS)
    if time is None and position is not None:
        section.set("position", position, "no column is named as a time")
    else:
        section.set("timestamp", time or TO_FILL_IN, "" if time else "no column is named as a time")
    section.set("type", _type_column(sample, {user, link.column, time}) or "")
    order = _order_column(sample, user) if user else None
    section.set("order_id", order or "", f"some rows leave {user} to the first row of their order")
    filled_by = ((user, order), (link.column, None))
    sparse = tuple(column for column, order in filled_by if column and _rows_without(sample, column, order))
    section.set("skip_without", sparse, "some rows have no value")
    if 0 < link.found_share < 1:
        missing = f"{1 - link.found_share:.0%} of the first items are not in {items_name}"
        section.set("unknown_items", "drop", missing)


def _order_column(sample: FileSample, user: str) -> str | None:
    """The column of orders that give their user to rows without one; None if there is none."""
    blank = _rows_without(sample, user)
    orders = matching_columns(sample.columns, ORDERS) if blank else ()
    return next((order for order in orders if _rows_without(sample, user, order) < blank), None)


def _rows_without(sample: FileSample, column: str, order: str | None = None) -> int:
    """How many rows have no value in a column, nor any row of their order."""
    blank = [row for row in sample.rows if is_missing(row.get(column))]
    if order is None:
        return len(blank)
    filled = {str(row.get(order)) for row in sample.rows if not is_missing(row.get(column))}
    return sum(is_missing(row.get(order)) or str(row[order]) not in filled for row in blank)


def _type_column(sample: FileSample, used: set[str | None]) -> str | None:
    for column in matching_columns(sample.columns, TYPES):
        events = set(sample.texts(column))
        if column not in used and 0 < len(events) <= MOST_TYPES and any(weight_of(one) != "ignored" for one in events):
            return column
    return None


def _note_unreadable_times(section: Section, sample: FileSample, column: str) -> None:
    texts = sample.texts(column)
    source = SourceTable(
        sample.path, pa.table({column: pa.array(texts, pa.large_string())}), numbers=np.arange(1, len(texts) + 1)
    )
    try:
        order_column(source, column)
    except RowError as error:
        section.notes.append(f"{column}: {error.problem}")
        section.notes.append('timestamp_format = "%d/%m/%Y %H:%M"')


def events_in(sample: FileSample, section: Section) -> Mapping[str, int]:
    """The types in the file's first rows, and how many of them; empty without a column of types."""
    column = section.get("type")
    if not isinstance(column, str):
        return {}
    item_id = str(section.get("item_id"))
    # Where an event has a list of items, those without items give no row.
    having = [row for row in sample.rows if "[]" not in item_id or row.get(item_id.split("[]", maxsplit=1)[0])]
    return Counter(str(row[column]).strip() for row in having if str(row.get(column) or "").strip())


def event_of_file(sample: FileSample) -> str:
    """The type of all rows of a file without a column of types, by its name."""
    weight = weight_of(sample.name)
    return _NAME_OF_WEIGHT.get(weight, "view") if isinstance(weight, float) else "view"


def events_section(counts: Mapping[str, int]) -> tuple[Section, tuple[str, ...]]:
    """Make the [events] section. Returns it with the types to learn and measure, none if all positive ones are."""
    section = Section("[events]", "weight of each type, or its meaning")
    weights = weights_of(counts)
    for name, weight in weights.items():
        section.set(name, weight, f"{counts[name]:,} of the first rows" if counts[name] else "")
    positive = [weight for weight in weights.values() if isinstance(weight, float)]
    heaviest = [name for name, weight in weights.items() if weight == max(positive, default=0.0)]
    return section, _targets(heaviest, positive)


def _targets(heaviest: Sequence[str], positive: Sequence[float]) -> tuple[str, ...]:
    return tuple(heaviest) if len(heaviest) < len(positive) else ()
