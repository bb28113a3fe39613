"""The small shop in a database: its script, and its dataset."""

from tests.data.shops.make_sqlite_shop import SCRIPT, rows_by_table, script
from tests.sqlite_shop import write_sqlite_shop
from training.datasets import describe_dataset, load_dataset


def test_the_script_of_the_shop_is_up_to_date():
    assert SCRIPT.read_text(encoding="utf-8") == script(rows_by_table())


def test_a_shop_in_a_database_needs_no_glue(tmp_path, monkeypatch):
    monkeypatch.setenv("CLAIRO_DATA_URL", write_sqlite_shop(tmp_path))
    dataset = load_dataset(tmp_path)
    assert len(dataset.items) == 40
    assert len(dataset.user_ids) == 60
    assert dataset.items[0].title == "Fjord mug, red"
    assert dataset.items[0].attributes["category"] == "Mugs"
    assert dataset.rules.targets == ("purchase",)
    assert describe_dataset(tmp_path).interactions[0].type == "event"
