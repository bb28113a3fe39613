"""All names by which interactions may refer to items: ids, and further keys such as SKUs. Start at `find_names`."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int32

from training.datasets.columns.value_columns import text_column
from training.datasets.tables.table_files import SourceTable


@dataclass(frozen=True, slots=True, eq=False)
class ItemNames:
    """Ids of all items in row order, then their other names."""

    names: tuple[str, ...]
    items: Int32[np.ndarray, "name"]
    """Row of the item that each name refers to."""


def find_names(
    source: SourceTable, fields: Sequence[str], members: Sequence[Sequence[int]], item_ids: Sequence[str]
) -> ItemNames:
    """Collect the values of some columns in every row of each item.

    Args:
        source: one or several rows per item.
        fields: columns of ids and keys; blank keys are no names.
        members: rows of each item.
        item_ids: of each item.

    Raises:
        RowError: a name refers to two items; the text has both.
    """
    item_of = {item_id: item for item, item_id in enumerate(item_ids)}
    columns = [(field, text_column(source, field)) for field in fields]
    for item, rows in enumerate(members):
        for field, values in columns:
            for row in rows:
                name = values[row]
                if name is not None and item_of.setdefault(name, item) != item:
                    raise source.error(
                        row,
                        field,
                        f"{name!r} is a key of item {item_ids[item]!r} and of item {item_ids[item_of[name]]!r}, "
                        "expected one; correct it, or name another column in item_key",
                    )
    return ItemNames(tuple(item_of), np.fromiter(item_of.values(), dtype=np.int32))
