"""The shop of tests/data/shops/sqlite as a database file."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.repository import REPOSITORY

SHOP = REPOSITORY / "tests" / "data" / "shops" / "sqlite"


def write_sqlite_shop(folder: Path) -> str:
    """Write shop.db and dataset.toml into the folder. Returns the value of CLAIRO_DATA_URL."""
    with closing(sqlite3.connect(folder / "shop.db")) as database:
        database.executescript((SHOP / "shop.sql").read_text(encoding="utf-8"))
    shutil.copy(SHOP / "dataset.toml", folder)
    return f"sqlite:///{folder / 'shop.db'}"
