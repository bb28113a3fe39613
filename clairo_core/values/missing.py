"""Which values count as absent: the same in every file format and in the service."""

import math

NAN_TEXTS = frozenset({"nan", "NaN"})
"""Spellings of NaN by Python, NumPy, pandas and JavaScript, where a format has only text."""


def is_missing(value: str | float | None) -> bool:
    """Whether a value is null, NaN or blank, or NaN written as text.

    >>> [is_missing(value) for value in (None, math.nan, " ", "nan", "NAN", 0)]
    [True, True, True, True, False, False]
    """
    if isinstance(value, str):
        return not value.strip() or value in NAN_TEXTS
    return value is None or (isinstance(value, float) and math.isnan(value))
