"""Nested fields by path: rows of a list, elements by place or key, and refusals."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clairo_core.errors import DatasetError, EmptyTableError, MissingColumnError, RowError
from tests.packed import write_packed
from training.datasets.tables.field_paths import ABSENT, FieldPath, longest_lists, rows_of
from training.datasets.tables.table_files import column_names, read_table

PURCHASE = {
    "event_name": "purchase",
    "event_timestamp": "1709283374000000",
    "event_params": [
        {"key": "page_location", "value": {"string_value": "https://shop.example.com", "int_value": None}},
        {"key": "ga_session_id", "value": {"string_value": None, "int_value": "17"}},
    ],
    "user": {"id": "ann"},
    "items": [{"item_id": name, "price": price} for name, price in (("a", 1.5), ("b", 2.0), ("c", None))],
}
PAGE_VIEW = PURCHASE | {"event_name": "page_view", "items": []}
KINDS: dict[str, Any] = {
    "user.id": "id",
    "items[].item_id": "id",
    "event_timestamp": "order",
    "event_params[key=ga_session_id].value.int_value": "text",
    "items[].price": "numbers",
}
ROWS = {
    "user.id": ["ann"] * 6,
    "items[].item_id": ["a", "b", "c"] * 2,
    "event_timestamp": ["1709283374000000"] * 6,
    "event_params[key=ga_session_id].value.int_value": ["17"] * 6,
    "items[].price": [1.5, 2.0, None] * 2,
}
EVENTS = [PURCHASE, PAGE_VIEW, PURCHASE]


def write_events(path: Path, events: list[dict[str, Any]]) -> None:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(events), path)
    elif ".json." in f"{path.name}." and "array" in path.name:
        write_packed(path, json.dumps(events, indent=1))
    else:
        write_packed(path, "\n\n".join(map(json.dumps, events)))


@pytest.mark.parametrize(
    "name", ["e.jsonl", "e.json", "e.json.gz", "e.jsonl.zst", "array.json", "array.json.zst", "e.parquet"]
)
def test_an_event_with_three_items_gives_three_rows_in_every_format(tmp_path: Path, name: str) -> None:
    write_events(tmp_path / name, EVENTS)
    source = read_table(tmp_path / name, KINDS)
    assert source.table.to_pydict() == ROWS
    assert source.file_rows("user.id").tolist() == [0, 0, 0, 2, 2, 2]
    assert "items" in column_names(tmp_path / name)


@pytest.mark.parametrize(("name", "row"), [("e.jsonl", 5), ("array.json", 3), ("e.parquet", 3)])
def test_an_error_names_the_record_of_its_row(tmp_path: Path, name: str, row: int) -> None:
    write_events(tmp_path / name, EVENTS)
    source = read_table(tmp_path / name, KINDS)
    assert str(source.error(4, "items[].item_id", "wrong")).endswith(
        f"{name} row {row}, field 'items[].item_id': wrong"
    )


def test_a_table_of_nested_fields_alone_is_read(tmp_path: Path) -> None:
    for name in ("e.jsonl", "e.parquet"):
        write_events(tmp_path / name, EVENTS)
        assert read_table(tmp_path / name, {"items[].item_id": "id"}).table.num_rows == 6


def test_fields_of_two_lists_are_refused(tmp_path: Path) -> None:
    write_events(tmp_path / "e.jsonl", EVENTS)
    with pytest.raises(DatasetError, match=r"'event_params\[\].key' and 'items\[\].item_id' give rows by different"):
        read_table(tmp_path / "e.jsonl", {"items[].item_id": "id", "event_params[].key": "text"})


def test_a_path_that_no_record_has_is_refused_with_the_fields_that_there_are(tmp_path: Path) -> None:
    for name in ("e.jsonl", "array.json"):
        write_events(tmp_path / name, EVENTS)
        with pytest.raises(MissingColumnError, match=r"no column 'items\[\].sku'; the columns are 'event_name'"):
            read_table(tmp_path / name, {"items[].sku": "id"})


def test_events_without_any_item_are_no_rows(tmp_path: Path) -> None:
    write_events(tmp_path / "e.jsonl", [PAGE_VIEW])
    with pytest.raises((EmptyTableError, MissingColumnError)):
        read_table(tmp_path / "e.jsonl", {"items[].item_id": "id"})


def test_a_nested_value_of_the_wrong_kind_is_refused_by_row(tmp_path: Path) -> None:
    write_events(tmp_path / "e.jsonl", [PURCHASE, PURCHASE | {"items": [{"item_id": 1.5}]}])
    with pytest.raises(RowError, match=r"row 3, field 'items\[\].item_id': got 1.5, expected text or a whole number"):
        read_table(tmp_path / "e.jsonl", {"items[].item_id": "id"})


def test_a_field_of_this_very_name_comes_before_a_path(tmp_path: Path) -> None:
    record = {"user.id": "own", "user": {"id": "nested"}, "tags[]": "x", "a..b": "y"}
    for name in ("e.jsonl", "array.json", "e.parquet"):
        write_events(tmp_path / name, [record])
        read = read_table(tmp_path / name, {"user.id": "id", "tags[]": "text", "a..b": "text"}).table.to_pylist()
        assert read == [{"user.id": "own", "tags[]": "x", "a..b": "y"}]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("user.id", "ann"),
        ("items[1].item_id", "b"),
        ("items[9].item_id", ABSENT),
        ("items.item_id", ["a", "b", "c"]),
        ("items.price", [1.5, 2.0]),
        ("event_params[key=page_location].value.string_value", "https://shop.example.com"),
        ("event_params[key=gone].value", ABSENT),
        ("user.id.more", ABSENT),
        ("gone.id", ABSENT),
    ],
)
def test_a_path_reads_this_value(path: str, value: object) -> None:
    parsed = FieldPath.parse(path)
    assert parsed is not None
    assert parsed.value_in((PURCHASE,)) == value


@pytest.mark.parametrize(
    "text", ["plain", "", ".", "a.", ".a", "a..b", "a[", "a]", "a[]b", "[]", "a[=1]", "Body (HTML)"]
)
def test_other_text_is_not_a_path(text: str) -> None:
    assert FieldPath.parse(text) is None


@given(st.text())
def test_any_text_is_a_path_or_not(text: str) -> None:
    FieldPath.parse(text)


@given(st.lists(st.lists(st.integers(), max_size=3), max_size=4))
def test_lists_in_lists_give_one_row_per_innermost_element(orders: list[list[int]]) -> None:
    record = {"orders": [{"name": place, "lines": [{"sku": sku} for sku in skus]} for place, skus in enumerate(orders)]}
    paths = [FieldPath.parse(text) for text in ("orders[].lines[].sku", "orders[].name")]
    known = [path for path in paths if path is not None]
    rows = [tuple(path.value_in(row) for path in known) for row in rows_of(record, longest_lists(known))]
    assert rows == [(sku, place) for place, skus in enumerate(orders) for sku in skus]
