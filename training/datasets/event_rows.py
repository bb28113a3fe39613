"""Turn a dataset's tables of interactions into one table of events, before any filter: what a service imports.

    user_id, item_id (dictionaries of text), type (text), timestamp (seconds since 1970), value (number or null)

Start at `read_events`.
"""

import contextlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Float64, Int64

from clairo_core.errors import DatasetError, MissingColumnError
from clairo_core.events import InteractionRules, is_type_name
from clairo_core.progress import Progress, silent
from clairo_core.storage.replaced_file import replaced_file
from training.datasets.columns.arrow_columns import is_text, plain_column, without_missing_text
from training.datasets.columns.value_columns import order_column, user_id_column
from training.datasets.description import DatasetDescription, InteractionsDescription
from training.datasets.event_times import units_per_second
from training.datasets.event_types import NO_TYPE, read_types
from training.datasets.items_table import read_items
from training.datasets.tables.column_kinds import ColumnKind
from training.datasets.tables.table_files import SourceTable, read_table

ROWS_AT_ONCE = 100_000
UNMATCHED = b"unmatched_rows"
"""Key of the table's metadata: the number of rows that no rule fits."""


def write_events(description: DatasetDescription, out: Path, progress: Progress = silent) -> int:
    """Write the events as a Parquet file, aside and then renamed. Return their number.

    Raises:
        DatasetError: as `read_events`; or the file cannot be written.
    """
    events = read_events(description, progress)
    try:
        with replaced_file(out) as aside:
            pq.write_table(events, aside, row_group_size=ROWS_AT_ONCE)
    except OSError as error:
        raise DatasetError(f"{out}: cannot be written ({error.strerror}); free space, or name another --out") from error
    return int(events.num_rows)


def read_events(description: DatasetDescription, progress: Progress = silent) -> pa.Table:
    """Read all tables of interactions; users in order of their ids, oldest events first, equal times in row order.

    Sorted because a database then fills its indexes in order. Rows that no rule fits are left out; the schema's
    metadata has their number.

    Raises:
        DatasetError: a table cannot be read; the text names file, row and field.
    """
    tables = [_events_of(table, description.rules, progress) for table in description.interactions]
    unmatched = sum(int((table.schema.metadata or {}).get(UNMATCHED, 0)) for table in tables)
    events = _by_item_id(pa.concat_tables(tables).unify_dictionaries(), description, progress)
    users = events["user_id"].cast(pa.large_string())
    # Arrow's sort is stable.
    order = pc.sort_indices(
        pa.table({"user_id": users, "timestamp": events["timestamp"]}),
        sort_keys=[("user_id", "ascending"), ("timestamp", "ascending")],
    )
    return events.take(order).replace_schema_metadata({UNMATCHED: str(unmatched)})


def _by_item_id(events: pa.Table, description: DatasetDescription, progress: Progress) -> pa.Table:
    """Replace other names of items, such as SKUs and variants, by their ids; unknown items keep theirs."""
    if not (description.items.item_key or description.items.group_variants):
        return events
    loaded = read_items(description, progress)
    names = pa.array(loaded.names.names, pa.large_string())
    ids = pa.array([item.item_id for item in loaded.items], pa.large_string()).take(pa.array(loaded.names.items))
    sent = events["item_id"].cast(pa.large_string())
    found = ids.take(pc.index_in(sent, value_set=names).combine_chunks())
    place = events.schema.get_field_index("item_id")
    return events.set_column(place, "item_id", pc.coalesce(found, sent.combine_chunks()))


def _events_of(table: InteractionsDescription, rules: InteractionRules, progress: Progress) -> pa.Table:
    kinds: dict[str, ColumnKind] = {table.user_id: "id", table.item_id: "id", table.order: "order"}
    if table.type is not None:
        kinds.setdefault(table.type, "text")
    source, value_field = _read(table, kinds, rules.value_column, progress)
    types = read_types(source, table.type, table.event, value_field, rules)
    for name in types.names:
        if not is_type_name(name):
            row = int(np.argmax(types.codes == types.names.index(name)))
            raise source.error(row, table.type or "event", f"got {name!r}, expected at most 64 printable characters")
    has_type = types.codes != NO_TYPE
    events = pa.table(
        {
            "user_id": user_id_column(source, table.user_id),
            # Ids of items follow the same rule where they need not be new.
            "item_id": user_id_column(source, table.item_id),
            "type": pa.array(types.names, pa.large_string()).take(pa.array(types.codes, mask=~has_type)),
            "timestamp": seconds_since_1970(order_column(source, table.order)),
            "value": pa.nulls(len(source), pa.float64()) if value_field is None else _numbers(source, value_field),
        }
    )
    unmatched = int(np.count_nonzero(~has_type))
    return events.filter(pa.array(has_type)).replace_schema_metadata({UNMATCHED: str(unmatched)})


def _read(
    table: InteractionsDescription, kinds: Mapping[str, ColumnKind], value_field: str | None, progress: Progress
) -> tuple[SourceTable, str | None]:
    """Read the table, with the column of conditions if it has that; one of several tables may lack it."""
    if value_field is not None:
        with contextlib.suppress(MissingColumnError):
            return read_table(table.file, {value_field: "order", **kinds}, progress, table.form), value_field
    return read_table(table.file, kinds, progress, table.form), None


def _numbers(source: SourceTable, field: str) -> pa.Array:
    """A column that `read_types` has checked, as numbers; missing ones are null."""
    column = plain_column(source, field)
    if is_text(column.type):
        column = without_missing_text(pc.utf8_trim_whitespace(column))
    return column.cast(pa.float64(), safe=False)


def seconds_since_1970(
    order: Int64[np.ndarray, "interaction"] | Float64[np.ndarray, "interaction"],
) -> Float64[np.ndarray, "interaction"]:
    """Times in seconds; positions become as many seconds after 1970, so that their order stays.

    >>> seconds_since_1970(np.array([1_700_000_000_500])).tolist(), seconds_since_1970(np.array([3, 1])).tolist()
    ([1700000000.5], [3.0, 1.0])
    """
    per_second = units_per_second(order)
    return order.astype(np.float64) if per_second is None else order / per_second
