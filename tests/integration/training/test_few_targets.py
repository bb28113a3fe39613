"""Event logs in which few users or none have something to predict: a bundle each, and a sentence that says so."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.errors import TrainingError
from clairo_core.items import UserHistory
from tests.integration.training.test_training_run import arguments
from training.cli import app

NUM_ITEMS = 30
DESCRIPTION = """
name = "few"
[items]
file = "items.csv"
texts = ["title"]
[interactions]
file = "events.csv"
timestamp = "timestamp"
"""
TINY = ("encode.modalities=text", "evaluate.num_views=1", "fit.max_epochs=2", "dense.max_epochs=2", "mix.max_users=20")
ONE_TARGET = "0 of 1 validation targets occur in a training sequence"
NOTHING_VALIDATED = "no user has enough different items to hold one out, so nothing is validated"
NOTHING_MEASURED = "no user has enough interactions to hold one out, so the bundle is not measured"
CASES: dict[str, tuple[list[list[int]], list[str]]] = {
    "one user": ([list(range(20))], [ONE_TARGET]),
    "all users alike": ([list(range(6))] * 20, ["0 of 20 validation targets occur in a training sequence"]),
    "two events each": (
        [[user, (user + 1) % NUM_ITEMS] for user in range(NUM_ITEMS)],
        [NOTHING_VALIDATED, NOTHING_MEASURED],
    ),
    "three events each": (
        [[user, (user + 1) % NUM_ITEMS, (user + 2) % NUM_ITEMS] for user in range(NUM_ITEMS)],
        [NOTHING_VALIDATED, NOTHING_MEASURED],
    ),
    "one item bought again and again": ([[user % 9, 9] + [user % 9] * 4 for user in range(25)], [NOTHING_VALIDATED]),
    "view, cart, purchase": (
        [[(user + step) % NUM_ITEMS for step in range(4) for _ in range(3)] for user in range(25)],
        [],
    ),
    "players of four tracks": ([[(user + step % 4) % NUM_ITEMS for step in range(20)] for user in range(25)], []),
    "one user who has seen everything": ([list(range(NUM_ITEMS)) * 2], [ONE_TARGET]),
}


def shop_of(folder: Path, histories: list[list[int]]) -> Path:
    folder.mkdir()
    items = [f"i{item},thing number {item} of kind {item % 5}" for item in range(NUM_ITEMS)]
    events = [f"u{user},i{item},{step}" for user, items in enumerate(histories) for step, item in enumerate(items)]
    (folder / "dataset.toml").write_text(DESCRIPTION, encoding="utf-8")
    (folder / "items.csv").write_text("\n".join(["item_id,title", *items]), encoding="utf-8")
    (folder / "events.csv").write_text("\n".join(["user_id,item_id,timestamp", *events]), encoding="utf-8")
    return folder


@pytest.mark.parametrize("case", CASES)
def test_a_log_without_enough_targets_gives_a_bundle_and_says_what_could_not_be_measured(
    tmp_path: Path, case: str
) -> None:
    histories, sentences = CASES[case]
    command = arguments(shop_of(tmp_path / "shop", histories), tmp_path / "bundle", *TINY)
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    warned = warnings(result.stderr)
    assert len(warned) == len(sentences)
    assert all(sentence in line for line, sentence in zip(warned, sentences, strict=True))
    assert "nan" not in result.output.lower()
    bundle = load_bundle(tmp_path / "bundle")
    metrics: dict[str, Any] = json.loads(json.dumps(bundle.manifest.metrics, allow_nan=False))
    assert ("evaluation" in metrics) == (NOTHING_MEASURED not in sentences)
    # Trained to the end where nothing could stop it early.
    if NOTHING_VALIDATED in sentences:
        assert (metrics["fit"]["best_epoch"], metrics["fit"]["validation_ndcgs"]) == (2, [])
        assert (metrics["serving"]["measured"], str(bundle.manifest.points["fast"])) == ([], "1 x 20")
    answer = bundle.recommender("cpu").recommend(UserHistory(("i0",)), 10)
    assert len(answer.items) == 10


def warnings(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("warning: ")]


def test_the_first_warning_comes_before_the_first_stage(tmp_path: Path) -> None:
    shop = shop_of(tmp_path / "shop", CASES["all users alike"][0])
    lines = CliRunner().invoke(app, arguments(shop, tmp_path / "bundle", *TINY)).stderr.splitlines()
    stages = [number for number, line in enumerate(lines) if line.startswith(("encode", "quantize", "epoch"))]
    assert lines.index(warnings("\n".join(lines))[0]) < stages[0]


@pytest.mark.parametrize(
    ("histories", "why"),
    [([[0], [1], [2]], "no user has two interactions"), ([[0, 0], [0] * 5], "name fewer than two items")],
)
def test_a_log_that_teaches_nothing_is_refused_before_the_first_stage(
    tmp_path: Path, histories: list[list[int]], why: str
) -> None:
    shop = shop_of(tmp_path / "shop", histories)
    result = CliRunner().invoke(app, arguments(shop, tmp_path / "bundle", *TINY))
    assert isinstance(result.exception, TrainingError)
    assert why in str(result.exception)
    assert "encode:" not in result.stderr


def test_a_second_run_gives_the_same_bundle(tmp_path: Path) -> None:
    shop = shop_of(tmp_path / "shop", CASES["two events each"][0])
    for folder in ("one", "two"):
        result = CliRunner().invoke(app, arguments(shop, tmp_path / folder, *TINY))
        assert result.exit_code == 0, result.output
    one, two = (load_bundle(tmp_path / folder).manifest for folder in ("one", "two"))
    assert one.files == two.files
