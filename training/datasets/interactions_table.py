"""Turn a table of interactions into one sequence of item rows per user, oldest first.

No Python loop over rows: ten million take seconds. Start at `read_interactions`, then `build_sequences`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Float32, Float64, Int32, Int64

from clairo_core.errors import EmptyTableError
from clairo_core.events import InteractionRules, OnRepeat, OnUnknownItem
from clairo_core.progress import Progress, silent
from clairo_core.sequences import ItemSequences
from training.datasets.columns import id_column, order_column, user_id_column
from training.datasets.description import InteractionsDescription
from training.datasets.event_times import days_since_1970
from training.datasets.k_core import k_core
from training.datasets.table_files import SourceTable, TableReader, read_table


@dataclass(frozen=True, slots=True, eq=False)
class Interactions:
    """User, item and time of each interaction, in the source's row order."""

    user_ids: pa.LargeStringArray
    """In order of first occurrence."""
    users: Int32[np.ndarray, "interaction"]
    items: Int32[np.ndarray, "interaction"]
    order: Int64[np.ndarray, "interaction"] | Float64[np.ndarray, "interaction"]


class Sequences(NamedTuple):
    """Users' interactions in order of time."""

    user_ids: tuple[str, ...]
    sequences: ItemSequences
    """Rows of the kept items."""
    days: Float32[np.ndarray, "interaction"] | None
    """Of `sequences.items`, since 1970; None without times."""
    is_item_kept: Bool[np.ndarray, "item"]


def read_interactions(
    description: InteractionsDescription,
    rules: InteractionRules,
    item_ids: Sequence[str],
    progress: Progress = silent,
    read: TableReader = read_table,
) -> Interactions:
    """Read the table with `read`, and look up item rows.

    Raises:
        DatasetError: see `read_table`; also a RowError if an item is not in `item_ids`.
    """
    source = read(
        description.file,
        {description.user_id: "id", description.item_id: "id", description.order: "order"},
        progress,
    )
    return find_interactions(
        source, description.user_id, description.item_id, description.order, item_ids, rules.unknown_items
    )


def find_interactions(
    source: SourceTable,
    user_field: str,
    item_field: str,
    order_field: str,
    item_ids: Sequence[str],
    unknown_items: OnUnknownItem,
) -> Interactions:
    """Replace ids by row numbers.

    Raises:
        RowError: a value is missing or of the wrong kind, or an item is unknown and `unknown_items` is "error".
    """
    user_column = user_id_column(source, user_field)
    item_column = id_column(source, item_field)
    order = order_column(source, order_field)
    rows = pc.index_in(item_column, value_set=pa.array(item_ids, pa.large_string()))
    is_known = pc.is_valid(rows).to_numpy(zero_copy_only=False)
    if not is_known.all() and unknown_items == "error":
        unknown = np.flatnonzero(~is_known)
        first = int(unknown[0])
        raise source.error(
            unknown,
            item_field,
            f"item {item_column[first].as_py()!r} is not in the items table; add it there, or set "
            'unknown_items = "drop" in [interactions]',
        )
    return Interactions(
        user_ids=user_column.dictionary,
        users=user_column.indices.to_numpy()[is_known],
        items=rows.drop_null().to_numpy(),
        order=order[is_known],
    )


def build_sequences(
    interactions: Interactions,
    is_item_wanted: Bool[np.ndarray, "item"],
    *,
    min_interactions: int,
    repeats: OnRepeat,
    source_name: str,
    is_time: bool,
) -> "Sequences":
    """Sort by user and time, without duplicates and, with `min_interactions`, without rare users and items.

    Rows equal in user, item and time count once; row order breaks ties in time. Users keep their order of first
    occurrence. With `min_interactions` 0, items without interactions are kept.

    Raises:
        EmptyTableError: no interaction is left.
    """
    users, items, order = interactions.users, interactions.items, interactions.order
    kept = np.flatnonzero(is_item_wanted[items])
    kept = kept[_is_first(users[kept], items[kept], order[kept], same_time=True)]
    if repeats == "drop":
        kept = kept[_is_first(users[kept], items[kept], order[kept], same_time=False)]
    is_item_kept = is_item_wanted
    if min_interactions > 0:
        kept = kept[k_core(users[kept], items[kept], min_interactions)]
        is_item_kept = np.zeros_like(is_item_wanted)
        is_item_kept[items[kept]] = True
    if kept.size == 0:
        raise EmptyTableError(
            f"{source_name}: none of {len(users):,} interactions with known items is left after filtering items and "
            f"requiring {min_interactions} interactions per user and item; lower min_interactions"
        )
    by_user_and_time = kept[np.lexsort((order[kept], users[kept]))]
    user_rows, lengths = np.unique(users[kept], return_counts=True)
    new_item_rows = (np.cumsum(is_item_kept) - 1).astype(np.int32)
    sequences = ItemSequences.from_lengths(new_item_rows[items[by_user_and_time]], lengths)
    return Sequences(
        tuple(interactions.user_ids.take(pa.array(user_rows)).to_pylist()),
        sequences,
        days_since_1970(order[by_user_and_time]) if is_time else None,
        is_item_kept,
    )


def _is_first(
    users: np.ndarray, items: np.ndarray, order: np.ndarray, *, same_time: bool
) -> Bool[np.ndarray, "interaction"]:
    """Mark each user's first interaction with an item, or with `same_time` the first at each time."""
    pairs = users.astype(np.int64) * (int(items.max(initial=0)) + 1) + items
    by_pair = np.argsort(pairs, kind="stable")
    is_same_as_next = np.zeros(len(pairs) + 1, dtype=np.bool_)
    is_same_as_next[1:-1] = pairs[by_pair[1:]] == pairs[by_pair[:-1]]
    # Few pairs repeat, and only those need the slower sort by time.
    repeated = by_pair[is_same_as_next[1:] | is_same_as_next[:-1]]
    # Both sorts are stable: equal rows keep their order in the source.
    repeated = repeated[np.lexsort((order[repeated], pairs[repeated]))]
    is_later = pairs[repeated[1:]] == pairs[repeated[:-1]]
    if same_time:
        is_later &= order[repeated[1:]] == order[repeated[:-1]]
    is_first = np.ones(len(pairs), dtype=np.bool_)
    is_first[repeated[1:]] = ~is_later
    return is_first
