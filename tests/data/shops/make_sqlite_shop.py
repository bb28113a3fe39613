"""Write sqlite/shop.sql, the database of a small shop as a script: python -m tests.data.shops.make_sqlite_shop.

40 products, 60 customers who each prefer one category, their orders, and the pages that they looked at.
"""

import datetime
import random
from collections.abc import Iterable, Sequence
from pathlib import Path

SCRIPT = Path(__file__).parent / "sqlite" / "shop.sql"
SCHEMA = """\
CREATE TABLE categories (category_id INTEGER PRIMARY KEY, name TEXT NOT NULL, parent_id INTEGER);
CREATE TABLE products (
  product_id INTEGER PRIMARY KEY, category_id INTEGER NOT NULL REFERENCES categories, name TEXT NOT NULL,
  description TEXT, price NUMERIC, is_active INTEGER NOT NULL
);
CREATE TABLE customers (customer_id INTEGER PRIMARY KEY, email TEXT NOT NULL);
CREATE TABLE orders (order_id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customers, paid_at TEXT);
CREATE TABLE order_lines (order_id INTEGER REFERENCES orders, product_id INTEGER REFERENCES products, quantity INTEGER);
CREATE TABLE page_views (customer_id INTEGER, product_id INTEGER, viewed_at TEXT NOT NULL);
"""
CATEGORIES = {
    "Mugs": ("mug", "holds tea"),
    "Shirts": ("shirt", "is woven from soft cotton"),
    "Lamps": ("lamp", "lights a desk"),
    "Shoes": ("shoe", "runs light on any path"),
}
COLOURS = ("Red", "Blue", "Green", "Grey", "White")
STYLES = ("Fjord", "Café")
FIRST_DAY = datetime.datetime(2024, 3, 1, 8, tzinfo=datetime.UTC)


def rows_by_table() -> dict[str, list[tuple[object, ...]]]:
    """The rows of every table, the same on every machine."""
    draw = random.Random(24)
    tables: dict[str, list[tuple[object, ...]]] = {
        "categories": [(1, "Home", None), (2, "Clothing", None)],
        "products": [],
        "customers": [(customer, f"customer{customer:02}@example.com") for customer in range(1, 61)],
        "orders": [],
        "order_lines": [],
        "page_views": [],
    }
    by_category: list[list[int]] = []
    for category, (name, (word, use)) in enumerate(CATEGORIES.items(), start=3):
        tables["categories"].append((category, name, 2 if name in ("Shirts", "Shoes") else 1))
        by_category.append([])
        for style in STYLES:
            for colour in COLOURS:
                product = 100 + len(tables["products"])
                title = f"{style} {word}, {colour.lower()}"
                story = f"<p>A {colour.lower()} {word} that {use}.</p>"
                price = draw.randrange(500, 20_000) / 100
                tables["products"].append((product, category, title, story, price, 1))
                by_category[-1].append(product)
    # No longer sold: the queries leave it out.
    tables["products"].append((999, 3, "Old mug", None, 1, 0))
    everything = [product for products in by_category for product in products]
    for customer in range(1, 61):
        liked = by_category[customer % len(by_category)]
        at = FIRST_DAY + datetime.timedelta(minutes=draw.randrange(60 * 24 * 30))
        for _ in range(draw.randrange(3, 6)):
            at += datetime.timedelta(minutes=draw.randrange(60, 60 * 24 * 9), seconds=draw.randrange(60))
            for _ in range(draw.randrange(1, 4)):
                seen = draw.choice(everything)
                viewed = at - datetime.timedelta(seconds=draw.randrange(10, 1800))
                tables["page_views"].append((customer, seen, f"{viewed:%Y-%m-%d %H:%M:%S}"))
            order = 5001 + len(tables["orders"])
            tables["orders"].append((order, customer, f"{at:%Y-%m-%d %H:%M:%S}"))
            bought = draw.sample(liked if draw.random() < 0.9 else everything, draw.randrange(1, 3))
            tables["order_lines"] += [(order, product, 1) for product in bought]
    # A basket that nobody paid.
    tables["orders"].append((5001 + len(tables["orders"]), 1, None))
    tables["order_lines"].append((tables["orders"][-1][0], 100, 1))
    return tables


def script(tables: dict[str, list[tuple[object, ...]]]) -> str:
    """SQL that makes the tables and fills them."""
    inserts = (f"INSERT INTO {name} VALUES\n" + ",\n".join(map(_row, rows)) + ";\n" for name, rows in tables.items())
    return "\n".join(["BEGIN;", SCHEMA, *inserts, "COMMIT;\n"])


def _row(values: Sequence[object]) -> str:
    return f"  ({', '.join(_literals(values))})"


def _literals(values: Iterable[object]) -> Iterable[str]:
    for value in values:
        if value is None:
            yield "NULL"
        elif isinstance(value, str):
            yield "'" + value.replace("'", "''") + "'"
        else:
            yield str(value)


if __name__ == "__main__":
    SCRIPT.write_text(script(rows_by_table()), encoding="utf-8")
