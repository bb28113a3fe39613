"""The example in docs/datasets.md loads."""

import re

from tests.repository import REPOSITORY
from training.datasets import load_dataset

PAGE = REPOSITORY / "docs" / "datasets.md"


def test_the_documented_example_loads(tmp_path):
    page = PAGE.read_text(encoding="utf-8")
    blocks = dict(re.findall(r"^`(\S+)`\n\n((?:    .*\n|\n)+)", page, re.MULTILINE))
    assert sorted(blocks) == ["clicks.jsonl", "dataset.toml", "products.csv"]
    for name, block in blocks.items():
        lines = [line.removeprefix("    ") for line in block.strip("\n").splitlines()]
        (tmp_path / name).write_text("\n".join(lines), encoding="utf-8")
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
