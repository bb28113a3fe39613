"""Write the demo shop, a synthetic dataset: products with pictures and texts, and shoppers with tastes.

Start at `write_demo_shop`. One seed determines the tables and the pixels on every machine.
"""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from clairo_core.errors import SettingsError
from clairo_core.progress import Progress, silent
from clairo_core.storage.replaced_file import replace_text, replaced_file
from training.demo_shop.product_pictures import encode_png, paint_picture
from training.demo_shop.products import Product, invent_products
from training.demo_shop.shoppers import Purchase, go_shopping
from training.demo_shop.words import write_words

DATASET_TOML = """\
name = "demo-shop"

[items]
file = "items.parquet"
item_id = "item_id"
texts = ["title", "description"]
picture = "picture"
attributes = ["category", "brand", "price"]

[interactions]
file = "interactions.parquet"
user_id = "user_id"
item_id = "item_id"
timestamp = "timestamp"
"""


def write_demo_shop(
    folder: Path, num_items: int = 1000, num_users: int = 3000, seed: int = 0, progress: Progress = silent
) -> Path:
    """Write items.parquet, interactions.parquet and dataset.toml into `folder`, created if missing.

    The same arguments give the same table values and picture pixels; a file's bytes may differ with the versions
    of Parquet and zlib. dataset.toml is written last: if it exists, the tables are complete.

    Returns:
        Path of dataset.toml, the `--data` of training.

    Raises:
        SettingsError: `num_items` or `num_users` is below 1.
    """
    if num_items < 1 or num_users < 1:
        raise SettingsError(
            f"got {num_items} items and {num_users} users for the demo shop; expected at least 1 of each"
        )
    folder.mkdir(parents=True, exist_ok=True)
    # One random stream each: a change to the words leaves looks and purchases unchanged.
    for_products, for_words, for_shoppers = (
        np.random.Generator(np.random.PCG64(stream)) for stream in np.random.SeedSequence(seed).spawn(3)
    )
    products = invent_products(num_items, for_products)
    words = [write_words(product, for_words) for product in products]
    pictures = [encode_png(paint_picture(product)) for product in progress(products, "drawing pictures", len(products))]
    purchases = go_shopping(products, num_users, for_shoppers)
    _write_table(folder / "items.parquet", _items_table(products, words, pictures))
    _write_table(folder / "interactions.parquet", _interactions_table(purchases))
    description = folder / "dataset.toml"
    replace_text(description, DATASET_TOML)
    return description


def _items_table(products: Sequence[Product], words: Sequence[tuple[str, str]], pictures: Sequence[bytes]) -> pa.Table:
    return pa.table(
        {
            "item_id": [product.item_id for product in products],
            "title": [title for title, _ in words],
            "description": [description for _, description in words],
            "category": [product.kind for product in products],
            "brand": [product.brand for product in products],
            "price": pa.array([Decimal(product.price_cents) / 100 for product in products], pa.decimal128(8, 2)),
            "picture": pa.array(pictures, pa.binary()),
        }
    )


def _interactions_table(purchases: Sequence[Purchase]) -> pa.Table:
    return pa.table(
        {
            "user_id": [purchase.user_id for purchase in purchases],
            "item_id": [purchase.item_id for purchase in purchases],
            "timestamp": pa.array([purchase.timestamp for purchase in purchases], pa.int64()),
        }
    )


def _write_table(path: Path, table: pa.Table) -> None:
    with replaced_file(path) as aside:
        pq.write_table(table, aside)
