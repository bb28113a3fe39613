"""A .json file of one array is read element by element, whatever its spaces and the size of blocks."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clairo_core.errors import DatasetError, RowError
from training.datasets.tables import json_files
from training.datasets.tables.json_files import json_file_records

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_infinity=False, allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
records = st.lists(st.dictionaries(st.text(), values, max_size=3), max_size=5)


def read(path: Path, block: int) -> list[object]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_files, "_BLOCK_CHARACTERS", block)
        return [record for _, record in json_file_records(path)]


@settings(deadline=None)
@given(records, st.sampled_from([None, 1]), st.booleans(), st.integers(1, 9))
def test_an_array_gives_its_elements(
    tmp_path_factory: pytest.TempPathFactory, written: list[object], indent: int | None, ascii_only: bool, block: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "array.json"
    path.write_text(f" {json.dumps(written, indent=indent, ensure_ascii=ascii_only)}\n", encoding="utf-8")
    assert read(path, block) == written


@settings(deadline=None)
@given(records.filter(bool), st.data())
def test_an_array_that_is_cut_short_is_refused(
    tmp_path_factory: pytest.TempPathFactory, written: list[object], data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "cut.json"
    text = json.dumps(written)
    path.write_text(text[: data.draw(st.integers(1, len(text) - 1))])
    with pytest.raises(RowError, match="is not JSON"):
        read(path, 4)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('[{"a": 1}, 2]', r"row 2 is not JSON \(expected {\); it begins '2]'; write an array of objects"),
        ('[{"a": 1},]', "row 2 is not JSON"),
        ('[{"a": 1} {"a": 2}]', r"row 2 is not JSON \(expected , or \]\); it begins"),
        ('[{"a": 1}] x', "there is text after the array"),
        ('[{"a": Infinity}]', "row 1 is not JSON"),
        (b'[{"a": 1}, {"a": "\xff"}]', "the bytes are not UTF-8"),
    ],
)
def test_a_faulty_array_is_refused_by_row(tmp_path: Path, text: str | bytes, complaint: str) -> None:
    path = tmp_path / "array.json"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(RowError, match=complaint):
        read(path, 1000)


def test_json_lines_may_be_named_json(tmp_path: Path) -> None:
    path = tmp_path / "lines.json"
    path.write_text('\n{"a": [1]}\n{"a": 2}\n')
    assert list(json_file_records(path)) == [(2, {"a": [1]}), (3, {"a": 2})]


@pytest.mark.parametrize("name", ["array.json.gz", "array.json.zst"])
def test_a_damaged_packed_file_is_refused_by_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"[{}]")
    with pytest.raises(DatasetError, match=f"{name} is not a (gzip|Zstandard) file, or is damaged or cut short"):
        list(json_file_records(path))
