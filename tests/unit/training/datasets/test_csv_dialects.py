"""CSV as programs write it: separators, encodings, packed."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clairo_core.errors import DatasetError, RowError
from tests.packed import write_packed
from training.datasets.tables.csv_files import csv_separator, read_csv
from training.datasets.tables.table_files import read_table
from training.datasets.tables.table_form import TableForm

ENCODINGS = ["utf-8", "utf-8-sig", "cp1252", "latin-1", "utf-16", "shift_jis"]
cells = st.text("aß;,\t|\"'\n é", max_size=6)


def write_table(path: Path, rows: list[list[str]], separator: str, encoding: str = "utf-8") -> None:
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=separator, lineterminator="\n").writerows(rows)
    write_packed(path, file.getvalue().encode(encoding, errors="replace"))


@settings(deadline=None)
@given(
    st.lists(st.tuples(cells, cells), min_size=1, max_size=5),
    st.sampled_from(",;\t|"),
    st.sampled_from(ENCODINGS),
    st.sampled_from([".csv", ".csv.gz", ".csv.zst"]),
)
def test_a_written_table_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], separator: str, encoding: str, suffix: str
) -> None:
    path = tmp_path_factory.getbasetemp() / f"drawn{suffix}"
    write_table(path, [["x, y", "z", "w"], *([*row, "w"] for row in rows)], separator, encoding)
    columns = read_csv(path, ["x, y", "z"], form=TableForm(encoding=encoding)).to_pydict()
    as_written = [[cell.encode(encoding, errors="replace").decode(encoding) for cell in row] for row in rows]
    assert [list(row) for row in zip(*columns.values(), strict=True)] == [
        [cell or None for cell in row] for row in as_written
    ]


@pytest.mark.parametrize(
    ("header", "separator"),
    [
        ("sku,name", ","),
        ("sku;name;price, gross", ";"),
        ("sku\tname", "\t"),
        ("sku|name", "|"),
        ('"a;b;c","d"', ","),
        ("sku", ","),
        ("sku,name;alias", ","),
        ("", ","),
        ("\n\nsku;name", ";"),
    ],
)
def test_the_header_shows_the_separator(tmp_path: Path, header: str, separator: str) -> None:
    (tmp_path / "t.csv").write_text(header)
    assert csv_separator(tmp_path / "t.csv") == separator


def test_a_separator_may_be_declared_and_a_tsv_has_tabs(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b^c\n1,2^3\n")
    assert read_csv(tmp_path / "t.csv", ["a,b"], form=TableForm(separator="^")).to_pydict() == {"a,b": ["1,2"]}
    (tmp_path / "t.tsv").write_text("a,b,d\tc\n1,2\t3\n")
    assert read_csv(tmp_path / "t.tsv", ["c"]).to_pydict() == {"c": ["3"]}


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
@pytest.mark.parametrize(("encoding", "shown"), [("utf-8", "UTF-8"), ("cp1252", "CP1252"), ("ascii", "ASCII")])
def test_another_encoding_is_refused_by_row_and_with_the_setting(
    tmp_path: Path, encoding: str, shown: str, suffix: str
) -> None:
    path = tmp_path / f"t{suffix}"
    write_packed(path, b"sku;name\n1;Tasse\n2;gr\x81\xfcn\n")
    with pytest.raises(RowError, match=rf"row 3, field 'name': the bytes are not {shown}; .* encoding = \"cp1252\""):
        read_table(path, {"sku": "id", "name": "text"}, form=TableForm(encoding=encoding))


def test_a_row_is_named_by_its_line_in_any_encoding(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes('sku;name\n1;"a\nb"\n2;c\n'.encode("utf-16"))
    source = read_table(path, {"sku": "id"}, form=TableForm(encoding="utf-16"))
    assert "row 4, field 'sku'" in str(source.error(1, "sku", "wrong"))


def test_a_ragged_line_names_its_separator(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a;b\n1;2;3\n")
    with pytest.raises(RowError, match=r"row 2 has 3 fields, .*quote values that contain semicolons"):
        read_csv(tmp_path / "t.csv", ["a"])


@pytest.mark.parametrize("name", ["t.csv.gz", "t.csv.zst"])
def test_a_cut_packed_table_is_refused_by_name(tmp_path: Path, name: str) -> None:
    write_packed(tmp_path / name, "a,b\n" + "1,2\n" * 100_000)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DatasetError, match=f"{name} is not a .* file, or is damaged or cut short"):
        read_csv(tmp_path / name, ["a"])


def test_only_csv_has_a_separator_or_an_encoding(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"a": 1}')
    for form in (TableForm(separator=";"), TableForm(encoding="cp1252")):
        with pytest.raises(DatasetError, match="which only CSV and TSV have; remove it"):
            read_table(tmp_path / "t.jsonl", {"a": "id"}, form=form)
