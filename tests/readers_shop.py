"""The files that README.md and docs/ name, small: data sets, bundles, a database, published codes.

Start at `write_readers_shop`.
"""

import csv
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.documented_blocks import documented
from tests.integration.training.pipeline.test_presets import SMALL, overrides_of
from tests.postgres_server import PostgresServer
from tests.running_service import drawn_picture
from tests.tiny import tiny_bundle
from training.baselines.counting_baselines import COUNTING_BASELINES
from training.config.load_preset import DEFAULT_PRESET
from training.demo_shop import write_demo_shop

NUM_ITEMS, NUM_USERS = 60, 80
SHARED_BEAUTY = Path("../shared/data/amazon2014_beauty")
ALL_QUICK = ",".join(("popularity", *COUNTING_BASELINES))
"""All baselines but the networks, which train for minutes; test_comparison.py has them with small budgets."""
FROM_SERVICE = "--data service"


def sized(words: Sequence[str]) -> list[str]:
    """A command of `clairo-train` with sizes in place of its defaults; what it sets itself comes later, and counts."""
    program, command, *flags = words
    sizes: list[str] = []
    if command == "demo-data":
        sizes = ["--items", str(NUM_ITEMS), "--users", str(NUM_USERS)]
    elif command == "fetch-pictures" and "--host" in flags:
        sizes = ["--private"]
    elif command == "compare":
        sizes = ["--baselines", "popularity", "--device", "cpu", "--resamples", "10", *_set(SMALL)]
        flags = [ALL_QUICK if flag == "all" else flag for flag in flags]
    elif command == "run":
        # Others have the sizes of the bundle that they start from.
        is_first = "--from" not in flags and FROM_SERVICE not in " ".join(flags)
        preset = flags[flags.index("--preset") + 1] if "--preset" in flags else DEFAULT_PRESET
        sizes = ["--device", "cpu", *(_set(overrides_of(preset)) if is_first else ())]
    return [program, command, *sizes, *flags]


def _set(overrides: Sequence[str]) -> list[str]:
    return [part for override in overrides for part in ("--set", override)]


def write_readers_shop(folder: Path) -> None:
    """Write all files but the bundles that training makes, into `folder` and beside it."""
    write_demo_shop(folder / "demo" / "shop", NUM_ITEMS, NUM_USERS)
    write_demo_shop(folder / "other" / "shop", NUM_ITEMS, NUM_USERS, seed=1)
    shutil.copytree(folder / "demo" / "shop", folder / "shop")
    tiny_bundle(folder / "bundles" / "demo")
    _write_own_tables(folder)
    _write_benchmark_folder(folder / SHARED_BEAUTY)


def _histories() -> list[tuple[str, int, int]]:
    """User, item and time in seconds: everybody goes on by one item a day."""
    start, day = 1_700_000_000, 86_400
    return [(f"user-{user}", (user + step) % 20, start + step * day) for user in range(20) for step in range(6)]


def _write_own_tables(folder: Path) -> None:
    products = [("sku", "name", "description", "price")]
    products += [(f"sku-{row}", f"Mug {row}", f"A mug that holds {row} cups.", f"{row + 5}.50") for row in range(20)]
    orders = [("order_id", "customer_id", "sku", "ordered_at")]
    orders += [(f"o-{row}", user, f"sku-{item}", str(at)) for row, (user, item, at) in enumerate(_histories())]
    for name, rows in (("products.csv", products), ("orders.csv", orders)):
        with (folder / name).open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(rows)


def _write_benchmark_folder(folder: Path) -> None:
    """Items with a title, and the codes of LETTER."""
    folder.mkdir(parents=True)
    ids = list(range(20))
    codes = np.random.default_rng(0).integers(8, size=(20, 4))
    users, items, times = zip(*_histories(), strict=True)
    parts = [{4: "valid", 5: "test"}.get(row % 6, "train") for row in range(len(items))]
    tables = {
        "items": {"item_idx": ids, "title": [f"Cream {row}" for row in ids]},
        "interactions": {"user_id": users, "item_idx": items, "position": times, "split": parts},
        "codes_letter": {"item_idx": ids} | {f"letter_{level}": codes[:, level] for level in range(4)},
    }
    for name, columns in tables.items():
        pq.write_table(pa.table(columns), folder / f"{name}.parquet")


def write_database(postgres: PostgresServer, folder: Path) -> str:
    """Make `folder` the data set of docs/datasets.md, SQL, with its tables in a new database. Returns its url."""
    url = postgres.new_database()
    name = url.partition("?")[0].rpartition("/")[2]
    products = ", ".join(f"('sku-{row}', 'Mug {row}', 'It holds {row} cups.', {row + 5}.5, true)" for row in range(20))
    rows = list(enumerate(_histories()))
    orders = ", ".join(f"({row}, '{user}', to_timestamp({at}))" for row, (user, _, at) in rows)
    lines = ", ".join(f"({row}, 'sku-{item}')" for row, (_, item, _) in rows)
    postgres.execute(
        "CREATE TABLE products (sku text, name text, story text, price numeric, active boolean);"
        "CREATE TABLE orders (order_id int, customer text, paid_at timestamptz);"
        "CREATE TABLE order_lines (order_id int, sku text);"
        f"INSERT INTO products VALUES {products}; INSERT INTO orders VALUES {orders};"
        f"INSERT INTO order_lines VALUES {lines};",
        name,
    )
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "dataset.toml").write_text(documented("[items]\nsql ="), encoding="utf-8")
    return url


def link_pictures(folder: Path, host: str, pictures: Path) -> None:
    """Make `folder` a data set whose pictures are urls of `host`, and lay them into `pictures`."""
    shutil.rmtree(folder)
    folder.mkdir()
    pictures.mkdir()
    for row in range(3):
        (pictures / f"{row}.png").write_bytes(drawn_picture(row))
    items = ["item_id,title,picture", *(f"item-{row},Mug {row},{host}/{row}.png" for row in range(3))]
    (folder / "items.csv").write_text("\n".join(items), encoding="utf-8")
    (folder / "orders.csv").write_text("user_id,item_id,position\nann,item-0,1\n", encoding="utf-8")
    (folder / "dataset.toml").write_text(
        '[items]\nfile = "items.csv"\ntexts = ["title"]\npicture = "picture"\n'
        '[interactions]\nfile = "orders.csv"\nposition = "position"\n',
        encoding="utf-8",
    )
