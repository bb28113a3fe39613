"""Ask an Arrow column what it is, and name the row where it is not what was promised.

Knows Arrow's types; knows nothing of what a column is for.
"""

import pyarrow as pa
import pyarrow.compute as pc

from training.datasets.table_files import SourceTable


def plain_column(source: SourceTable, field: str) -> pa.Array:
    """A column as one array, without dictionary encoding, its text and bytes of the large kind."""
    column = source.table[field]
    arrow_type = column.type
    if pa.types.is_dictionary(arrow_type):
        arrow_type = arrow_type.value_type
    if pa.types.is_string(arrow_type) or pa.types.is_string_view(arrow_type):
        arrow_type = pa.large_string()
    if pa.types.is_binary(arrow_type) or pa.types.is_binary_view(arrow_type):
        # One array of the small kind ends at 2 GiB, and pictures get there.
        arrow_type = pa.large_binary()
    return column.cast(arrow_type).combine_chunks()


def is_text(arrow_type: pa.DataType) -> bool:
    """Whether a plain column is text."""
    return bool(pa.types.is_large_string(arrow_type))


def is_list(arrow_type: pa.DataType) -> bool:
    """Whether a column holds lists."""
    has_any_length = pa.types.is_list(arrow_type) or pa.types.is_large_list(arrow_type)
    return bool(has_any_length or pa.types.is_fixed_size_list(arrow_type))


def is_binary(arrow_type: pa.DataType) -> bool:
    """Whether a plain column holds bytes."""
    return bool(pa.types.is_large_binary(arrow_type) or pa.types.is_fixed_size_binary(arrow_type))


def refuse_where(source: SourceTable, field: str, is_wrong: pa.Array, problem: str) -> None:
    """Raise a `RowError` about the first row that is marked."""
    first = pc.index(is_wrong, True).as_py()
    if first >= 0:
        raise source.error(first, field, problem)


def safely_cast(source: SourceTable, field: str, column: pa.Array, arrow_type: pa.DataType) -> pa.Array:
    """Whole numbers of another type.

    Raises:
        RowError: at the first row that is no whole number of this type.
    """
    try:
        return column.cast(arrow_type)
    except pa.ArrowInvalid:
        row = first_unlike(column, arrow_type)
        problem = f"got {column[row].as_py()!r}, expected a whole number of at most 64 bits; correct it"
        raise source.error(row, field, problem) from None


def first_unlike(column: pa.Array, arrow_type: pa.DataType) -> int:
    """The first row that cannot be cast, by halving: Arrow says only that there is one."""
    good, bad = 0, len(column)
    while good < bad - 1:
        middle = (good + bad) // 2
        try:
            column.slice(good, middle - good).cast(arrow_type)
            good = middle
        except pa.ArrowInvalid:
            bad = middle
    return good
