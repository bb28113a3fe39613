"""Turn the tables of interactions into user, item, time and type of every row.

No Python loop over rows: ten million take seconds. Start at `read_interactions`; `user_sequences` sorts the rows.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int32

from clairo_core.errors import DatasetError
from clairo_core.events import InteractionRules, OnUnknownItem
from clairo_core.progress import Progress, silent
from training.datasets.columns.value_columns import holds_numbers, id_column, order_column, user_id_column
from training.datasets.description import InteractionsDescription
from training.datasets.event_times import in_one_unit, unit_name
from training.datasets.event_types import NO_TYPE, RowTypes, read_types
from training.datasets.tables.column_kinds import ColumnKind
from training.datasets.tables.table_files import SourceTable, TableReader, column_names, read_table
from training.datasets.user_sequences import Interactions


def read_interactions(
    tables: Sequence[InteractionsDescription],
    rules: InteractionRules,
    item_ids: Sequence[str],
    progress: Progress = silent,
    read: TableReader = read_table,
) -> Interactions:
    """Read all tables with `read`, one after another, and look up item rows.

    Raises:
        DatasetError: see `read_table`; a RowError if an item is not in `item_ids`, or a type is not declared; also if
            some tables have timestamps and others positions.
    """
    if len({one.is_time for one in tables}) > 1:
        times, places = (next(str(one.file) for one in tables if one.is_time is wanted) for wanted in (True, False))
        raise DatasetError(
            f"{times} has timestamps, but {places} positions, which no order joins; name a timestamp column for both"
        )
    are_typed = bool(rules.types) or any(one.type is not None or one.event is not None for one in tables)
    if rules.targets and not are_typed:
        raise DatasetError(
            f"{tables[0].file}: targets are {', '.join(map(repr, rules.targets))}, but rows have no type; "
            "set type, the column of types, in [interactions]"
        )
    value_files = _with_values(tables, rules)
    return _joined(
        [_read_table(one, rules, item_ids, are_typed, one in value_files, progress, read) for one in tables],
    )


def find_interactions(
    source: SourceTable,
    user_field: str,
    item_field: str,
    order_field: str,
    item_ids: Sequence[str],
    unknown_items: OnUnknownItem,
    types: RowTypes | None = None,
    *,
    is_time: bool = False,
) -> Interactions:
    """Replace ids by row numbers. Rows without a type are left out unread.

    Raises:
        RowError: a value is missing or of the wrong kind, or an item is unknown and `unknown_items` is "error".
    """
    num_unmatched = 0
    if types is not None and (types.codes == NO_TYPE).any():
        has_type = types.codes != NO_TYPE
        num_unmatched = int(np.count_nonzero(~has_type))
        types = RowTypes(types.names, types.codes[has_type])
        source = source.taken(np.flatnonzero(has_type))
    user_column = user_id_column(source, user_field)
    item_column = id_column(source, item_field)
    order = order_column(source, order_field)
    unit = unit_name(order) if holds_numbers(source, order_field) else None
    item_rows = pc.index_in(item_column, value_set=pa.array(item_ids, pa.large_string()))
    is_known = pc.is_valid(item_rows).to_numpy(zero_copy_only=False)
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
        items=item_rows.drop_null().to_numpy(),
        order=order[is_known],
        type_names=() if types is None else types.names,
        types=None if types is None else types.codes[is_known],
        num_unmatched=num_unmatched,
        time_units=(unit,) if is_time and unit is not None else (),
    )


def _with_values(
    tables: Sequence[InteractionsDescription], rules: InteractionRules
) -> Sequence[InteractionsDescription]:
    """The tables to read conditions' column from. Where none has it, all of them: reading reports what is missing."""
    column = rules.value_column
    if column is None:
        return ()
    having = [one for one in tables if _needs_values(one, rules) or column in column_names(one.file, one.form)]
    return having or tables


def _needs_values(table: InteractionsDescription, rules: InteractionRules) -> bool:
    if table.event is not None:
        return rules.types[table.event].when is not None
    return table.type is None


def _read_table(
    described: InteractionsDescription,
    rules: InteractionRules,
    item_ids: Sequence[str],
    are_typed: bool,
    has_values: bool,
    progress: Progress,
    read: TableReader,
) -> Interactions:
    kinds: dict[str, ColumnKind] = {described.user_id: "id", described.item_id: "id", described.order: "order"}
    if described.type is not None:
        kinds.setdefault(described.type, "text")
    value_field = rules.value_column if has_values else None
    if value_field is not None:
        kinds.setdefault(value_field, "order")
    source = read(described.file, kinds, progress, described.form)
    find = partial(
        find_interactions,
        source,
        described.user_id,
        described.item_id,
        described.order,
        item_ids,
        rules.unknown_items,
        is_time=described.is_time,
    )
    if not are_typed:
        return find()
    types = read_types(source, described.type, described.event, value_field, rules)
    ignored = {name: count for name, count in types.counts().items() if rules.of(name).meaning == "ignored"}
    found = find(types.without(ignored))
    return replace(found, num_unmatched=found.num_unmatched - sum(ignored.values()), ignored=ignored)


def _joined(tables: Sequence[Interactions]) -> Interactions:
    if len(tables) == 1:
        return tables[0]
    starts = np.cumsum([0, *(len(one.user_ids) for one in tables[:-1])])
    all_ids = pa.chunked_array([one.user_ids for one in tables], pa.large_string()).combine_chunks()
    of_all = all_ids.dictionary_encode()
    number_of: Int32[np.ndarray, "user"] = of_all.indices.to_numpy()
    names = tuple(dict.fromkeys(name for one in tables for name in one.type_names))
    return Interactions(
        user_ids=of_all.dictionary,
        users=np.concatenate([number_of[one.users + start] for one, start in zip(tables, starts, strict=True)]),
        items=np.concatenate([one.items for one in tables]),
        order=in_one_unit([one.order for one in tables]),
        type_names=names,
        types=np.concatenate([_renumbered(one, names) for one in tables]) if names else None,
        num_unmatched=sum(one.num_unmatched for one in tables),
        ignored=sum((Counter(one.ignored) for one in tables), Counter()),
        time_units=tuple(dict.fromkeys(unit for one in tables for unit in one.time_units)),
    )


def _renumbered(table: Interactions, names: Sequence[str]) -> Int32[np.ndarray, "row"]:
    assert table.types is not None
    places = np.array([names.index(name) for name in table.type_names], dtype=np.int32)
    renumbered: Int32[np.ndarray, "row"] = places[table.types]
    return renumbered
