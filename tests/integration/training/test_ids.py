"""docs/ids.md from end to end: its commands run, its section of dataset.toml trains, and its page opens."""

import json
import re
import shlex
from collections.abc import Iterator
from contextlib import chdir
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pyarrow.parquet import read_table as read_parquet
from pyarrow.parquet import write_table as write_parquet
from typer.testing import CliRunner

from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.errors import DatasetError, SettingsError
from clairo_core.progress import silent
from tests.browser import TOO_FAINT, opened_page
from tests.integration.training.pipeline.test_presets import SMALL
from tests.repository import REPOSITORY
from training.cli import app
from training.config.load_preset import load_preset
from training.datasets import load_dataset
from training.demo_shop import write_demo_shop
from training.ids.item_ids import load_ids
from training.items.describe_items import describe_items
from training.workbench.stage_cache import StageCache
from training.workbench.workbench import Workbench

PAGE = (REPOSITORY / "docs" / "ids.md").read_text(encoding="utf-8")
COMMANDS = [
    shlex.split(line)[1:]
    for block in re.findall(r"^```sh\n(.*?)^```", PAGE, re.M | re.S)
    for line in block.splitlines()
    if line.startswith("clairo-train ids ")
]


def run(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def documented(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in which all commands of the page have run, beside a small shop and two published files."""
    folder = tmp_path_factory.mktemp("ids")
    write_demo_shop(folder / "demo" / "shop", num_items=80, num_users=60)
    (folder / "Beauty.index.json").write_text('{"0": ["<a_255>", "<b_1>"], "1": ["<a_7>", "<b_0>"]}')
    (folder / "codes.csv").write_text("asin,rq_0,rq_1\nB00,4,2\nB01,4,2\n")
    with chdir(folder):
        for command in COMMANDS:
            run(*command)
        yield folder


def test_the_commands_of_the_page_leave_the_files_that_it_names(documented: Path) -> None:
    assert [command[1] for command in COMMANDS] == ["make", "report", "import", "import", "export", "export", "export"]
    report = json.loads((documented / "ids-report" / "report.json").read_text())
    assert report["num_items"] == 80
    assert [level["name"] for level in report["levels"]] == ["code_0", "code_1", "code_2", "code_3"]
    assert 0 < report["reconstruction_error"] < 1
    assert load_ids(documented / "letter.parquet").codebook_sizes == (256, 256)
    assert load_ids(documented / "rq.parquet").codebook_names == ("rq_0", "rq_1")
    assert load_ids(documented / "rq.parquet").whole.tolist() == [[4, 2, 0], [4, 2, 1]]


def test_made_ids_are_unique_in_every_layout(documented: Path) -> None:
    ids = load_ids(documented / "ids.parquet")
    assert len(ids.sharing)  # 80 items with few codes
    assert len(np.unique(ids.whole, axis=0)) == len(ids.item_ids) == 80
    index = json.loads((documented / "shop.index.json").read_text())
    assert {len(tokens) for tokens in index.values()} == {5}
    assert len({tuple(tokens) for tokens in index.values()}) == 80
    numbered = json.loads((documented / "shop.minionerec.json").read_text())
    assert sum(len(tokens) == 5 for tokens in numbered.values()) == len(ids.sharing)
    assert torch.load(documented / "shop.pt", weights_only=True).shape == (5, 80)


def test_training_on_made_ids_gives_the_feature_sets_of_the_preset(documented: Path, tmp_path: Path) -> None:
    shop = documented / "demo" / "shop"
    ids = load_ids(documented / "ids.parquet")
    with_ids = shop / "with-ids.toml"
    section = ids.toml(documented / "ids.parquet").replace('"ids.parquet"', '"../../ids.parquet"')
    with_ids.write_text((shop / "dataset.toml").read_text() + f"\n{section}\n")
    preset = load_preset("clairo_token")
    described = []
    for data, stages in ((shop, documented / ".stages"), (with_ids, tmp_path)):
        bench = Workbench(
            load_dataset(data), preset, 0, torch.device("cpu"), StageCache(stages), silent, lambda line: None
        )
        described.append(describe_items(bench))
    by_preset, by_ids = described
    assert by_ids.feature_sets.tolist() == by_preset.feature_sets.tolist()
    assert by_ids.space == by_preset.space
    assert run("ids", "make", with_ids, "--out", tmp_path / "again.parquet").startswith("80 items, 4 codes each")
    result = CliRunner().invoke(
        app, ["ids", "make", str(with_ids), "--quantizer", "opq", "--out", str(tmp_path / "never.parquet")]
    )
    assert isinstance(result.exception, SettingsError)
    assert "has codes, which are taken as they are" in str(result.exception)
    again = load_ids(tmp_path / "again.parquet")
    assert again.whole.tolist() == ids.whole.tolist()
    assert again.origin.reconstruction_error is None


def test_a_preset_trains_on_published_ids_that_number_the_items(documented: Path, tmp_path: Path) -> None:
    write_demo_shop(tmp_path, num_items=30, num_users=30)
    items = read_parquet(tmp_path / "items.parquet")
    write_parquet(items.append_column("number", [list(range(30))]), tmp_path / "items.parquet")
    index = {str(number): [f"<a_{number % 7}>", f"<b_{number % 3}>"] for number in range(30)}
    (tmp_path / "shop.index.json").write_text(json.dumps(index))
    run("ids", "import", tmp_path / "shop.index.json", "--out", tmp_path / "letter.parquet")
    section = load_ids(tmp_path / "letter.parquet").toml(tmp_path / "letter.parquet")
    toml = tmp_path / "dataset.toml"
    toml.write_text(f'{toml.read_text()}\n{section}\nitems_column = "number"\n')
    sizes = [part for size in SMALL for part in ("--set", size)]
    run("run", "--data", tmp_path, "--preset", "letter", "--out", tmp_path / "bundle", "--device", "cpu", *sizes)
    bundle = load_bundle(tmp_path / "bundle")
    assert (bundle.manifest.preset, bundle.can_ingest) == ("letter", False)
    assert bundle.catalogue.feature_sets[:, :2].tolist() == [[number % 7, number % 3] for number in range(30)]


def test_another_quantizer_makes_other_ids(documented: Path) -> None:
    run("ids", "make", "demo/shop", "--quantizer", "sequential", "--out", documented / "numbers.parquet")
    numbers = load_ids(documented / "numbers.parquet")
    assert numbers.collision_indices is None
    assert numbers.origin.name == "preset clairo, quantizer sequential"


def test_the_page_needs_nothing_from_elsewhere_and_is_readable(documented: Path) -> None:
    with opened_page(f"file://{documented / 'ids-report' / 'report.html'}") as page:
        assert page.evaluate("[...document.images].every((image) => image.naturalWidth > 0)")
        assert page.evaluate("document.images.length") > 20
        assert page.evaluate(TOO_FAINT) == []
        page.set_viewport_size({"width": 400, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= 400


def test_ids_of_other_items_are_refused_and_missing_ones_counted(documented: Path, tmp_path: Path) -> None:
    ids = load_ids(documented / "ids.parquet")
    ids.of_rows(np.arange(50)).save(tmp_path / "some.parquet")
    told = run("ids", "report", tmp_path / "some.parquet", "--data", "demo/shop", "--out", documented / "some")
    assert "note: 30 items of demo-shop have no id" in told
    assert "30 items of the data set have no id" in told
    others = replace(ids, item_ids=tuple(map(str, range(80))))
    others.save(tmp_path / "others.parquet")
    command = ["ids", "report", str(tmp_path / "others.parquet"), "--data", "demo/shop", "--out", str(tmp_path)]
    result = CliRunner().invoke(app, command)
    assert isinstance(result.exception, DatasetError)
    assert "has ids for items such as '0'" in str(result.exception)
