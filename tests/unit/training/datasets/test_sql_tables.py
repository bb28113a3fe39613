"""Queries as tables: streamed, read-only, with errors that name query, row and column, and never the password."""

import sqlite3
from contextlib import closing
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import make_url

from clairo_core.errors import DatasetError, EmptyTableError, MissingColumnError, RowError
from tests.documented_blocks import documented
from training.datasets import describe_dataset, load_dataset
from training.datasets.check import check_dataset
from training.datasets.columns.value_columns import order_column
from training.datasets.tables.column_kinds import attribute_array
from training.datasets.tables.sql_tables import SqlQuery, _Column, _UnfitError
from training.datasets.tables.table_files import SourceTable, column_names, read_table

TOML = """
name = "shop"
[items]
sql = "SELECT sku, name, price FROM products ORDER BY sku"
item_id = "sku"
texts = ["name"]
attributes = ["price"]
attribute_types = {price = "number"}
[interactions]
sql = "SELECT * FROM orders WHERE note IS NULL OR note LIKE '50% :off%'"
user_id = "customer"
item_id = "sku"
timestamp = "at"
"""
SCHEMA = """
CREATE TABLE products (sku TEXT, name TEXT, price REAL, photo BLOB);
CREATE TABLE orders (customer INTEGER, sku TEXT, at TEXT, note TEXT);
INSERT INTO products VALUES ('cup', 'Cup', 7.5, x'00ff'), ('hat', 'Hat', NULL, NULL);
INSERT INTO orders VALUES (7, 'hat', '2024-05-31 17:02:11', NULL), (7, 'cup', '2024-05-31 17:02:12', '50% :off'),
  (8, 'cup', '2024-06-01 08:15:00', NULL);
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    database = sqlite3.connect(tmp_path / "shop.db")
    database.executescript(SCHEMA)
    database.close()
    (tmp_path / "dataset.toml").write_text(TOML, encoding="utf-8")
    monkeypatch.setenv("CLAIRO_DATA_URL", f"sqlite:///{tmp_path / 'shop.db'}")
    return tmp_path


def query(sql: str) -> SqlQuery:
    return SqlQuery("dataset.toml, [items] sql", sql)


def test_a_shop_in_a_database_is_a_dataset(shop):
    dataset = load_dataset(shop)
    assert [item.item_id for item in dataset.items] == ["cup", "hat"]
    assert dataset.items[0].attributes == {"price": 7.5}
    assert dataset.user_ids == ("7", "8")
    assert [row.tolist() for row in (dataset.sequences[0], dataset.sequences[1])] == [[1, 0], [0]]


def test_a_query_gives_the_same_dataset_as_the_same_rows_in_files(shop, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    (folder / "items.csv").write_text("sku,name,price\ncup,Cup,7.5\nhat,Hat,\n")
    (folder / "orders.csv").write_text(
        "customer,sku,at\n7,hat,2024-05-31 17:02:11\n7,cup,2024-05-31 17:02:12\n8,cup,2024-06-01 08:15:00\n"
    )
    lines = ['file = "items.csv"' if "FROM products" in line else line for line in TOML.splitlines()]
    lines = ['file = "orders.csv"' if "FROM orders" in line else line for line in lines]
    (folder / "dataset.toml").write_text("\n".join(lines))
    assert load_dataset(folder).fingerprint == load_dataset(shop).fingerprint


@pytest.mark.usefixtures("shop")
def test_bytes_and_missing_values_are_kept():
    source = read_table(query("SELECT photo, price FROM products"), {"photo": "picture", "price": "text"})
    assert source.table["photo"].to_pylist() == [b"\x00\xff", None]
    assert source.table["price"].to_pylist() == ["7.5", None]
    assert column_names(query("SELECT sku AS id, name FROM products")) == ("id", "name")


@pytest.mark.usefixtures("shop")
def test_a_long_result_is_read_in_batches_whose_types_agree():
    sql = (
        "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 24999) "
        "SELECT i, CASE WHEN i < 12000 THEN NULL WHEN i < 22000 THEN i ELSE i + 0.5 END AS place FROM n"
    )
    steps = []

    def counting(batches, label, total=None):
        for batch in batches:
            steps.append(len(batch))
            yield batch

    table = read_table(query(sql), {"i": "id", "place": "order"}, counting).table
    assert steps == [10_000, 10_000, 5_000]
    assert table["i"].to_pylist() == [str(i) for i in range(25_000)]
    assert table["place"].type == pa.float64()
    assert table["place"].to_pylist()[11_999:12_001] == [None, 12_000.0]
    assert table["place"][-1].as_py() == 24_999.5


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(
    ("sql", "error", "says"),
    [
        (
            "SELECT sku FROM products",
            MissingColumnError,
            "[items] sql (SELECT sku FROM products): there is no column 'name'; the columns",
        ),
        ("SELECT sku, name, name FROM products", DatasetError, "2 columns are named 'name'"),
        ("SELECT sku, name FROM goods", DatasetError, "refused the query (no such table: goods); correct the query"),
        (
            "SELECT sku, name FROM products WHERE 0",
            EmptyTableError,
            "[items] sql (SELECT sku, name FROM products WHERE 0) has no rows",
        ),
        ("DELETE FROM products", DatasetError, "attempt to write a readonly database"),
        ("PRAGMA foreign_keys = ON", DatasetError, "returns no rows, expected a SELECT"),
        (
            "SELECT sku, photo AS name FROM products",
            RowError,
            "sql (SELECT sku, photo AS name FROM products) row 1, field 'name': got",
        ),
        (
            "SELECT sku, name FROM products UNION ALL SELECT 2.5, 'x'",
            RowError,
            "UNION ALL...) row 3, field 'sku': got '2.5' (float)",
        ),
    ],
)
def test_a_wrong_query_is_refused_with_its_place(sql, error, says):
    with pytest.raises(error) as refused:
        read_table(query(sql), {"sku": "id", "name": "text"})
    assert says in str(refused.value)
    assert str(refused.value).startswith("dataset.toml, [items] sql")


def test_a_check_finds_the_faults_of_every_query(shop):
    with closing(sqlite3.connect(shop / "shop.db")) as database:
        database.executescript(
            "UPDATE products SET name = x'00' WHERE sku = 'hat'; UPDATE orders SET at = 'soon' WHERE customer = 8"
        )
    faults = check_dataset(shop).faults
    assert {(fault.file.partition(" (")[0], fault.column, tuple(fault.rows)) for fault in faults} == {
        ("dataset.toml, [items] sql", "name", (2,)),
        ("dataset.toml, [interactions] sql", "at", (3,)),
    }


def test_a_query_cannot_change_the_database(shop):
    with pytest.raises(DatasetError, match="readonly"):
        query("INSERT INTO orders VALUES (9, 'hat', '2024-01-01', NULL) RETURNING sku").column_names()
    with sqlite3.connect(shop / "shop.db") as database:
        assert database.execute("SELECT count(*) FROM orders").fetchone() == (3,)
    database.close()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "CLAIRO_DATA_URL is not set, expected the database's url"),
        ("hidden-word", "CLAIRO_DATA_URL is not a url"),
        ("sqlite:////no/such/shop.db", "/no/such/shop.db does not exist"),
        ("nothing://ann:hidden-word@host/shop", "no driver for nothing"),
        ("sqlite+aiosqlite://", "is an async driver"),
        ("postgresql://ann:hidden-word@127.0.0.1:1/shop?connect_timeout=2", "refused the query"),
    ],
)
def test_a_wrong_url_is_refused_without_its_password(url, says, monkeypatch):
    monkeypatch.setenv("CLAIRO_DATA_URL", url)
    with pytest.raises(DatasetError) as refused:
        read_table(query("SELECT 1 AS a"), {"a": "id"})
    assert says in str(refused.value)
    assert "hidden-word" not in str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


def test_the_toml_may_name_another_variable(shop, monkeypatch):
    monkeypatch.setenv("SHOP_DB", f"sqlite:///{shop / 'shop.db'}")
    monkeypatch.delenv("CLAIRO_DATA_URL")
    (shop / "dataset.toml").write_text(TOML.replace("item_id =", 'url_env = "SHOP_DB"\nitem_id ='), encoding="utf-8")
    assert len(load_dataset(shop).items) == 2
    (shop / "dataset.toml").write_text(TOML.replace("item_id =", 'file = "x.csv"\nitem_id ='), encoding="utf-8")
    with pytest.raises(DatasetError, match=r"\[items\] sql: got both of file and sql, expected one"):
        load_dataset(shop)


def test_the_documented_queries_are_read(tmp_path):
    (tmp_path / "dataset.toml").write_text(documented("[items]\nsql = "), encoding="utf-8")
    described = describe_dataset(tmp_path)
    assert str(described.items.file).endswith("dataset.toml, [items] sql (SELECT sku, name, story, price FROM prod...)")
    assert isinstance(described.interactions[0].file, SqlQuery)
    assert described.interactions[0].file.sql.splitlines()[0] == "SELECT o.customer, l.sku, o.paid_at"


def test_values_of_other_databases_become_those_of_files():
    numbers = _Column("order").read([Decimal("3"), Decimal("2.5"), None])
    assert numbers.to_pylist() == [3.0, 2.5, None]
    moments = [datetime(2024, 5, 31, 19, tzinfo=timezone(timedelta(hours=2))), date(2024, 6, 1), datetime(2024, 6, 2)]
    source = SourceTable(query(""), pa.table({"at": _Column("order").read(moments)}))
    assert order_column(source, "at").tolist() == [
        int(datetime(2024, 5, 31, 17, tzinfo=UTC).timestamp()) * 10**6,
        int(datetime(2024, 6, 1, tzinfo=UTC).timestamp()) * 10**6,
        int(datetime(2024, 6, 2, tzinfo=UTC).timestamp()) * 10**6,
    ]
    assert _Column("text").read([Decimal("49.90"), ["a", "b"], True, 7.0]).to_pylist() == ["49.90", "a, b", "true", "7"]
    assert _Column("numbers").read([[1, 2.5], None]).to_pylist() == [[1.0, 2.5], None]
    assert _Column("picture").read([memoryview(b"ab"), b"c"]).to_pylist() == [b"ab", b"c"]


def test_a_column_keeps_the_type_of_its_first_value():
    column = _Column("order")
    column.read([None, None])
    column.read([None, 5])
    with pytest.raises(_UnfitError, match=r"got 'later' \(str\), expected numbers") as unfit:
        column.read([6, None, "later"])
    assert unfit.value.place == 2
    with pytest.raises(_UnfitError, match="expected lists of numbers") as unfit:
        _Column("numbers").read([[1.0], ["one"]])
    assert unfit.value.place == 1


LARGE = (2**60 + 1, 2**60 + 300, 1.5, 2.5)
"""Whole numbers that no decimal number holds, and decimal ones beside them."""


@pytest.mark.parametrize("rows_per_batch", [2, 3, 10])
def test_large_whole_numbers_beside_decimal_ones_are_rounded_as_in_csv(rows_per_batch, monkeypatch, tmp_path):
    with closing(sqlite3.connect(tmp_path / "shop.db")) as database:
        database.execute("CREATE TABLE orders (at)")
        database.executemany("INSERT INTO orders VALUES (?)", [(moment,) for moment in LARGE])
        database.commit()
    monkeypatch.setenv("CLAIRO_DATA_URL", f"sqlite:///{tmp_path / 'shop.db'}")
    monkeypatch.setattr("training.datasets.tables.sql_tables._ROWS_PER_BATCH", rows_per_batch)
    monkeypatch.setattr("training.datasets.tables.record_tables._ROWS_PER_CHUNK", rows_per_batch)
    (tmp_path / "orders.jsonl").write_text("".join(f'{{"at": {moment}}}\n' for moment in LARGE))
    (tmp_path / "orders.csv").write_text("at\n" + "".join(f"{moment}\n" for moment in LARGE))
    for table in (query("SELECT at FROM orders"), tmp_path / "orders.jsonl", tmp_path / "orders.csv"):
        assert order_column(read_table(table, {"at": "order"}), "at").tolist() == list(map(float, LARGE))
    assert attribute_array(LARGE).to_pylist() == list(map(float, LARGE))


def test_a_server_streams_the_rows_of_a_transaction_that_cannot_write(postgres, monkeypatch):
    url = postgres.new_database()
    name = str(make_url(url).database)
    postgres.execute(
        "CREATE TABLE views (who uuid, sku text, at timestamptz, price numeric(8, 2), tags text[], photo bytea);"
        "INSERT INTO views SELECT '00000000-0000-0000-0000-000000000001', 'cup', '2024-05-31 17:00+02', 49.90,"
        " '{a,b}', '\\x00ff' FROM generate_series(1, 12000)",
        name,
    )
    monkeypatch.setenv("CLAIRO_DATA_URL", url.replace("postgresql+psycopg", "postgresql"))
    kinds = {"who": "id", "at": "order", "price": "text", "tags": "text", "photo": "picture"}
    source = read_table(query("SELECT * FROM views WHERE sku LIKE 'c%' -- :not a parameter"), kinds)
    assert len(source) == 12_000
    assert [source.table[one][-1].as_py() for one in ("who", "price", "tags", "photo")] == [
        "00000000-0000-0000-0000-000000000001",
        "49.90",
        "a, b",
        b"\x00\xff",
    ]
    assert order_column(source, "at")[0] == int(datetime(2024, 5, 31, 15, tzinfo=UTC).timestamp()) * 10**6
    postgres.execute("CREATE FUNCTION spoil() RETURNS int LANGUAGE sql AS 'DELETE FROM views RETURNING 1'", name)
    with pytest.raises(DatasetError, match="read-only transaction"):
        read_table(query("SELECT spoil() AS who"), {"who": "id"})
    with pytest.raises(DatasetError, match='relation "nowhere" does not exist'):
        read_table(query("SELECT * FROM nowhere"), {"who": "id"})


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


@given(st.lists(st.one_of(st.none(), texts, st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False))))
def test_texts_agree_with_a_slow_twin(values):
    read = _Column("text").read(values).to_pylist() if values else []
    for value, text in zip(values, read, strict=True):
        if isinstance(value, str) or value is None:
            assert text == value
        else:
            assert type(value)(text) == value
