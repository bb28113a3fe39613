"""Turn the column that sorts interactions into days since 1970, where it holds times."""

import numpy as np
from jaxtyping import Float32, Float64, Int64

SECONDS_PER_DAY = 86_400.0
MAX_AHEAD_DAYS = 1 / 24
"""Clocks differ by less; a later event is ahead of the clock."""


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
    median = float(np.median(order)) if len(order) else 0.0
    if median < 1e8:
        return None
    per_second = 10.0 ** (3 * int((np.log10(median) - 8) // 3))
    return (order / (per_second * SECONDS_PER_DAY)).astype(np.float32)


def date_range(days: Float32[np.ndarray, "interaction"]) -> str:
    """The first and the last day, which show how numbers were read.

    >>> date_range(np.float32([19_875.7, 19_874.2]))
    '2024-05-31 to 2024-06-01'
    """
    first, last = (np.datetime64("1970-01-01") + int(np.floor(day)) for day in (days.min(), days.max()))
    return f"{first} to {last}"
