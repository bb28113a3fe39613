"""The small shops of every layout train as their files come: by words where pictures were not fetched."""

import sqlite3
from pathlib import Path

import pytest

from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.items import UserHistory
from tests.repository import REPOSITORY
from training.cli import app, run_command

SHOPS = REPOSITORY / "tests" / "data" / "shops"
FAST = (
    "parallel.max_epochs=1",
    "parallel.width=16",
    "parallel.validation_users=20",
    "encode.text_dim=16",
    "fuse.dim_per_modality=8",
    "align.dim=16",
    "dense.max_epochs=1",
    "dense.encoder=recurrent",
    "mix.max_users=20",
    "evaluate.num_views=1",
    "evaluate.num_beams=10",
    "evaluate.num_resamples=10",
)


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (script,) = (SHOPS / "sqlite").glob("*.sql")
    with sqlite3.connect(tmp_path / "shop.db") as connection:
        connection.executescript(script.read_text(encoding="utf-8"))
    connection.close()
    monkeypatch.setenv("CLAIRO_DATA_URL", f"sqlite:///{tmp_path / 'shop.db'}")


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("name", sorted(path.parent.name for path in SHOPS.glob("*/dataset.toml")))
def test_a_shop_trains_from_its_files_to_a_bundle_that_recommends(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    overrides = [part for override in FAST for part in ("--set", override)]
    flags = ["--data", str(SHOPS / name), "--out", str(tmp_path / "bundle"), "--device", "cpu", *overrides]
    run_command(lambda: app(["run", *flags], standalone_mode=False))
    report = capsys.readouterr().err
    assert "40 items, 60 users" in report
    assert "2024-" in report
    assert "no item has image, so modalities are text" in report
    bundle = load_bundle(tmp_path / "bundle")
    assert len(bundle.items) == 40
    answer = bundle.recommender("cpu").recommend(UserHistory(bundle.catalogue.item_ids[:2]), 5)
    assert len(answer.items) == 5
