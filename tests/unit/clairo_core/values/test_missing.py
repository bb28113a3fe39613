"""Missing values."""

import math

import pytest

from clairo_core.values.missing import is_missing


@pytest.mark.parametrize("value", [None, math.nan, "", " \t\u00a0", "nan", "NaN"])
def test_a_null_a_nan_and_blank_text_are_missing(value: str | float | None) -> None:
    assert is_missing(value)


@pytest.mark.parametrize("value", [0, 0.0, -1, 10**400, math.inf, "0", "Nan", "nan bread", "None", "null"])
def test_every_other_value_is_present(value: str | float) -> None:
    assert not is_missing(value)
