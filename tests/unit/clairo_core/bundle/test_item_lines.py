"""A bundle's items, read line by line: as saved, whole or in part, and their attributes as arrays."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clairo_core.attributes import Value, singles_of
from clairo_core.bundle.bundle_items import index_items, load_items, save_items
from clairo_core.bundle.item_lines import read_item_lines
from clairo_core.errors import BundleError
from clairo_core.items import Item
from clairo_core.selection.attribute_columns import AttributeColumns
from clairo_core.storage.array_folder import save_array_folder

TEXT = st.text(st.characters(codec=None), max_size=6)
VALUES = st.one_of(
    st.sampled_from(["", "mug", "1"]),
    TEXT,
    st.booleans(),
    st.sampled_from([0.0, 1.0, 2.5]),
    st.lists(st.sampled_from(["S", "M", "1"]), max_size=3).map(tuple),
)
ITEMS = st.lists(
    st.builds(
        Item,
        item_id=TEXT,
        texts=st.dictionaries(TEXT, TEXT, max_size=2),
        attributes=st.dictionaries(st.sampled_from(["kind", "size", "sale"]), VALUES, max_size=3),
    ),
    max_size=9,
)


def by_row(columns: AttributeColumns) -> dict[str, Counter[tuple[int, str]]]:
    """Rows and values of each attribute."""
    names = [name for name in ("kind", "size", "sale") if columns.find(name) is not None]
    found = {}
    for name in names:
        column = columns.find(name)
        assert column is not None
        found[name] = Counter((int(row), column.text_of(entry)) for entry, row in enumerate(column.rows))
    return found


@settings(max_examples=60, deadline=None)
@given(ITEMS, st.slices(9), st.booleans())
def test_items_are_read_as_they_were_saved(saved: list[Item], some: slice, is_indexed: bool) -> None:
    with TemporaryDirectory() as folder:
        save_items(Path(folder), saved)
        if is_indexed:
            index_items(Path(folder))
        items, _ = load_items(Path(folder))
    assert list(items) == saved
    assert [items[row] for row in range(len(items))] == saved
    assert list(items[some]) == saved[some]
    given_to: list[dict[str, Value]] = [{} for _ in saved]
    for name, of_name in items.attributes.items():
        for row, code in zip(of_name.rows.tolist(), of_name.codes.tolist(), strict=True):
            given_to[row][name] = of_name.values[code]
    assert list(map(typed, given_to)) == [typed(item.attributes) for item in saved]
    columns = AttributeColumns.of(items.attributes, len(items))
    one_by_one = AttributeColumns(item.attributes for item in saved)
    assert len(columns) == len(one_by_one)
    assert by_row(columns) == by_row(one_by_one)


def typed(attributes: Mapping[str, Value]) -> dict[str, tuple[type, Value]]:
    """In Python, 1.0 equals True."""
    return {name: (type(value), value) for name, value in attributes.items()}


def test_columns_made_at_once_grow_and_change_like_others(tmp_path: Path) -> None:
    saved = [Item(item_id=str(row), attributes={"size": ("S", "M")[: row % 3], "kind": "mug"}) for row in range(7)]
    save_items(tmp_path, saved)
    columns = AttributeColumns.of(load_items(tmp_path)[0].attributes, 7)
    columns.append({"kind": "lamp", "sale": True})
    columns.replace({2: (saved[2].attributes, {"kind": "lamp"}), 0: (saved[0].attributes, {})})
    attributes = [{}, saved[1].attributes, {"kind": "lamp"}, *(item.attributes for item in saved[3:])]
    assert by_row(columns) == by_row(AttributeColumns([*attributes, {"kind": "lamp", "sale": True}]))
    assert singles_of(saved[2].attributes["size"]) == ("S", "M")


def test_items_of_many_lines_are_read_together(tmp_path: Path) -> None:
    saved = [Item(item_id=str(row), texts={"title": f"title {row}"}) for row in range(2500)]
    save_items(tmp_path, saved)
    items, _ = load_items(tmp_path)
    assert list(items[1000:2400]) == saved[1000:2400]
    assert (items[-1], items[1024]) == (saved[-1], saved[1024])


@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
def test_lines_of_another_writer_are_read_too(tmp_path: Path, end: str) -> None:
    line = json.dumps({"attributes": {}, "texts": {}, "item_id": "ä"}, ensure_ascii=False, indent=None)
    (tmp_path / "items.jsonl").write_bytes(f"{line}\n {line}{end}".encode())
    assert [item.item_id for item in read_item_lines(tmp_path / "items.jsonl")] == ["ä", "ä"]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{",
        "7",
        '{"item_id": "a", "texts": {}}',
        '{"item_id": 7, "texts": {}, "attributes": {}}',
        '{"item_id": "a", "texts": [], "attributes": {}}',
        '{"item_id": "a", "texts": {}, "attributes": []}',
        '{"item_id": "a", "texts": {}, "attributes": {"n": NaN}}',
        '{"item_id": "a", "texts": {}, "attributes": {"n": null}}',
        '{"item_id": "a", "texts": {}, "attributes": {"n": [1]}}',
        '{"item_id": "a", "texts": {}, "attributes": {}}, {"item_id": "b", "texts": {}, "attributes": {}}',
    ],
)
def test_a_line_that_is_not_an_item_is_refused(tmp_path: Path, line: str) -> None:
    save_items(tmp_path, [Item(item_id="a")] * 2)
    with (tmp_path / "items.jsonl").open("a") as lines:
        lines.write(line + "\n")
    with pytest.raises(BundleError, match="items cannot be read"):
        load_items(tmp_path)


def test_indexed_lines_are_not_parsed_until_an_item_is_asked_for(tmp_path: Path) -> None:
    save_items(tmp_path, [Item(item_id="a", attributes={"kind": "mug"}), Item(item_id="b")])
    index_items(tmp_path)
    lines = tmp_path / "items.jsonl"
    lines.write_bytes(b"?" * lines.stat().st_size)
    items, _ = load_items(tmp_path)
    assert (len(items), items.attributes["kind"].values) == (2, ("mug",))


def test_lines_that_were_edited_are_read_without_their_index(tmp_path: Path) -> None:
    save_items(tmp_path, [Item(item_id="a"), Item(item_id="b")])
    index_items(tmp_path)
    lines = tmp_path / "items.jsonl"
    lines.write_text(lines.read_text().replace('"a"', '"longer"'))
    assert [item.item_id for item in load_items(tmp_path)[0]] == ["longer", "b"]


def test_a_damaged_index_is_refused(tmp_path: Path) -> None:
    save_items(tmp_path, [Item(item_id="a", attributes={"kind": "mug"}), Item(item_id="b")])
    index_items(tmp_path)
    starts = load_items(tmp_path)[0].starts
    folder, header = tmp_path / "lines", {"rows-0": np.array([0], np.int32), "codes-0": np.array([0], np.int32)}
    for values, code, words in ((b'{"kind": ["mug"]}', 1, "do not fit"), (b'{"kind": [null]}', 0, "cannot be read")):
        arrays = header | {"starts": starts, "codes-0": np.array([code], np.int32)}
        save_array_folder(folder, "items", "lines", arrays | {"values": np.frombuffer(values, dtype=np.uint8)})
        with pytest.raises(BundleError, match=words):
            load_items(tmp_path)
