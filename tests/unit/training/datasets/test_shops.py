"""Small shops in the layouts of Shopify, WooCommerce, GA4 with Google Merchant, and a German CSV load without glue."""

import re
from pathlib import Path

import pytest

from tests.data.shops.make_shops import SHOPS, products, visits, write_shops
from tests.documented_blocks import DOCS, blocks_of
from tests.repository import REPOSITORY
from training.datasets import Dataset, load_dataset

FOLDER = REPOSITORY / "tests" / "data" / "shops"
IN_ORDERS = ["shopify", "woocommerce", "german_csv"]


@pytest.fixture(scope="module")
def shops() -> dict[str, Dataset]:
    return {name: load_dataset(FOLDER / name) for name in SHOPS}


def histories_of(dataset: Dataset) -> dict[str, list[int]]:
    """Products of each customer by their numbers: items are in the order of their products."""
    users = dict(zip(dataset.user_ids, dataset.sequences, strict=True))
    return {re.findall(r"\d\d\b", user)[-1]: rows.tolist() for user, rows in users.items()}


@pytest.mark.parametrize("name", SHOPS)
def test_every_shop_has_forty_products_and_sixty_customers(shops, name):
    assert len(shops[name].items) == 40
    assert len(shops[name].user_ids) == 60
    assert shops[name].modalities == ("text",)


@pytest.mark.parametrize("name", IN_ORDERS)
def test_histories_are_the_orders_of_each_customer_oldest_first(shops, name):
    expected: dict[str, list[int]] = {}
    for number, basket in enumerate(visits(), start=1001):
        # Shopify's orders at a till have no customer.
        if name != "shopify" or number % 40:
            for event in basket:
                expected.setdefault(f"{event.customer:02}", []).append(event.product.number)
    assert histories_of(shops[name]) == expected


def test_a_shopify_product_is_one_item_with_its_variants_as_options(shops):
    item = shops["shopify"].items[1]
    assert item.item_id == "fjord-mug-blue"
    assert item.texts == {"Title": "Fjord mug blue", "Body (HTML)": products()[1].html}
    assert item.attributes == {
        "Vendor": "Fjord",
        "Type": "Mugs",
        "Product Category": "Home > Kitchen > Mugs",
        "Tags": ("Blue", "sale"),
        "Variant Price": products()[1].price,
        "Status": "active",
        "Size": ("Small", "Large"),
    }
    # "Title: Default Title" is not an option.
    assert "Title" not in shops["shopify"].items[0].attributes


def test_a_woocommerce_variation_belongs_to_the_parent_that_it_names_by_sku_or_id(shops):
    for item in shops["woocommerce"].items[:2]:
        assert item.title in {"Fjord mug red", "Fjord mug blue"}
        assert item.attributes["Size"] == ("Small", "Large")
        assert item.attributes["Categories"][0] == "Home > Kitchen > Mugs"
        assert item.attributes["Categories"][1].startswith("Gifts > ")
        assert item.attributes["Regular price"] > 0


def test_a_ga4_event_counts_for_each_of_its_items(shops):
    # On `main`, views and purchases alike; page views have no items.
    dataset = shops["ga4_merchant"]
    assert dataset.items[3].item_id == "SKU_3"
    assert dataset.items[3].attributes["product_type"] == "Home > Kitchen > Mugs"
    assert set(dataset.sequences.items.tolist()) == {event.product.number for basket in visits() for event in basket}


def test_a_german_csv_keeps_its_umlauts_prices_and_days(shops):
    dataset = shops["german_csv"]
    assert dataset.items[4].title == "Tasse Fjord, weiß"
    assert dataset.items[1].attributes["Preis"] == 1369.37
    first = visits()[0][0].at.replace(tzinfo=None)
    assert f"{first:%d.%m.%Y}" == "01.03.2024"
    assert int(dataset.days.min()) == (first.date() - first.date().replace(1970, 1, 1)).days


def test_the_tables_are_those_that_the_script_writes(tmp_path):
    write_shops(tmp_path)
    for path in tmp_path.rglob("*.*"):
        assert path.read_bytes() == (FOLDER / path.relative_to(tmp_path)).read_bytes()


@pytest.mark.parametrize("name", sorted(path.parent.name for path in FOLDER.glob("*/dataset.toml")))
def test_the_documented_block_of_a_layout_is_the_dataset_toml_of_its_shop(name):
    documented = {block.text.strip() for block in blocks_of(DOCS / "datasets.md", "toml")}
    assert Path(FOLDER / name / "dataset.toml").read_text(encoding="utf-8").strip() in documented
