"""Turn the tables of interactions into user, item, time and type of every row.

No Python loop over rows: ten million take seconds. Parquet is read part by part, and no part's texts outlive it. Start
at `read_interactions`; `user_sequences` sorts the rows.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Float64, Int32, Int64

from clairo_core.errors import DatasetError
from clairo_core.events import InteractionRules
from clairo_core.progress import Progress, silent
from training.datasets.columns.arrow_columns import is_text, plain_column
from training.datasets.columns.value_columns import holds_numbers, id_column, order_column, user_id_column
from training.datasets.description import InteractionsDescription
from training.datasets.event_times import in_one_unit, unit_name
from training.datasets.event_types import NO_TYPE, RowTypes, read_types
from training.datasets.tables.column_kinds import ColumnKind
from training.datasets.tables.table_files import SourceTable, column_names, is_read_in_parts, table_parts
from training.datasets.tables.table_form import TableForm
from training.datasets.tables.table_source import TableFile
from training.datasets.user_numbers import UserNumbers
from training.datasets.user_sequences import Interactions


class PartReader(Protocol):
    """Takes the rows of one part of a table."""

    def __call__(self, part: SourceTable) -> None:
        """Read the part, or raise and leave everything as it was."""


class PartsReader(Protocol):
    """`read_parts`, or a reader that leaves out faulty rows."""

    def __call__(
        self,
        path: TableFile,
        kinds: dict[str, ColumnKind],
        read_part: PartReader,
        progress: Progress = silent,
        form: TableForm | None = None,
    ) -> None:
        """Give `read_part` the columns named in `kinds`, part by part."""


def read_parts(
    path: TableFile,
    kinds: dict[str, ColumnKind],
    read_part: PartReader,
    progress: Progress = silent,
    form: TableForm | None = None,
) -> None:
    """Give `read_part` all rows, part by part.

    Raises:
        DatasetError: as `table_parts` and `read_part`.
    """
    for part in table_parts(path, kinds, progress, form):
        read_part(part)


def read_interactions(
    tables: Sequence[InteractionsDescription],
    rules: InteractionRules,
    item_ids: Sequence[str],
    progress: Progress = silent,
    read: PartsReader = read_parts,
) -> Interactions:
    """Read all tables, one after another, and look up item rows.

    Raises:
        DatasetError: as `read_each`.
    """
    return joined(read_each(tables, rules, item_ids, progress, read))


def read_each(
    tables: Sequence[InteractionsDescription],
    rules: InteractionRules,
    item_ids: Sequence[str],
    progress: Progress = silent,
    read: PartsReader = read_parts,
) -> list[Interactions]:
    """Read every table with `read`, and look up item rows.

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
    names = pa.array(item_ids, pa.large_string())
    each = []
    for one in tables:
        table = _TableOfInteractions(one, rules, names, are_typed, rules.value_column if one in value_files else None)
        read(one.file, table.kinds, table.read_part, progress, one.form)
        each.append(table.take())
    return each


class _TableOfInteractions:
    """One table, gathered part by part: 16 bytes of each row, 20 with types, and every user's id once."""

    def __init__(
        self,
        described: InteractionsDescription,
        rules: InteractionRules,
        item_ids: pa.LargeStringArray,
        are_typed: bool,
        value_field: str | None,
    ) -> None:
        self._described, self._rules, self._item_ids = described, rules, item_ids
        self._are_typed, self._value_field = are_typed, value_field
        self.kinds: dict[str, ColumnKind] = {described.user_id: "id", described.item_id: "id", described.order: "order"}
        if described.type is not None:
            self.kinds.setdefault(described.type, "text")
        if value_field is not None:
            self.kinds.setdefault(value_field, "order")
        self._users = UserNumbers()
        self._items: list[Int32[np.ndarray, "row"]] = []
        self._times = _Times(described)
        self._types = _GatheredTypes()
        self._num_unmatched = self._num_unknown = 0
        self._ignored: Counter[str] = Counter()
        self._skipped: Counter[str] = Counter()

    def read_part(self, part: SourceTable) -> None:
        """Replace the ids of a part by numbers. Rows without a type are left out unread.

        Raises:
            RowError: a value is missing or of the wrong kind, or an item is unknown and may not be.
        """
        skipped, types = part.skipped, None
        ignored: dict[str, int] = {}
        num_unmatched = 0
        if self._are_typed:
            types = read_types(part, self._described.type, self._described.event, self._value_field, self._rules)
            ignored = {name: n for name, n in types.counts().items() if self._rules.of(name).meaning == "ignored"}
            has_type = types.without(ignored).codes != NO_TYPE
            num_unmatched = int(np.count_nonzero(~has_type)) - sum(ignored.values())
            types = RowTypes(types.names, types.codes[has_type])
            part = part if has_type.all() else part.taken(np.flatnonzero(has_type))
        if len(part):
            self._add(part, types)
        elif types is not None:
            self._types.add(types)
        self._num_unmatched += num_unmatched
        self._ignored.update(ignored)
        self._skipped.update(skipped)

    def _add(self, part: SourceTable, types: RowTypes | None) -> None:
        users = user_id_column(part, self._described.user_id)
        items = id_column(part, self._described.item_id)
        order = self._times.read(part)
        item_rows = pc.index_in(items, value_set=self._item_ids)
        is_known = pc.is_valid(item_rows).to_numpy(zero_copy_only=False)
        self._check_items(part, items, is_known)
        # All is read: a part that raises is given again, without its faulty rows.
        self._users.add(users.dictionary, users.indices.to_numpy()[is_known])
        self._items.append(item_rows.drop_null().to_numpy())
        self._times.add(part, order, is_known)
        if types is not None:
            self._types.add(RowTypes(types.names, types.codes[is_known]))
        self._num_unknown += int(np.count_nonzero(~is_known))

    def _check_items(self, part: SourceTable, items: pa.LargeStringArray, is_known: Bool[np.ndarray, "row"]) -> None:
        if is_known.all() or self._rules.unknown_items != "error":
            return
        unknown = np.flatnonzero(~is_known)
        raise part.error(
            unknown,
            self._described.item_id,
            f"item {items[int(unknown[0])].as_py()!r} is not in the items table; add it there, or set "
            'unknown_items = "drop" in [interactions]',
        )

    def take(self) -> Interactions:
        """All rows; once, as the parts are freed.

        Raises:
            RowError: a text is not a time.
        """
        user_ids, users = self._users.take()
        order, unit = self._times.take()
        return Interactions(
            user_ids=user_ids,
            users=users,
            items=_concatenated(self._items),
            order=order,
            type_names=tuple(self._types.names),
            types=_concatenated(self._types.codes) if self._are_typed else None,
            num_unmatched=self._num_unmatched,
            ignored=self._ignored,
            num_unknown=self._num_unknown,
            skipped=self._skipped,
            time_units=(unit,) if self._described.is_time and unit is not None else (),
        )


class _Times:
    """The column that sorts rows. Texts of all parts have one reading: they are kept, and parsed at the end."""

    def __init__(self, described: InteractionsDescription) -> None:
        self._described = described
        self._is_in_parts = is_read_in_parts(described.file, described.form)
        self._orders: list[np.ndarray] = []
        """Of texts: places in all of them."""
        self._texts: list[pa.LargeStringArray] = []
        self._numbers: list[Int64[np.ndarray, "row"]] = []
        self._num_texts = 0
        self._are_numbers: bool | None = None

    def read(self, part: SourceTable) -> np.ndarray:
        """The part's rows; raises as `order_column`."""
        column = plain_column(part, self._described.order)
        if self._is_in_parts and is_text(column.type):
            return np.arange(self._num_texts, self._num_texts + len(part))
        return order_column(part, self._described.order)

    def add(self, part: SourceTable, order: np.ndarray, is_known: Bool[np.ndarray, "row"]) -> None:
        """Keep the rows that `read` gave."""
        if self._are_numbers is None:
            self._are_numbers = holds_numbers(part, self._described.order)
        column = plain_column(part, self._described.order)
        if self._is_in_parts and is_text(column.type):
            self._texts.append(column)
            self._numbers.append(part.row_numbers(self._described.order))
            self._num_texts += len(part)
        self._orders.append(order[is_known])

    def take(self) -> tuple[Int64[np.ndarray, "row"] | Float64[np.ndarray, "row"], str | None]:
        """All rows, and the unit of numbers."""
        order = _concatenated(self._orders)
        if self._texts:
            name = self._described.order
            texts = pa.table({name: pa.chunked_array(self._texts)})
            self._texts.clear()
            source = SourceTable(
                self._described.file, texts, self._described.form, numbers=_concatenated(self._numbers)
            )
            order = order_column(source, name)[order]
        return order, unit_name(order) if self._are_numbers else None


class _GatheredTypes:
    """Types of rows, part by part."""

    def __init__(self) -> None:
        self.names: dict[str, int] = {}
        self.codes: list[Int32[np.ndarray, "row"]] = []

    def add(self, types: RowTypes) -> None:
        """Add a part's rows, all with a type."""
        places = [self.names.setdefault(name, len(self.names)) for name in types.names]
        self.codes.append(np.array(places, dtype=np.int32)[types.codes])


def _concatenated(parts: list[np.ndarray]) -> np.ndarray:
    """Join the parts and free them."""
    whole = np.concatenate(parts) if parts else np.zeros(0, dtype=np.int32)
    parts.clear()
    return whole


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


def joined(tables: Sequence[Interactions]) -> Interactions:
    """The rows of all tables, one after another."""
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
        num_unknown=sum(one.num_unknown for one in tables),
        skipped=sum((Counter(one.skipped) for one in tables), Counter()),
        time_units=tuple(dict.fromkeys(unit for one in tables for unit in one.time_units)),
    )


def _renumbered(table: Interactions, names: Sequence[str]) -> Int32[np.ndarray, "row"]:
    assert table.types is not None
    places = np.array([names.index(name) for name in table.type_names], dtype=np.int32)
    renumbered: Int32[np.ndarray, "row"] = places[table.types]
    return renumbered
