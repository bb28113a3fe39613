"""Attributes have the type of their column or a declared one, alike in every format."""

import csv
import datetime
import json
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clairo_core.attributes import AttributeType
from clairo_core.errors import DatasetError, RowError
from clairo_core.values.missing import is_missing
from training.datasets import Dataset, load_dataset
from training.datasets.check import check_dataset
from training.datasets.dataset_toml import read_description
from training.datasets.init import write_description

TYPED = ("price", "sale", "since", "sizes", "kind", "note")
TYPES = """
[items.attribute_types]
price = "number"
sale = "boolean"
since = "date"
sizes = {type = "list", separator = "|"}
kind = "path"
"""
CSV = """item_id,title,price,sale,since,sizes,kind,note
a,Cup,"1.234,56 €",yes,31.05.2024,S | M,Home >Mugs,7
b,Jug,,false,2024-05-31T17:00:00Z,,Home,
"""


def load(folder: Path, items: str, types: str = "", attributes: str = "price sale since sizes kind note") -> Dataset:
    (folder / "interactions.csv").write_text("user_id,item_id,at\nann,a,1\nann,b,2\n")
    (folder / "dataset.toml").write_text(
        f'[items]\nfile = "{items}"\ntexts = ["title"]\nattributes = {json.dumps(attributes.split())}\n{types}\n'
        '[interactions]\nfile = "interactions.csv"\nposition = "at"\n'
    )
    return load_dataset(folder)


def test_declared_types_are_read_from_texts_and_the_rest_stays_text(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text(CSV)
    dataset = load(tmp_path, "items.csv", TYPES)
    assert [item.attributes for item in dataset.items] == [
        {
            "price": 1234.56,
            "sale": True,
            "since": "31.05.2024",
            "sizes": ("S", "M"),
            "kind": "Home > Mugs",
            "note": "7",
        },
        {"sale": False, "since": "2024-05-31T17:00:00Z", "kind": "Home"},
    ]
    assert dataset.attribute_types == {
        "price": AttributeType.NUMBER,
        "sale": AttributeType.BOOLEAN,
        "since": AttributeType.DATE,
        "sizes": AttributeType.LIST,
        "kind": AttributeType.PATH,
    }


def test_without_declared_types_a_table_of_texts_has_texts(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text(CSV)
    dataset = load(tmp_path, "items.csv")
    assert dataset.items[0].attributes["price"] == "1.234,56 €"
    assert dataset.attribute_types == {}


def test_values_of_json_keep_their_types(tmp_path: Path) -> None:
    records: list[dict[str, Any]] = [
        {"item_id": "a", "title": "Cup", "price": 7, "sale": True, "sizes": ["S", 40], "note": "x"},
        {"item_id": "b", "title": "Jug", "price": 7.5, "sale": None, "sizes": [], "note": 8.0},
    ]
    (tmp_path / "items.jsonl").write_text("\n".join(map(json.dumps, records)))
    dataset = load(tmp_path, "items.jsonl", attributes="price sale sizes note")
    assert [item.attributes for item in dataset.items] == [
        {"price": 7.0, "sale": True, "sizes": ("S", "40"), "note": "x"},
        {"price": 7.5, "note": "8"},
    ]
    assert "note" not in dataset.attribute_types, "texts and numbers are texts"


def test_values_of_parquet_keep_their_types(tmp_path: Path) -> None:
    at = datetime.datetime(2024, 5, 31, 17, tzinfo=datetime.timezone(datetime.timedelta(hours=2)))
    table = {
        "item_id": ["a", "b"],
        "title": ["Cup", "Jug"],
        "price": [Decimal("7.50"), None],
        "sale": [True, None],
        "day": [at.date(), None],
        "at": [at, None],
        "sizes": [["S"], None],
    }
    pq.write_table(pa.table(table), tmp_path / "items.parquet")
    dataset = load(tmp_path, "items.parquet", attributes="price sale day at sizes")
    assert dataset.items[0].attributes == {
        "price": 7.5,
        "sale": True,
        "day": "2024-05-31",
        "at": "2024-05-31T15:00:00Z",
        "sizes": ("S",),
    }
    assert dataset.items[1].attributes == {}
    assert dataset.attribute_types["day"] == dataset.attribute_types["at"] == AttributeType.DATE


def test_one_list_among_texts_makes_lists_and_of_several_paths_the_first_counts(tmp_path: Path) -> None:
    items = "".join(
        f"<item><item_id>{item_id}</item_id><title>x</title>{''.join(f'<kind>{kind}</kind>' for kind in kinds)}</item>"
        for item_id, kinds in (("a", ["Home &gt; Mugs", "Gifts"]), ("b", ["Home, Office"]))
    )
    (tmp_path / "items.xml").write_text(f"<rss>{items}</rss>")
    lists = load(tmp_path, "items.xml", attributes="kind")
    assert [item.attributes["kind"] for item in lists.items] == [("Home > Mugs", "Gifts"), ("Home, Office",)]
    paths = load(tmp_path, "items.xml", 'attribute_types = {kind = "path"}', attributes="kind")
    assert [item.attributes["kind"] for item in paths.items] == ["Home > Mugs", "Home, Office"]


def test_every_value_that_does_not_fit_its_type_is_named(tmp_path: Path) -> None:
    lines = ["item_id,title,price,sale", "a,Cup,cheap,true", "b,Jug,9,perhaps", "c,Hat,dear,no"]
    (tmp_path / "items.csv").write_text("\n".join(lines))
    types = 'attribute_types = {price = "number", sale = "boolean"}'
    with pytest.raises(RowError, match=r"items.csv row 2, field 'price': got 'cheap', expected a number; correct it"):
        load(tmp_path, "items.csv", types, attributes="price sale")
    found = {(fault.column, tuple(fault.rows.tolist())) for fault in check_dataset(tmp_path).faults}
    assert found >= {("price", (2, 4)), ("sale", (3,))}


@pytest.mark.parametrize(
    ("types", "problem"),
    [
        ('{cost = "number"}', "'cost', expected one of attributes: 'price'"),
        ('{price = "money"}', "'money', expected one of 'text', 'number', 'boolean', 'date', 'list', 'path'"),
        ('{price = {type = "number", separator = "|"}}', "expected a separator of a list"),
    ],
)
def test_a_wrong_type_is_refused_by_key(tmp_path: Path, types: str, problem: str) -> None:
    (tmp_path / "items.csv").write_text(CSV)
    with pytest.raises(DatasetError) as caught:
        load(tmp_path, "items.csv", f"attribute_types = {types}", attributes="price")
    assert problem in str(caught.value)
    assert "[items.attribute_types]" in str(caught.value)


TEXTS = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters='|">'), min_size=1, max_size=8)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "price": st.none() | st.floats(-1e9, 1e9),
            "sale": st.none() | st.booleans(),
            "since": st.none() | st.dates().map(str),
            "sizes": st.lists(TEXTS.filter(lambda text: not is_missing(text)), max_size=3),
            "kind": st.none() | st.sampled_from(["Home", "Home > Mugs"]),
            "note": st.none() | TEXTS.filter(lambda text: not is_missing(text)),
        }
    ),
    min_size=2,
    max_size=2,
)


@settings(deadline=None, max_examples=30)
@given(ROWS)
def test_typed_values_are_the_same_from_every_format(rows: list[dict[str, Any]]) -> None:
    rows = [{"item_id": item_id, "title": "x", **row} for item_id, row in zip("ab", rows, strict=True)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pq.write_table(pa.Table.from_pylist(rows), folder / "items.parquet")
        (folder / "items.jsonl").write_text("\n".join(map(json.dumps, rows)))
        with (folder / "items.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(row | {"sizes": "|".join(row["sizes"])} for row in rows)
        from_parquet, from_json, from_csv = (load(folder, f"items.{one}", TYPES) for one in ("parquet", "jsonl", "csv"))
    assert from_parquet.items == from_json.items == from_csv.items
    assert from_parquet.fingerprint == from_json.fingerprint == from_csv.fingerprint
    for item, row in zip(from_csv.items, rows, strict=True):
        expected = {name: tuple(value) if isinstance(value, list) else value for name, value in row.items()}
        assert item.attributes == {
            name: value for name, value in expected.items() if name in TYPED and value not in (None, ())
        }


def test_init_guesses_the_types_of_texts(tmp_path: Path) -> None:
    items = tmp_path / "items.csv"
    items.write_text(
        "sku,title,price,category,tags,color,year\n"
        'a,Cup,"9,90 €",Home > Mugs,"red, sale",Red,2019\nb,Jug,7,Home,new,Blue,\n'
    )
    events = tmp_path / "events.csv"
    events.write_text("user,sku,timestamp\nann,a,1700000000\n")
    written = write_description([items, events], tmp_path / "dataset.toml").path
    declared = read_description(written).items.attribute_types
    assert {name: str(one.type) for name, one in declared.items()} == {
        "price": "number",
        "tags": "list",
        "year": "number",
    }
    assert "# by their first values; others are text" in written.read_text()
