"""Turn the columns of a source table into attributes, each with a type, with errors that name the row.

Start at `attribute_column`. Independent of file formats.
"""

from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from clairo_core.attributes import AttributeType, Value, converted
from clairo_core.values.ids import shown
from training.datasets.columns.arrow_columns import is_list, plain_column, refuse_where
from training.datasets.columns.value_columns import list_column, text_column
from training.datasets.description import DeclaredType
from training.datasets.tables.table_files import SourceTable


def attribute_type(source: SourceTable, field: str, declared: DeclaredType | None = None) -> AttributeType:
    """The declared type of an attribute, else that of its column."""
    return _type_of_column(plain_column(source, field).type) if declared is None else declared.type


def attribute_column(source: SourceTable, field: str, declared: DeclaredType | None = None) -> list[Value | None]:
    """Read an attribute, in row order; missing values and empty lists are None.

    Args:
        source: with the column.
        field: of the column.
        declared: the attribute's type; None: that of the column, so that text stays text.

    Raises:
        RowError: names all rows whose values do not fit the declared type; also as `text_column`.
    """
    wanted = attribute_type(source, field, declared)
    found = _type_of_column(plain_column(source, field).type)
    is_date = found is AttributeType.DATE
    if wanted is AttributeType.TEXT and not is_date:
        return list(text_column(source, field))
    given = _values(source, field, found)
    if wanted is found or declared is None or (is_date and wanted is AttributeType.TEXT):
        return given
    values: list[Value | None] = []
    wrong: dict[int, str] = {}
    for row, value in enumerate(given):
        try:
            read = None if value is None else converted(value, wanted, separator=declared.separator)
            values.append(None if read == () else read)
        except ValueError as error:
            wrong[row] = str(error)
    if wrong:
        row, expected = next(iter(wrong.items()))
        problem = f"got {shown(str(given[row]))}, {expected}; correct it, or change its type in attribute_types"
        raise source.error(np.array(list(wrong)), field, problem)
    return values


def _type_of_column(column_type: pa.DataType) -> AttributeType:
    if pa.types.is_boolean(column_type):
        return AttributeType.BOOLEAN
    if pa.types.is_integer(column_type) or pa.types.is_floating(column_type) or pa.types.is_decimal(column_type):
        return AttributeType.NUMBER
    if pa.types.is_date(column_type) or pa.types.is_timestamp(column_type):
        return AttributeType.DATE
    return AttributeType.LIST if is_list(column_type) else AttributeType.TEXT


def _values(source: SourceTable, field: str, found: AttributeType) -> list[Value | None]:
    column = plain_column(source, field)
    match found:
        case AttributeType.BOOLEAN:
            return list(column.to_pylist())
        case AttributeType.NUMBER:
            numbers = column.cast(pa.float64(), safe=False)
            refuse_where(source, field, pc.is_inf(numbers), "the number is not finite; correct it")
            return list(numbers.to_pylist())
        case AttributeType.DATE:
            if pa.types.is_timestamp(column.type):
                column = column.cast(pa.timestamp("us", "UTC" if column.type.tz else None), safe=False)
            return [None if moment is None else _iso(moment) for moment in column.to_pylist()]
        case AttributeType.LIST:
            return [None if texts is None else tuple(texts) for texts in list_column(source, field)]
    return list(text_column(source, field))


def _iso(moment: date) -> str:
    """A date, or a date and time with Z if it has a zone.

    >>> _iso(date(2024, 5, 31)), _iso(datetime(2024, 5, 31, 17))
    ('2024-05-31', '2024-05-31T17:00:00')
    """
    return moment.isoformat().removesuffix("+00:00") + ("Z" if getattr(moment, "tzinfo", None) else "")
