"""Several rows make one item: variants, their options, and keys by which interactions name the item."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clairo_core.errors import RowError
from training.datasets import Dataset, load_dataset

SHOP = """
[items]
file = "items.csv"
item_id = "Handle"
group_variants = "Handle"
item_key = "SKU"
texts = ["Title"]
attributes = ["Vendor", "Price"]
options = {"Name" = "Value"}
picture = "Image"
[interactions]
file = "orders.csv"
item_id = "SKU"
position = "at"
"""
HEADER = "Handle,Title,Vendor,Price,Name,Value,SKU,Image\n"
MUG = "mug,Mug,Fjord,9.90,Size,S,M-S,\nmug,,,12.50,,L,M-L,mug.png\nmug,,,,,,,side.png\n"
HAT = "hat,Hat,,5,Title,Default Title,H,\n"
ORDERS = "user_id,SKU,at\nann,M-L,1\nann,H,2\nbob,mug,1\n"


def load(folder: Path, items: str, orders: str = ORDERS, toml: str = SHOP) -> Dataset:
    for name, text in (("items.csv", items), ("orders.csv", orders), ("dataset.toml", toml), ("mug.png", "")):
        (folder / name).write_text(text)
    return load_dataset(folder)


def test_an_item_has_the_first_value_of_its_rows_and_all_options(tmp_path: Path) -> None:
    dataset = load(tmp_path, HEADER + MUG + HAT)
    mug, hat = dataset.items
    assert (mug.item_id, mug.title, mug.picture) == ("mug", "Mug", tmp_path / "mug.png")
    assert mug.attributes == {"Vendor": "Fjord", "Price": "9.90", "Size": ("S", "L")}
    assert hat.attributes == {"Price": "5"}


def test_interactions_name_an_item_by_its_id_or_by_any_key_of_its_rows(tmp_path: Path) -> None:
    dataset = load(tmp_path, HEADER + MUG + HAT)
    assert [rows.tolist() for rows in dataset.sequences] == [[0, 1], [0]]
    with pytest.raises(RowError, match=r"orders.csv row 2, field 'SKU': item 'M-XL' is not in the items table"):
        load(tmp_path, HEADER + MUG + HAT, "user_id,SKU,at\nann,M-XL,1\n")


def test_a_key_of_two_items_is_refused_with_both(tmp_path: Path) -> None:
    with pytest.raises(
        RowError, match=r"items.csv row 6, field 'SKU': 'M-S' is a key of item 'cap' and of item 'mug', expected one"
    ):
        load(tmp_path, HEADER + MUG + HAT + "cap,Cap,,,,,M-S,\n")
    with pytest.raises(RowError, match="'hat' is a key of item 'cap' and of item 'hat'"):
        load(tmp_path, HEADER + HAT + "cap,Cap,,,,,hat,\n")


def test_a_missing_picture_is_refused_at_the_row_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(RowError, match=r"row 3, field 'Image': .*gone.png does not exist"):
        load(tmp_path, HEADER + MUG.replace("mug.png", "gone.png"))


def test_keys_go_without_grouping_too(tmp_path: Path) -> None:
    toml = SHOP.replace('group_variants = "Handle"', "").replace('item_key = "SKU"', 'item_key = ["SKU", "Title"]')
    dataset = load(tmp_path, HEADER + HAT, "user_id,SKU,at\nann,Hat,1\nann,H,2\nann,hat,3\n", toml)
    assert dataset.sequences[0].tolist() == [0, 0, 0]


def test_of_several_urls_the_first_is_the_picture(tmp_path: Path) -> None:
    toml = SHOP.replace('picture = "Image"', 'picture = "Image"\nunreadable_pictures = "error"')
    urls = '"https://a.example/w_1,h_2/1.jpg, https://a.example/2.jpg"'
    with pytest.raises(RowError) as caught:
        load(tmp_path, HEADER + f"hat,Hat,,5,,,H,{urls}\n", toml=toml)
    assert "h_2/1.jpg" in str(caught.value)
    assert "2.jpg" not in str(caught.value)


cells = st.sampled_from(["", "", "x", "y"])
rows = st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), cells, cells, cells), min_size=1, max_size=8)


@settings(deadline=None)
@given(rows)
def test_grouping_agrees_with_a_slow_twin(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[tuple[str, str, str, str]]
) -> None:
    folder = tmp_path_factory.getbasetemp() / "grouped"
    folder.mkdir(exist_ok=True)
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(HEADER.strip().split(","))
    writer.writerows([handle, title, vendor, "", "Size", value, "", ""] for handle, title, vendor, value in drawn)
    items = load(folder, file.getvalue(), f"user_id,SKU,at\nann,{drawn[0][0]},1\n").items
    assert [item.item_id for item in items] == list(dict.fromkeys(row[0] for row in drawn))
    for item in items:
        own = [row for row in drawn if row[0] == item.item_id]
        values = list(dict.fromkeys(row[3] for row in own if row[3]))
        expected = {
            "Title": next((row[1] for row in own if row[1]), None),
            "Vendor": next((row[2] for row in own if row[2]), None),
            "Size": tuple(values) or None,
        }
        assert {name: (item.texts | item.attributes).get(name) for name in expected} == expected
