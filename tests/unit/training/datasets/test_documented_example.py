"""The example in docs/datasets.md loads."""

import re

from tests.repository import REPOSITORY
from training.datasets import load_dataset
from training.datasets.dataset_toml import read_description

PAGE = REPOSITORY / "docs" / "datasets.md"


def test_the_documented_example_loads(tmp_path):
    page = PAGE.read_text(encoding="utf-8")
    blocks = dict(re.findall(r"^`(\S+)`\n\n```\w+\n(.*?)^```$", page, re.MULTILINE | re.DOTALL))
    assert sorted(blocks) == ["clicks.jsonl", "dataset.toml", "products.csv"]
    for name, block in blocks.items():
        (tmp_path / name).write_text(block, encoding="utf-8")
    (tmp_path / "photos").mkdir()
    for name in ("shoe-1.jpg", "hat-7.png"):
        (tmp_path / "photos" / name).touch()
    dataset = load_dataset(tmp_path)
    assert dataset.name == "my shop"
    assert dataset.user_ids == ("ann", "bob")
    assert dataset.sequences[0].tolist() == [1, 0]
    assert dataset.items[0].text == "Red shoe\nLight, for summer"
    assert dataset.items[0].attributes == {"kind": "shoes", "price": "49.90"}
    assert dataset.items[2].picture is None


def test_the_documented_events_are_read(tmp_path):
    section = PAGE.read_text(encoding="utf-8").partition("\n## Events\n")[2].partition("\n## ")[0]
    items = '[items]\nfile = "products.csv"\ntexts = ["name"]\n'
    table = '[interactions]\nfile = "ratings.csv"\ntimestamp = "at"\n'
    found = []
    for number, block in enumerate(re.findall(r"^```toml\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)):
        description = tmp_path / f"{number}.toml"
        description.write_text(items + ("" if "[[interactions]]" in block else table) + block)
        found.append(read_description(description))
    shop, ratings = found
    assert [table.event for table in shop.interactions] == [None, "purchase"]
    assert shop.rules.targets == ("purchase",)
    assert shop.rules.of("return").meaning == shop.rules.of("dislike").meaning == "negative"
    assert [ratings.rules.type_of(None, stars) for stars in (4.5, 3, 1)] == ["liked", None, "disliked"]
