"""Arrow's fast readers agree with the one rule of each kind of value, in clairo_core/values."""

import pyarrow as pa
from hypothesis import example, given
from hypothesis import strategies as st

from clairo_core.values.missing import is_missing
from clairo_core.values.times import microseconds_in
from training.datasets.columns.arrow_columns import without_missing_text

dates = st.sampled_from(["2024-05-31", "0001-01-01", "9999-12-31", "2024-02-30", "1969-12-31", "20240531"])
clocks = st.sampled_from(["", "T17", " 17:05", "t17:05:09", "T24:00", "T23:59:60", " 23:59:59", "T17:5"])
fractions = st.sampled_from(["", ".", ".5", ",5", ".123456", ".1234567", ".123456789"])
zones = st.sampled_from(["", "Z", "z", "+02", "-0530", "+14:00", "+24:00", "+01:60", " +02:00"])


@given(st.tuples(dates, clocks, fractions, zones).map("".join))
def test_a_time_that_arrow_reads_is_read_the_same_beside_one_that_it_does_not(text: str) -> None:
    for arrow_type in (pa.timestamp("us"), pa.timestamp("us", "UTC")):
        try:
            by_arrow = pa.array([text]).cast(arrow_type).cast(pa.int64())[0].as_py()
        except pa.ArrowInvalid:
            continue
        assert microseconds_in(text) == by_arrow


@given(st.lists(st.text(max_size=5) | st.text(" \t\u00a0\u2028\x1c\x85\u180e\ufeff", max_size=3)))
@example(["nan", "NaN", "NAN", "", " "])
def test_missing_texts_are_the_same_in_a_column(texts: list[str]) -> None:
    expected = [None if is_missing(text) else text for text in texts]
    assert without_missing_text(pa.array(texts, pa.large_string())).to_pylist() == expected
