"""Turn a SQL query into an Arrow table, batch by batch: no more than one is held as Python values, but for attributes.

The database's url is read from the environment, and its password never appears in an error. Start at `SqlQuery.read`.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from types import NoneType
from typing import Any, NamedTuple
from urllib.parse import quote, quote_plus
from uuid import UUID

import numpy as np
import pyarrow as pa
from jaxtyping import Int64
from sqlalchemy import URL, CursorResult, Engine, NullPool, create_engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from clairo_core.errors import DatasetError
from clairo_core.progress import Progress, silent
from clairo_core.values.ids import shown
from training.datasets.tables.column_kinds import (
    ColumnKind,
    attribute_array,
    check_column_names,
    inferred_array,
    joined_tables,
    value_as_text,
)
from training.datasets.tables.row_faults import field_fault

DEFAULT_URL_ENV = "CLAIRO_DATA_URL"
_ROWS_PER_BATCH = 10_000
_LONGEST_SHOWN = 40
_READ_ONLY = {"sqlite": "PRAGMA query_only = ON", "postgresql": "SET TRANSACTION READ ONLY"}
"""What makes the connection refuse writes. Elsewhere nothing is ever committed."""
_DRIVERS = {"postgres": "postgresql+psycopg", "postgresql": "postgresql+psycopg"}
_EXAMPLE = "postgresql+psycopg://USER:PASSWORD@HOST/DATABASE or sqlite:////PATH"


@dataclass(frozen=True, slots=True)
class SqlQuery:
    """A query whose result is a table; rows are numbered by position, from 1."""

    place: str
    """TOML and key, for errors."""
    sql: str
    url_env: str = DEFAULT_URL_ENV
    """Environment variable of the SQLAlchemy url."""

    def __str__(self) -> str:
        sql = " ".join(self.sql.split())
        return f"{self.place} ({sql if len(sql) <= _LONGEST_SHOWN else sql[:_LONGEST_SHOWN] + '...'})"

    def row_numbers(self, num_rows: int) -> Int64[np.ndarray, "row"]:
        """Positions in the result, from 1."""
        return np.arange(1, num_rows + 1)

    def column_names(self) -> tuple[str, ...]:
        """Run the query for its columns' names.

        Raises:
            DatasetError: as `read`.
        """
        with self._run() as result:
            return tuple(result.keys())

    def read(self, kinds: Mapping[str, ColumnKind], progress: Progress = silent) -> pa.Table:
        """Run the query and read some columns, in the database's order.

        Raises:
            MissingColumnError: a column is not in the result.
            RowError: a value is of the wrong kind.
            DatasetError: the variable is not set, or the database cannot be reached or refuses the query.
        """
        # Of items alone: their types show when all values are known.
        attributes: dict[str, list[Any]] = {name: [] for name, kind in kinds.items() if kind == "attribute"}
        columns = {name: _Column(kind) for name, kind in kinds.items() if name not in attributes}
        batches: list[pa.Table] = []
        num_rows = 0
        with self._run() as result:
            names = tuple(result.keys())
            check_column_names(self, names, kinds)
            places = {name: names.index(name) for name in kinds}
            for rows in progress(result.partitions(), f"reading {self.place}, {_ROWS_PER_BATCH:,} rows each", None):
                values = list(zip(*rows, strict=True))
                arrays = {}
                for name in kinds:
                    try:
                        if name in attributes:
                            attributes[name] += _attribute_values(values[places[name]])
                        else:
                            arrays[name] = columns[name].read(values[places[name]])
                    except _UnfitError as unfit:
                        row = num_rows + unfit.place + 1
                        raise field_fault(self, (row,), name, f"{unfit}; cast it in the query") from unfit.__cause__
                num_rows += len(rows)
                batches.append(pa.table(arrays))
        if not batches:
            return pa.table({name: pa.nulls(0) for name in kinds})
        gathered = joined_tables(batches)
        of_attributes = {name: attribute_array(values) for name, values in attributes.items()}
        return pa.table({name: of_attributes[name] if name in of_attributes else gathered[name] for name in kinds})

    @contextmanager
    def _run(self) -> Iterator[CursorResult]:
        url = self._url()
        engine = self._engine(url)
        try:
            with engine.connect() as connection:
                if engine.dialect.name in _READ_ONLY:
                    connection.exec_driver_sql(_READ_ONLY[engine.dialect.name])
                result = connection.exec_driver_sql(
                    self.sql,
                    # Without parameters, a % or a colon in the query is itself.
                    execution_options={"stream_results": True, "no_parameters": True},
                )
                if not result.returns_rows:
                    raise DatasetError(f"{self}: the statement returns no rows, expected a SELECT")
                yield result.yield_per(_ROWS_PER_BATCH)
        except SQLAlchemyError as error:
            cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
            problem = _without_secrets(" ".join(str(cause).split()), url)
            # The chain would show the url.
            raise DatasetError(
                f"{self}: {url.render_as_string(hide_password=True)} refused the query ({problem}); correct the query "
                f"or {self.url_env}"
            ) from None
        finally:
            engine.dispose()

    def _url(self) -> URL:
        text = os.environ.get(self.url_env, "")
        if not text:
            raise DatasetError(f"{self}: {self.url_env} is not set, expected the database's url; set it to {_EXAMPLE}")
        try:
            url = make_url(text)
        except ArgumentError:
            raise DatasetError(f"{self}: {self.url_env} is not a url, expected {_EXAMPLE}") from None
        url = url.set(drivername=_DRIVERS.get(url.drivername, url.drivername))
        is_file = url.get_backend_name() == "sqlite" and url.database and not url.database.startswith("file:")
        # SQLite would make an empty database.
        if is_file and not Path(str(url.database)).is_file():
            raise DatasetError(f"{self}: {url.database} does not exist; correct {self.url_env}")
        return url

    def _engine(self, url: URL) -> Engine:
        try:
            engine = create_engine(url, poolclass=NullPool)
        except (NoSuchModuleError, ModuleNotFoundError) as error:
            problem = _without_secrets(str(error), url)
            raise DatasetError(
                f"{self}: no driver for {url.drivername} ({problem}); install one, or correct {self.url_env}"
            ) from None
        if engine.dialect.is_async:
            raise DatasetError(f"{self}: {url.drivername} is an async driver, expected {_EXAMPLE}; set {self.url_env}")
        return engine


def _without_secrets(problem: str, url: URL) -> str:
    values = [url.password or ""]
    for name, value in url.query.items():
        if "password" in name.lower():
            values += [value] if isinstance(value, str) else value
    for secret in filter(None, map(str, values)):
        for written in {secret, quote(secret, safe=""), quote_plus(secret)}:
            problem = problem.replace(written, "***")
    return problem


class _UnfitError(Exception):
    """A value that its column cannot hold; `place` counts from 0 in the batch."""

    def __init__(self, place: int, problem: str) -> None:
        super().__init__(problem)
        self.place = place


Convert = Callable[[Any], Any]


class _Reading(NamedTuple):
    """Values of these types make up a column."""

    name: str
    converters: Mapping[type, Convert | None]
    """None keeps the value."""
    arrow_type: pa.DataType | None = None
    """None: inferred in each batch."""


def _number(value: Decimal) -> float:
    return int(value) if value == value.to_integral_value() else float(value)


def _digits(value: Decimal) -> str:
    return format(value, "f")


def _whole_digits(value: Decimal) -> str:
    if value != value.to_integral_value():
        raise ValueError("not a whole number")
    return str(int(value))


def _midnight(value: date) -> datetime:
    return datetime.combine(value, time())


_NUMBERS = _Reading("numbers", {int: None, float: None, Decimal: _number})
_TEXT = _Reading("text", {str: None}, pa.large_string())
# Arrow takes a time without zone for UTC, and converts the others.
_TIMES = _Reading("times", {datetime: None, date: _midnight}, pa.timestamp("us", "UTC"))
_READINGS: Mapping[ColumnKind, tuple[_Reading, ...]] = {
    "id": (
        _Reading("text or whole numbers", {str: None, int: str, UUID: str, Decimal: _whole_digits}, pa.large_string()),
    ),
    "order": (_NUMBERS, _TIMES, _TEXT),
    "numbers": (_NUMBERS, _Reading("lists of numbers", {list: None}, pa.list_(pa.float64()))),
    "picture": (_Reading("bytes", {bytes: None, memoryview: bytes}, pa.large_binary()), _TEXT),
    "text": (
        _Reading(
            "text, numbers, times or lists of them",
            dict.fromkeys((int, float, bool, list), value_as_text)
            | dict.fromkeys((datetime, date, time, UUID), str)
            | {str: None, Decimal: _digits},
            pa.large_string(),
        ),
    ),
}


_KEPT_AS_THEY_ARE: dict[type, Convert | None] = dict.fromkeys(
    (NoneType, str, int, float, bool, Decimal, datetime, date)
)
_ATTRIBUTES: Mapping[type, Convert | None] = _KEPT_AS_THEY_ARE | {
    time: str,
    UUID: str,
    list: lambda parts: list(map(value_as_text, parts)),
}


def _attribute_values(values: Sequence[Any]) -> list[Any]:
    converted = []
    for place, value in enumerate(values):
        try:
            convert = _ATTRIBUTES[type(value)]
            converted.append(value if convert is None else convert(value))
        except (KeyError, TypeError) as error:
            raise _unfit(place, value, "text, numbers, times or lists of them") from error
    return converted


class _Column:
    """One column, read batch by batch; its first value decides among the readings of its kind."""

    def __init__(self, kind: ColumnKind) -> None:
        self._readings = _READINGS[kind]
        self._chosen: _Reading | None = None

    def read(self, values: Sequence[Any]) -> pa.Array:
        """Convert one batch.

        Raises:
            _UnfitError: a value is of another type than the column.
        """
        types = set(map(type, values)) - {NoneType}
        if not types:
            return pa.nulls(len(values))
        if self._chosen is None:
            place = next(place for place, value in enumerate(values) if value is not None)
            fitting = (reading for reading in self._readings if type(values[place]) in reading.converters)
            self._chosen = next(fitting, None)
            if self._chosen is None:
                raise _unfit(place, values[place], " or ".join(reading.name for reading in self._readings))
        reading = self._chosen
        if not types <= reading.converters.keys():
            strange = types - reading.converters.keys()
            place = next(place for place, value in enumerate(values) if type(value) in strange)
            raise _unfit(place, values[place], reading.name)
        try:
            return _array(values, types, reading)
        except (pa.ArrowException, ValueError, TypeError, OverflowError):
            # Arrow does not name the value.
            for place, value in enumerate(values):
                try:
                    _array([value], {type(value)} - {NoneType}, reading)
                except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
                    raise _unfit(place, value, reading.name) from error
            raise


def _array(values: Sequence[Any], types: set[type], reading: _Reading) -> pa.Array:
    if any(reading.converters[one] for one in types):
        converters = {**reading.converters, NoneType: None}
        values = [value if (convert := converters[type(value)]) is None else convert(value) for value in values]
    return inferred_array(values) if reading.arrow_type is None else pa.array(values, reading.arrow_type)


def _unfit(place: int, value: Any, expected: str) -> _UnfitError:
    return _UnfitError(place, f"got {shown(str(value))} ({type(value).__name__}), expected {expected}")
