"""Drawn tables through `clairo-train run`: a bundle without NaN or one clear line, and the same again."""

import contextlib
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.bundle.manifest import read_manifest
from clairo_core.items import UserHistory
from tests.drawn_tables import write_drawn_dataset
from training.cli import app, run_command

NUM_DRAWS = int(os.environ.get("DRAWN_RUNS", "10"))
FAST = (
    "encode.modalities=text",
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


def outcome_of(shop: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """The bundle's id, or the last line of the error."""
    flags = ["--data", str(shop), "--out", str(out), "--device", "cpu"]
    flags += [part for override in FAST for part in ("--set", override)]
    with contextlib.suppress(SystemExit):
        run_command(lambda: app(["run", *flags], standalone_mode=False))
        return _id_of_bundle(out, capsys.readouterr().err)
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if line.startswith("error: ")] == lines[-1:]
    return lines[-1]


def _id_of_bundle(out: Path, said: str) -> str:
    assert "nan" not in said.lower().split()
    return read_manifest(out).bundle_id


def numbers_in(value: Any) -> Iterator[float]:
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from numbers_in(part)
    elif isinstance(value, float):
        yield value


@pytest.mark.parametrize("seed", range(1000, 1000 + NUM_DRAWS))
def test_a_drawn_table_trains_or_is_refused_in_one_line_and_the_same_again(
    tmp_path: Path, seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    write_drawn_dataset(tmp_path / "shop", seed, is_plain=seed % 2 == 0)
    outcome = outcome_of(tmp_path / "shop", tmp_path / "first" / "bundle", capsys)
    # With the stages of the first run, and without.
    for out in ("first/again", "second/bundle"):
        assert outcome_of(tmp_path / "shop", tmp_path / out, capsys) == outcome
    if outcome.startswith("error: "):
        return
    bundle = load_bundle(tmp_path / "first" / "bundle")
    metrics = json.loads(json.dumps(bundle.manifest.metrics))
    assert all(math.isfinite(number) for number in numbers_in(metrics))
    answer = bundle.recommender("cpu").recommend(UserHistory(bundle.catalogue.item_ids[:2]), 5)
    assert len(answer.items) == min(5, len(bundle.items) - len(bundle.catalogue.item_ids[:2]))
    assert all(math.isfinite(item.score) for item in answer.items)
