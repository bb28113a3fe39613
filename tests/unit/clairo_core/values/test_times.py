"""ISO 8601: worked examples, the inverse of printing, and refusals."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clairo_core.values.times import microseconds_in

SECOND = 10**6


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [
        ("1970-01-01", 0),
        ("1970-01-02 01", 90_000 * SECOND),
        ("1970-01-01T00:01", 60 * SECOND),
        ("1970-01-01 00:00:01Z", SECOND),
        ("1970-01-01t00:00:01z", SECOND),
        ("1970-01-01T00:00:00.1234567Z", 123_456),
        ("1970-01-01T00:00:00.123456789", 123_456),
        ("1970-01-01T00:00:00,5", 500_000),
        ("1970-01-01T01:30:00+0130", 0),
        ("1969-12-31T19:00:00-05", 0),
        ("1969-12-31T23:59:59.999999999Z", -1),
        ("0001-01-01", -62_135_596_800 * SECOND),
    ],
)
def test_a_date_and_time_is_this_many_microseconds(text: str, microseconds: int) -> None:
    assert microseconds_in(text) == microseconds


@given(
    st.datetimes(timezones=st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))),
    st.sampled_from("T "),
    st.sampled_from(["", "0", "123", "9" * 12]),
)
def test_a_printed_time_is_read_back_whatever_follows_the_sixth_digit(
    moment: datetime, separator: str, further: str
) -> None:
    text = moment.isoformat(separator, "microseconds")
    expected = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    assert microseconds_in(f"{text[:26]}{further}{text[26:]}") == expected


@pytest.mark.parametrize(
    "text",
    [
        *["", "now", "1700000000", "20240531", "2024-5-1", "2024-02-30", "2024-05-31T24:00", "2024-05-31T23:59:60"],
        *["0000-01-01", "2024-05-31T10:00.5", "2024-05-31T10:00:00.", "2024-05-31T10:00+24:00", "2024-05-31T10+01:60"],
        *["2024-05-31Z", "2024-05-31T10:00:00 +01:00", "٢٠٢٤-05-31", "2024-05-31\n"],
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^expected "):
        microseconds_in(text)


def test_a_zone_can_be_required() -> None:
    assert microseconds_in("1970-01-01T00:00Z", needs_zone=True) == 0
    for text in ("1970-01-01T00:00", "1970-01-01"):
        with pytest.raises(ValueError, match="17:00:00Z"):
            microseconds_in(text, needs_zone=True)
