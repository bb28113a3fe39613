"""Times as text: read alike by column and one by one, or refused with the setting that decides."""

import contextlib
import datetime
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clairo_core.errors import RowError
from clairo_core.values.times import moment_in
from training.datasets.columns import time_texts
from training.datasets.columns.value_columns import order_column
from training.datasets.tables.table_files import SourceTable
from training.datasets.tables.table_form import TableForm

FORMS = (
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%dT%H:%M:%S",
    "%Y/%m/%d %H:%M",
    "%Y-%m-%d",
    "%d.%m.%Y",
    "%d.%m.%Y %H:%M",
    "%d.%m.%Y, %H:%M:%S",
    "%d/%m/%Y %H:%M",
    "%m/%d/%Y %H:%M:%S",
    "%m/%d/%Y %I:%M %p",
    "%d-%m-%Y %H:%M",
    "%a, %d %b %Y %H:%M:%S",
    "%d %b %Y %H:%M:%S",
)
ZONES = ("", "Z", " UTC", " GMT", "+0200", " +0200", " -05:30")
DAY_13 = datetime.datetime(2024, 5, 13, 1, 2, 3)


def order_of(folder: Path, texts: list[str], timestamp_format: str | None = None) -> list[int]:
    (folder / "t.csv").write_text("at\n" + "".join(f'"{text}"\n' for text in texts))
    table = pa.table({"at": pa.array(texts, pa.large_string())})
    order: list[int] = order_column(
        SourceTable(folder / "t.csv", table, TableForm(timestamp_format=timestamp_format)), "at"
    ).tolist()
    return order


def microseconds(moment: datetime.datetime) -> int:
    return (moment - datetime.datetime(1970, 1, 1)) // datetime.timedelta(microseconds=1)


@pytest.mark.parametrize(
    "text",
    [
        "2024-05-31 17:02:11 +0200",
        "2024-05-31T17:02:11+02:00",
        "2024-05-31 15:02:11 UTC",
        "2024-05-31 15:02:11.000000 UTC",
        "2024-05-31T15:02:11Z",
        "2024/05/31 15:02:11",
        "31.05.2024 15:02:11",
        "31.5.2024, 15:02:11",
        "5/31/2024, 3:02:11 PM",
        "31/05/2024 15:02:11",
        "Fri, 31 May 2024 17:02:11 +0200",
        "31 May 2024 15:02:11 GMT",
    ],
)
def test_a_moment_is_read_from_every_common_form(tmp_path: Path, text: str) -> None:
    expected = microseconds(datetime.datetime(2024, 5, 31, 15, 2, 11))
    assert moment_in(text) == expected
    assert order_of(tmp_path, [text, text]) == [expected, expected]


@settings(deadline=None, max_examples=300)
@given(
    st.lists(st.datetimes(datetime.datetime(1900, 1, 1), datetime.datetime(2100, 1, 1)), max_size=3),
    st.sampled_from(FORMS),
    st.sampled_from(ZONES),
)
def test_a_column_is_read_as_its_texts_are_one_by_one(
    tmp_path_factory: pytest.TempPathFactory, moments: list[datetime.datetime], form: str, zone: str
) -> None:
    if "%b" in form:
        zone = zone if zone in (" GMT", " +0200") else ""
    # A day above 12 shows the order of day and month.
    texts = [moment.strftime(form) + (zone if "%H" in form else "") for moment in [DAY_13, *moments]]
    day_first = None if form.startswith("%Y") else form[1] != "m"
    expected = [moment_in(text, day_first=day_first) for text in texts]
    assert order_of(tmp_path_factory.getbasetemp(), texts) == expected
    if not zone:
        rounded = [datetime.datetime.strptime(text, form) for text in texts]
        assert expected == list(map(microseconds, rounded))


@given(st.text(alphabet="0123456789-/.,: TZ+APMuntcgm", max_size=24))
def test_any_text_is_a_moment_or_refused(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert isinstance(moment_in(text), int)


@pytest.mark.parametrize("mark", ["/", "-"])
def test_a_number_above_twelve_in_any_row_shows_which_is_the_day(tmp_path: Path, mark: str) -> None:
    third_of_april, fourth_of_march = (microseconds(datetime.datetime(2024, *day)) for day in ((4, 3), (3, 4)))
    text = f"03{mark}04{mark}2024"
    assert order_of(tmp_path, [text, f"31{mark}05{mark}2024"])[0] == third_of_april
    assert order_of(tmp_path, [text, f"05{mark}31{mark}2024"])[0] == fourth_of_march


def test_days_and_months_with_two_readings_are_refused_with_the_setting(tmp_path: Path) -> None:
    with pytest.raises(
        RowError, match=r"row 2, field 'at': got '03/04/2024', where .* two readings .*timestamp_format"
    ):
        order_of(tmp_path, ["03/04/2024", "05/06/2024"])
    with pytest.raises(RowError, match="row 3, field 'at': got '05/31/2024', with day and month in another order"):
        order_of(tmp_path, ["31/05/2024", "05/31/2024"])
    with pytest.raises(ValueError, match="expected a date with one reading"):
        moment_in("03/04/2024")
    assert order_of(tmp_path, ["03/04/2024"], "%d/%m/%Y") == [microseconds(datetime.datetime(2024, 4, 3))]
    assert order_of(tmp_path, ["03/04/2024"], "%m/%d/%Y") == [microseconds(datetime.datetime(2024, 3, 4))]


def test_a_declared_format_reads_what_it_says_and_nothing_else(tmp_path: Path) -> None:
    expected = microseconds(datetime.datetime(2024, 5, 31, 15, 2))
    assert order_of(tmp_path, ["20240531 1502"], "%Y%m%d %H%M") == [expected]
    assert order_of(tmp_path, ["20240531"], "%Y%m%d") == [microseconds(datetime.datetime(2024, 5, 31))]
    assert order_of(tmp_path, ["31 May 24 5:02 PM +0200"], "%d %b %y %I:%M %p %z") == [expected]
    for form, text in (("%d.%m.%Y", "2024-05-31"), ("%d.%m.%y %p", "31.05.24 XM"), ("%d.%m.%Y", "31.02.2024")):
        with pytest.raises(RowError, match=f"row 3, field 'at': got {text!r}, expected timestamp_format"):
            order_of(tmp_path, [datetime.datetime(2024, 5, 30).strftime(form), text], form)


def test_a_text_that_is_not_a_time_is_refused_by_row(tmp_path: Path) -> None:
    for text in ("yesterday", "31.02.2024", "13/13/2024", "5/31/2024 13:00 PM", "2024-05-31 25:00"):
        with pytest.raises(RowError, match="row 3, field 'at'"):
            order_of(tmp_path, ["13.05.2024 10:00", text])


@given(
    texts=st.lists(
        st.sampled_from(
            ["2024-05-13 01:02:03", "13.05.2024 01:02", "2024-05-13T01:02:03+02:00", "13 May 2024 01:02:03"]
        ),
        min_size=1,
        max_size=12,
    ),
    wrong=st.none() | st.integers(0, 11),
)
def test_a_column_read_in_parts_is_read_as_one_by_one(tmp_path_factory, texts, wrong):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time_texts, "_ROWS_PER_PART", 2)
        folder = tmp_path_factory.mktemp("times")
        if wrong is None or wrong >= len(texts):
            assert order_of(folder, texts) == [moment_in(text) for text in texts]
            return
        texts[wrong] = "noon"
        with pytest.raises(RowError, match=rf"row {wrong + 2}, field 'at': got 'noon'"):
            order_of(folder, texts)
