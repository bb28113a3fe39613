"""Rows of one order share what only the first has, and rows without a needed value are left out."""

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clairo_core.errors import EmptyTableError, RowError
from training.datasets import load_dataset
from training.datasets.tables.table_form import TableForm
from training.datasets.tables.table_rows import filled_and_kept

TOML = """
[items]
file = "items.csv"
texts = ["title"]
[interactions]
file = "orders.csv"
user_id = "email"
item_id = "sku"
timestamp = "at"
order_id = "order"
"""
ORDERS = """order,email,sku,at
1,ann@example.com,a,2024-05-31
1,,b,
2,,a,2024-06-01
2,,b,
3,bob@example.com,b,2024-06-02
3,,,
"""


def write_shop(folder: Path, more: str = "") -> Path:
    (folder / "items.csv").write_text("item_id,title\na,Hat\nb,Mug\n")
    (folder / "orders.csv").write_text(ORDERS)
    (folder / "dataset.toml").write_text(TOML + more)
    return folder


def test_a_row_has_the_customer_and_time_of_its_order_and_never_of_another(tmp_path: Path) -> None:
    dataset = load_dataset(write_shop(tmp_path, 'skip_without = ["email", "sku"]'))
    assert dataset.user_ids == ("ann@example.com", "bob@example.com")
    assert [rows.tolist() for rows in dataset.sequences] == [[0, 1], [1]]


def test_a_row_that_stays_blank_is_refused_by_its_line(tmp_path: Path) -> None:
    with pytest.raises(RowError, match=r"orders.csv row 4, field 'email': the id is missing"):
        load_dataset(write_shop(tmp_path))
    with pytest.raises(RowError, match=r"orders.csv row 7, field 'sku': the id is missing"):
        load_dataset(write_shop(tmp_path, 'skip_without = ["email"]'))


def test_a_table_without_any_complete_row_is_refused(tmp_path: Path) -> None:
    (write_shop(tmp_path, 'skip_without = ["email"]') / "orders.csv").write_text("order,email,sku,at\n1,,a,1\n")
    with pytest.raises(EmptyTableError, match=r"orders.csv: no row has a value in email; correct skip_without"):
        load_dataset(tmp_path)


blanks = st.sampled_from([None, "", " ", "x", "y"])
rows = st.lists(st.tuples(st.sampled_from([None, "1", "2"]), blanks, blanks), min_size=1, max_size=12)


@given(rows)
def test_filling_agrees_with_a_slow_twin(drawn: list[tuple[str | None, str | None, str | None]]) -> None:
    names = ("order", "email", "sku")
    columns = dict(zip(names, zip(*drawn, strict=True), strict=True))
    table = pa.table({name: pa.array(column, pa.large_string()) for name, column in columns.items()})
    form = TableForm(order_id="order", fill_down=("email",), skip_without=("email", "sku"))
    filled, kept, skipped = filled_and_kept(table, form)
    expected, email, before = [], None, None
    blank = Counter()
    for row, (order, own_email, sku) in enumerate(drawn):
        has_own = own_email is not None and own_email.strip()
        email = own_email if has_own else email if order is not None and order == before else None
        before = order
        if email and sku is not None and sku.strip():
            expected.append((row, {"order": order, "email": email, "sku": sku}))
        else:
            blank["sku" if email else "email"] += 1
    assert skipped == blank
    assert kept.tolist() == [row for row, _ in expected]
    assert filled.take(kept).to_pylist() == [values for _, values in expected]
