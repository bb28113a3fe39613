"""Overrides that change nothing are named."""

import pytest
from typer.testing import CliRunner

from training.cli import app
from training.config.load_preset import load_preset
from training.config.unread_settings import unread_overrides


@pytest.mark.parametrize(
    ("preset", "override", "reason"),
    [
        ("clairo", "fit.max_epochs=2", "generator.kind is parallel, which reads parallel.*"),
        ("clairo", "generator.d_model=32", "generator.kind is parallel, which reads parallel.*"),
        ("clairo", "autoencoder.num_steps=9", "quantize.kind is opq, which trains no network"),
        ("clairo_token", "parallel.max_epochs=2", "generator.kind is token, which reads generator.* and fit.*"),
    ],
)
def test_an_override_of_another_kind_of_part_is_named_with_the_reason(preset: str, override: str, reason: str) -> None:
    overrides = ["dense.max_epochs=2", override]
    assert unread_overrides(load_preset(preset, overrides), overrides) == [
        f"--set {override} changes nothing: {reason}"
    ]


@pytest.mark.parametrize(
    ("preset", "override"),
    [
        ("clairo", "parallel.max_epochs=2"),
        ("clairo", "fit.max_user_examples=9"),
        ("clairo", "generator.kind=token"),
        ("clairo_token", "fit.max_epochs=2"),
        ("tiger", "autoencoder.num_steps=9"),
    ],
)
def test_an_override_that_a_stage_reads_is_not_named(preset: str, override: str) -> None:
    assert unread_overrides(load_preset(preset, [override]), [override]) == []


def test_one_override_may_make_another_count() -> None:
    overrides = ["fit.max_epochs=2", "generator.kind=token"]
    assert unread_overrides(load_preset("clairo", overrides), overrides) == []


def test_a_run_names_them_before_it_trains(tmp_path) -> None:
    (tmp_path / "items.csv").write_text("item_id,title\na,Cup\nb,Jug\n", encoding="utf-8")
    (tmp_path / "events.csv").write_text("user_id,item_id,at\nann,a,1700000000\nann,b,1700000100\n", encoding="utf-8")
    (tmp_path / "dataset.toml").write_text(
        'name = "shop"\n[items]\nfile = "items.csv"\ntexts = ["title"]\n'
        '[interactions]\nfile = "events.csv"\ntimestamp = "at"\n',
        encoding="utf-8",
    )
    flags = ["--set", "fit.max_epochs=1", "--set", "encode.modalities=image"]  # no picture: ends before training
    result = CliRunner().invoke(app, ["run", "--data", str(tmp_path), "--out", str(tmp_path / "new"), *flags])
    assert result.exit_code
    assert "--set fit.max_epochs=1 changes nothing: generator.kind is parallel" in result.output
