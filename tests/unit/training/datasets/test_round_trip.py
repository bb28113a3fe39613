"""The same tables give the same dataset in every format."""

import csv
import io
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clairo_core.values.ids import check_item_id, check_user_id
from clairo_core.values.missing import is_missing
from tests.packed import write_packed
from training.datasets import Dataset, load_dataset

words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)


def is_accepted_by(check: Callable[[str], str]) -> Callable[[str], bool]:
    def accepts(text: str) -> bool:
        try:
            return bool(check(text))
        except ValueError:
            return False

    return accepts


drawn_ids = st.one_of(words, st.sampled_from(["NA", "null", "1", "01", "1.0", " ", '"', "a,b", "a\nb", "a\rb"]))
ids = drawn_ids.filter(is_accepted_by(check_item_id))
user_ids = drawn_ids.filter(is_accepted_by(check_user_id))
numbers = st.integers(-(2**62), 2**62)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    item_ids = draw(st.lists(ids, min_size=1, max_size=6, unique=True))
    items = [
        {
            "id": item_id,
            "title": draw(st.none() | words),
            "price": draw(st.none() | numbers),
            "brand": draw(words),
            "code": draw(st.integers(0, 20)),
        }
        for item_id in item_ids
    ]
    interactions = st.fixed_dictionaries({"who": user_ids, "what": st.sampled_from(item_ids), "when": numbers})
    return items, draw(st.lists(interactions, min_size=1, max_size=20))


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    # Of two row groups, so that chunks have to be put together.
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=max(1, len(rows) // 2))


def write_csv(path: Path, rows: list[dict[str, Any]], separator: str = ",") -> None:
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, rows[0], delimiter=separator)
    writer.writeheader()
    writer.writerows(rows)
    write_packed(path, file.getvalue())


def write_tsv(path: Path, rows: list[dict[str, Any]]) -> None:
    write_csv(path, rows, "\t")


def write_semicolons(path: Path, rows: list[dict[str, Any]]) -> None:
    write_csv(path, rows, ";")


def write_array(path: Path, rows: list[dict[str, Any]]) -> None:
    write_packed(path, json.dumps(rows))


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    lines = [json.dumps(row, ensure_ascii=number % 2 == 0) for number, row in enumerate(rows)]
    path.write_text("\n\n".join(lines), encoding="utf-8", newline="\n")


WRITERS = {
    "parquet": write_parquet,
    "csv": write_csv,
    "jsonl": write_jsonl,
    "ndjson": write_jsonl,
    "tsv": write_tsv,
    "csv.zst": write_semicolons,
    "json": write_array,
    "json.gz": write_array,
}


def dataset_from(
    items_format: str, interactions_format: str, items: list[dict[str, Any]], interactions: list[dict[str, Any]]
) -> Dataset:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        WRITERS[items_format](folder / f"items.{items_format}", items)
        WRITERS[interactions_format](folder / f"interactions.{interactions_format}", interactions)
        (folder / "dataset.toml").write_text(
            f"""
            [items]
            file = "items.{items_format}"
            item_id = "id"
            texts = ["title", "brand"]
            attributes = ["price"]
            attribute_types = {{price = "number"}}
            codes = ["code"]
            [interactions]
            file = "interactions.{interactions_format}"
            user_id = "who"
            item_id = "what"
            timestamp = "when"
            """
        )
        return load_dataset(folder)


@settings(deadline=None, max_examples=60)  # three formats written and read take as long as the disk does
@given(tables())
def test_parquet_csv_and_json_lines_give_the_same_dataset(both):
    from_parquet = dataset_from("parquet", "csv", *both)
    from_csv = dataset_from("csv", "jsonl", *both)
    from_json = dataset_from("ndjson", "parquet", *both)
    assert from_parquet.items == from_csv.items == from_json.items
    assert from_parquet.user_ids == from_csv.user_ids == from_json.user_ids
    assert from_parquet.fingerprint == from_csv.fingerprint == from_json.fingerprint


@settings(deadline=None, max_examples=30)
@given(tables())
def test_arrays_tabs_semicolons_and_packed_files_give_the_same_dataset(both):
    expected = dataset_from("parquet", "parquet", *both).fingerprint
    assert dataset_from("tsv", "json", *both).fingerprint == expected
    assert dataset_from("json.gz", "csv.zst", *both).fingerprint == expected


@settings(deadline=None, max_examples=60)
@given(tables())
def test_items_keep_their_values_and_users_their_order_in_time(both):
    items, interactions = both
    dataset = dataset_from("parquet", "parquet", items, interactions)
    assert [item.item_id for item in dataset.items] == [row["id"] for row in items]
    assert [item.texts.get("brand", "") for item in dataset.items] == [
        "" if is_missing(row["brand"]) else row["brand"] for row in items
    ]
    assert dataset.user_ids == tuple(dict.fromkeys(row["who"] for row in interactions))
    for user, user_id in enumerate(dataset.user_ids):
        mine = {(row["when"], place): row["what"] for place, row in enumerate(interactions) if row["who"] == user_id}
        expected: dict[tuple[int, str], None] = {}
        for when, place in sorted(mine):
            expected.setdefault((when, mine[when, place]))
        assert [dataset.items[row].item_id for row in dataset.sequences[user]] == [what for _, what in expected]


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_csv_may_have_any_line_ends_and_a_byte_order_mark(tmp_path, ending, start):
    (tmp_path / "items.csv").write_text(
        start + ending.join(["item_id,title", "a,Red shoe", "", 'b,"Blue, flat shoe"', ""]), newline=""
    )
    (tmp_path / "interactions.csv").write_text(
        start + ending.join(["user_id,item_id,timestamp", "u,b,2", " u2,a,2", "u,a, 1"]), newline=""
    )
    (tmp_path / "dataset.toml").write_text(
        '[items]\nfile = "items.csv"\ntexts = ["title"]\n'
        '[interactions]\nfile = "interactions.csv"\ntimestamp = "timestamp"'
    )
    dataset = load_dataset(tmp_path)
    assert [item.title for item in dataset.items] == ["Red shoe", "Blue, flat shoe"]
    assert dataset.user_ids == ("u", " u2")
    assert dataset.sequences[0].tolist() == [0, 1]


def test_whole_numbers_and_text_are_the_same_ids(tmp_path):
    write_parquet(tmp_path / "items.parquet", [{"item_id": 7, "title": "x"}, {"item_id": 8, "title": "y"}])
    write_jsonl(
        tmp_path / "interactions.jsonl",
        [{"user_id": 1, "item_id": "8", "at": 1.5}, {"user_id": "1", "item_id": 7, "at": 1}],
    )
    (tmp_path / "dataset.toml").write_text(
        '[items]\nfile = "items.parquet"\ntexts = ["title"]\n'
        '[interactions]\nfile = "interactions.jsonl"\ntimestamp = "at"'
    )
    dataset = load_dataset(tmp_path)
    assert dataset.user_ids == ("1",)
    assert dataset.sequences[0].tolist() == [0, 1]
