"""A dataset's events, before any filter, as a service imports them."""

from pathlib import Path

import pytest

from tests.repository import REPOSITORY
from training.datasets import describe_dataset, load_dataset
from training.datasets.event_rows import read_events

SHOPS = REPOSITORY / "tests" / "data" / "shops"


@pytest.mark.parametrize("shop", ["shopify", "woocommerce", "ga4_merchant", "german_csv"])
def test_events_name_items_by_their_ids_whatever_the_shop_calls_them(shop: str) -> None:
    events = read_events(describe_dataset(SHOPS / shop))
    item_ids = {item.item_id for item in load_dataset(SHOPS / shop).items}
    assert set(events["item_id"].to_pylist()) <= item_ids
    times = list(zip(events["user_id"].to_pylist(), events["timestamp"].to_pylist(), strict=True))
    assert times == sorted(times)
    assert min(events["timestamp"].to_pylist()) > 1.5e9


def test_events_of_one_time_keep_the_order_of_their_rows(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text("item_id,title\na,A\nb,B\nc,C\n")
    (tmp_path / "rows.csv").write_text(
        "user_id,item_id,day\nu,c,2024-01-02\nu,a,2024-01-02\nu,b,2024-01-01\nu,d,2024-01-02\n"
    )
    description = (
        '[items]\nfile = "items.csv"\ntexts = ["title"]\n[interactions]\nfile = "rows.csv"\ntimestamp = "day"\n'
    )
    (tmp_path / "dataset.toml").write_text(description)
    events = read_events(describe_dataset(tmp_path))
    assert events["item_id"].to_pylist() == ["b", "c", "a", "d"]
    assert events["timestamp"].to_pylist() == [1704067200.0, *[1704153600.0] * 3]
