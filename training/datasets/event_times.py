"""Turn columns that sort interactions into one unit, and into days since 1970 where they hold times."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, Float64, Int64

SECONDS_PER_DAY = 86_400.0
MAX_AHEAD_DAYS = 1 / 24
"""Clocks differ by less; a later event is ahead of the clock."""
_UNIT_NAMES = {1.0: "seconds", 1e3: "milliseconds", 1e6: "microseconds", 1e9: "nanoseconds"}
_MICROSECONDS = 10**6
"""Per second: the finest unit that two tables are brought to."""


def days_since_1970(
    order: Int64[np.ndarray, "interaction"] | Float64[np.ndarray, "interaction"],
) -> Float32[np.ndarray, "interaction"] | None:
    """Days with fractions, exact to minutes; None if the numbers are positions.

    Dates come in microseconds, numbers in the unit that puts their median between 1973 and 5138.

    >>> [float(days_since_1970(np.array([86_400 * 20_000 * unit]))[0]) for unit in (1, 10**3, 10**6, 10**9)]
    [20000.0, 20000.0, 20000.0, 20000.0]
    >>> days_since_1970(np.array([1, 2, 3])) is None
    True
    """
    per_second = units_per_second(order)
    return None if per_second is None else (order / (per_second * SECONDS_PER_DAY)).astype(np.float32)


def units_per_second(order: Int64[np.ndarray, "interaction"] | Float64[np.ndarray, "interaction"]) -> float | None:
    """1 for seconds, 1000 for milliseconds and so on, by the median; None if the numbers are positions."""
    median = float(np.median(order)) if len(order) else 0.0
    return None if median < 1e8 else 10.0 ** (3 * int((np.log10(median) - 8) // 3))


def unit_name(order: Int64[np.ndarray, "interaction"] | Float64[np.ndarray, "interaction"]) -> str | None:
    """The unit that numbers are read in; None if it has no name, or they are positions.

    >>> unit_name(np.array([1_700_000_000_500])), unit_name(np.array([1, 2]))
    ('milliseconds', None)
    """
    return _UNIT_NAMES.get(units_per_second(order) or 0.0)


def in_one_unit(
    orders: Sequence[Int64[np.ndarray, "_"] | Float64[np.ndarray, "_"]],
) -> Int64[np.ndarray, "interaction"] | Float64[np.ndarray, "interaction"]:
    """Join the times of several tables, in microseconds unless all have one unit, or are positions.

    >>> in_one_unit([np.array([1_700_000_000]), np.array([1_700_000_000_500])]).tolist()
    [1700000000000000, 1700000000500000]
    """
    units = [units_per_second(order) for order in orders]
    if len(set(units)) == 1:
        return np.concatenate(orders)
    return np.concatenate([_microseconds(order, unit or 1.0) for order, unit in zip(orders, units, strict=True)])


def _microseconds(
    order: Int64[np.ndarray, "_"] | Float64[np.ndarray, "_"], per_second: float
) -> Int64[np.ndarray, "_"] | Float64[np.ndarray, "_"]:
    if per_second > _MICROSECONDS:
        return order // int(per_second / _MICROSECONDS)
    factor = int(_MICROSECONDS / per_second)
    # A stray number beyond 64 bits stays the largest instead of wrapping around.
    largest = (2**63 - 1) // factor
    microseconds: np.ndarray = np.clip(order, -largest, largest) * factor
    return microseconds


def newest_second(days: Float32[np.ndarray, "interaction"], now: float) -> float:
    """The newest of some times that are not ahead of the clock, in seconds since 1970; `now` if all are.

    Rounded up to the next number of days.

    >>> 0 < newest_second(np.float32([19_875.5, 80_000.0]), now=1.9e9) - 19_875.5 * SECONDS_PER_DAY < 300
    True
    """
    in_time = days[days <= now / SECONDS_PER_DAY + MAX_AHEAD_DAYS]
    newest = np.nextafter(in_time.max(), np.float32(np.inf)) if len(in_time) else np.inf
    return min(float(newest) * SECONDS_PER_DAY, now)


def date_range(days: Float32[np.ndarray, "interaction"], units: Sequence[str] = ()) -> str:
    """The first and the last day, and the units that numbers were read in.

    >>> date_range(np.float32([19_875.7, 19_874.2]), ["milliseconds"])
    '2024-05-31 to 2024-06-01, timestamps in milliseconds'
    """
    first, last = (np.datetime64("1970-01-01") + int(np.floor(day)) for day in (days.min(), days.max()))
    in_units = f", timestamps in {' and '.join(units)}" if units else ""
    return f"{first} to {last}{in_units}"
