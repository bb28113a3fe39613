"""Quotes in CSV: judged by each row alone, by Arrow's fast reader and the strict one alike."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clairo_core.errors import RowError
from training.datasets.tables.csv_files import quotes_enclose_values, read_csv, read_sound_csv
from training.datasets.tables.table_form import TableForm

# Rows that each have one meaning, and rows that have none.
READABLE = {'12" vinyl,b': ('12" vinyl', "b"), '"12"" vinyl",b': ('12" vinyl', "b"), '"a,b","c\nd"': ("a,b", "c\nd")}
WRONG = ['"12" vinyl,b', '"a"b,c', '"a" ,b']


def read(folder: Path, *rows: str) -> list[tuple[str, str]]:
    (folder / "t.csv").write_text("\n".join(["x,y", *rows, ""]), newline="")
    columns = read_csv(folder / "t.csv", ["x", "y"]).to_pydict()
    return list(zip(columns["x"], columns["y"], strict=True))


@pytest.mark.parametrize("beside", [[], ["p,q"], ['"p\nq",r'], ['"p",q', '"r"" s",t']])
def test_a_row_is_read_or_refused_whatever_the_other_rows_hold(tmp_path: Path, beside: list[str]) -> None:
    for row, values in READABLE.items():
        assert read(tmp_path, *beside, row)[-1] == values
        assert read(tmp_path, row, *beside)[0] == values
    for row in WRONG:
        for rows in ([row, *beside], [*beside, row]):
            with pytest.raises(RowError, match="is not CSV"):
                read(tmp_path, *rows)


@pytest.mark.parametrize("last", ['"a,b', 'a,"b', 'a,"b""', 'a,b\n"'])
def test_a_quote_that_never_closes_is_refused(tmp_path: Path, last: str) -> None:
    with pytest.raises(RowError, match="row"):
        read(tmp_path, "p,q", last)


texts = st.lists(st.sampled_from(["a", '"', '""', ",", "\n", "\r\n", " "]), max_size=12).map("".join)


@settings(max_examples=300, deadline=None)
@given(texts)
def test_arrow_and_the_strict_reader_agree_on_every_text(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "drawn.csv"
    path.write_text(f"x,y\n{text}", newline="")
    try:
        records = list(csv.reader(io.StringIO(f"x,y\n{text}", newline=""), strict=True))
        expected = [tuple(value or None for value in record) for record in records[1:] if record]
    except csv.Error:
        expected = None
    if expected is None or any(len(row) != 2 for row in expected):
        with pytest.raises(RowError):
            read_csv(path, ["x", "y"])
    else:
        columns = read_csv(path, ["x", "y"]).to_pydict()
        assert list(zip(columns["x"], columns["y"], strict=True)) == expected


@given(texts, st.integers(1, 5))
def test_quotes_are_judged_alike_in_blocks_of_any_size(
    tmp_path_factory: pytest.TempPathFactory, text: str, block_bytes: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "blocks.csv"
    path.write_text(text, newline="")
    assert quotes_enclose_values(path, block_bytes) == quotes_enclose_values(path)
    if quotes_enclose_values(path):
        list(csv.reader(io.StringIO(text, newline=""), strict=True))


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.sampled_from(["a,b", '"a, b",c', "a", "a,b,c", '"a"', "", '"a"b,c', '"p\nq",r']), min_size=1, max_size=9
    )
)
def test_lines_without_fault_are_read_as_if_each_stood_alone(
    tmp_path_factory: pytest.TempPathFactory, rows: list[str]
) -> None:
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    path.write_text("\n".join(["x,y", *rows, ""]), newline="")
    faults: list[RowError] = []
    table, lines = read_sound_csv(path, ["x", "y"], TableForm(), faults.append)
    expected, wrong, line = [], [], 2
    for row in rows:
        (record,) = list(csv.reader(io.StringIO(row))) if row else ([],)
        if row.startswith('"a"b') or len(record) not in (0, 2):
            wrong.append(line)
        elif record:
            expected.append((line, *record))
        line += 1 + row.count("\n")
    found = zip(lines.tolist(), table["x"].to_pylist(), table["y"].to_pylist(), strict=True)
    assert list(found) == [(line, x, y) for line, x, y in expected]
    assert sorted(row for fault in faults for row in fault.rows) == wrong
