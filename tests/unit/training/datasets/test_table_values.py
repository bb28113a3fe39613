"""Values in tables: times, missing values and ids, read by one rule or refused by row."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clairo_core.errors import RowError
from tests.unit.training.datasets.test_tables import INTERACTIONS, ITEMS, histories_of, write_shop
from training.datasets import load_dataset


@pytest.mark.parametrize(
    "written",
    [
        ["2024-05-31T17:00:00.1234567", "2024-05-31T17:00:00.1234568Z", "2024-05-31"],
        ["2024-05-31T17:00:00.123456789+00:00", "2024-05-31T19:00:01+02", "2024-05-31 16:00"],
    ],
)
def test_iso_times_of_any_precision_and_zone_sort_in_one_column(tmp_path, written):
    rows = [
        {"user_id": "ann", "item_id": item, "at": at} for item, at in zip(("hat", "cup", "shoe"), written, strict=True)
    ]
    assert histories_of(write_shop(tmp_path, interactions=rows)) == {"ann": ["shoe", "hat", "cup"]}


@pytest.mark.parametrize("at", ["now", "2024-02-30", "2024-05-31T25:00", "0000-01-01"])
def test_a_text_that_is_no_time_is_refused_whatever_the_other_rows_hold(tmp_path, at):
    for others in ("2024-05-31", "2024-05-31T17:00:00.123456789Z"):
        rows = [{"user_id": "ann", "item_id": "hat", "at": when} for when in (others, at)]
        with pytest.raises(RowError, match=r"row 2, field 'at': got '"):
            load_dataset(write_shop(tmp_path, interactions=rows))


@pytest.mark.parametrize(
    "times",
    [
        pa.array([1, 2**60], pa.timestamp("ms", "UTC")),
        pa.array([1, -(2**31)], pa.int32()).cast(pa.date32()),
        pa.array([1, 2**62], pa.date64()),
    ],
    ids=str,
)
def test_a_time_that_does_not_fit_is_refused_and_never_wraps(tmp_path, times):
    write_shop(tmp_path)
    table = pa.table({"user_id": ["ann", "ann"], "item_id": ["hat", "cup"]}).append_column("at", times)
    pq.write_table(table, tmp_path / "interactions.parquet")
    with pytest.raises(RowError, match="row 2, field 'at': the time is beyond"):
        load_dataset(tmp_path)


@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
def test_a_nan_is_a_missing_value_in_every_format(tmp_path, suffix):
    write_shop(tmp_path, in_items='attributes = ["price", "kind"]')
    columns = {"item_id": ["shoe", "hat", "cup"], "title": ["x", "y", "z"]}
    prices, kinds = [1e-07, float("nan"), 7.0], ["nan", "NaN", "nanny"]
    if suffix == "parquet":
        pq.write_table(pa.table(columns | {"price": prices, "kind": kinds}), tmp_path / "items.parquet")
    elif suffix == "csv":
        lines = [
            f"{a},{b},{price!r},{kind}" for a, b, price, kind in zip(*columns.values(), prices, kinds, strict=True)
        ]
        (tmp_path / "items.csv").write_text("\n".join(["item_id,title,price,kind", *lines]))
    else:
        rows = [
            dict(zip(("item_id", "title", "price", "kind"), row, strict=True))
            for row in zip(*columns.values(), prices, kinds, strict=True)
        ]
        (tmp_path / "items.jsonl").write_text("\n".join(map(json.dumps, rows)))
    toml = tmp_path / "dataset.toml"
    toml.write_text(toml.read_text().replace("items.parquet", f"items.{suffix}"))
    found = [dict(item.attributes) for item in load_dataset(tmp_path).items]
    small, seven = ("1e-07", "7.0") if suffix == "csv" else (1e-07, 7.0)
    assert found == [{"price": small}, {}, {"price": seven, "kind": "nanny"}]


def test_a_nan_among_times_is_a_missing_time(tmp_path):
    rows = [{"user_id": "ann", "item_id": "hat", "at": at} for at in (1.0, float("nan"))]
    with pytest.raises(RowError, match="row 2, field 'at': the value is missing"):
        load_dataset(write_shop(tmp_path, interactions=rows))


def test_a_column_of_nothing_but_nan_is_an_empty_column(tmp_path):
    items = [{**item, "photo": float("nan"), "sound": float("nan")} for item in ITEMS]
    dataset = load_dataset(write_shop(tmp_path, items, in_items='picture = "photo"\nvectors = {audio = "sound"}'))
    assert all(item.picture is None and not item.vectors for item in dataset.items)


@pytest.mark.parametrize(
    ("item_id", "complaint"),
    [
        ("x" * 257, "257 characters, expected 1 to 256"),
        ("a\nb", "control characters or line breaks"),
        (" hat", "begins or ends with a space"),
        ("a/../b", "which no url can hold"),
        ("hat/similar", "the path of another call"),
    ],
)
def test_an_item_that_the_service_could_not_name_is_refused_by_its_row(tmp_path, item_id, complaint):
    write_shop(tmp_path, [*ITEMS, {"item_id": item_id, "title": "x", "kind": "y"}])
    with pytest.raises(RowError, match=f"row 4, field 'item_id': got .*{complaint}") as refused:
        load_dataset(tmp_path)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize("user_id", ["u" * 257, "a\x07b"])
def test_a_user_whose_feedback_the_service_would_refuse_is_refused_by_its_row(tmp_path, user_id):
    rows = [
        *INTERACTIONS,
        {"user_id": "bob", "item_id": "hat", "at": 4},
        {"user_id": user_id, "item_id": "hat", "at": 4},
    ]
    with pytest.raises(RowError, match="row 5, field 'user_id': got "):
        load_dataset(write_shop(tmp_path, interactions=rows))
