"""`clairo-train compare` with a trained bundle: the figures of `evaluate`, cached."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from clairo_core.bundle.manifest import read_manifest
from clairo_core.errors import TrainingError
from training.cli import app
from training.demo_shop import write_demo_shop

SMALL = (
    "parallel.max_epochs=1",
    "parallel.width=16",
    "parallel.validation_users=20",
    "encode.modalities=['text']",
    "encode.text_dim=16",
    "fuse.dim_per_modality=8",
    "align.dim=16",
    "dense.encoder=recurrent",
    "dense.width=16",
    "dense.max_epochs=1",
    "evaluate.num_beams=20",
    "evaluate.num_resamples=50",
)


def run(*arguments: str | Path) -> tuple[str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout, result.stderr


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    write_demo_shop(folder, num_items=80, num_users=60)
    return folder


@pytest.fixture(scope="module")
def bundle(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundles") / "small"
    overrides = [part for setting in SMALL for part in ("--set", setting)]
    run("run", "--data", shop, "--out", out, "--device", "cpu", "--no-refit", *overrides)
    return out


def test_a_bundle_stands_beside_the_baselines_with_the_figures_of_evaluate(
    shop: Path, bundle: Path, tmp_path: Path
) -> None:
    evaluated_on = ("--device", "cpu", "--split", "test", "--json", tmp_path / "evaluated.json")
    run("evaluate", bundle, "--data", shop, *evaluated_on)
    arguments = ("compare", "--data", shop, "--out", tmp_path / "out", "--device", "cpu", "--resamples", "50")
    first, _ = run(*arguments, "--baselines", "popularity,markov", "--bundle", bundle, "--parts")
    assert "small, generator" in first
    evaluated = json.loads((tmp_path / "evaluated.json").read_text(encoding="utf-8"))
    compared = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    names = {"clairo": "small", "popularity": "popularity"}
    names |= {part: f"small, {part}" for part in ("generator", "dense head")}
    assert {row["ranker"] for row in evaluated["rows"]} == set(names)
    for row in evaluated["rows"]:
        ranker = names[row["ranker"]]
        for metric in row["metrics"]:
            figure = next(
                figure
                for figure in compared["figures"]
                if (figure["ranker"], figure["seen_items"], figure["slice_kind"], figure["metric"])
                == (ranker, row["seen_items"], "all", metric["name"])
            )
            assert figure["value"] == pytest.approx(metric["value"])
    left_out = {"generator", "dense head", "counts", "pair evidence"}
    rankers = {figure["ranker"] for figure in compared["figures"]}
    assert rankers == {"popularity", "markov", *names.values()} | {f"small, without {part}" for part in left_out}
    mixed, news = run(*arguments, "--baselines", "popularity,markov,ease", "--bundle", bundle, "--mix")
    assert news.count("unchanged") == 3
    assert "markov + ease" in mixed
    assert "small + markov + ease" in mixed


def test_a_preset_is_trained_once_for_each_seed(shop: Path, tmp_path: Path) -> None:
    preset = tmp_path / "little.toml"
    preset.write_text("[encode]\nmodalities = ['text']\n", encoding="utf-8")
    overrides = [part for setting in SMALL for part in ("--set", setting)]
    arguments = ("compare", "--data", shop, "--out", tmp_path / "out", "--device", "cpu", "--resamples", "50")
    arguments += ("--baselines", "popularity", "--presets", preset, *overrides)
    run(*arguments, "--seeds", "1")
    table, news = run(*arguments, "--seeds", "2")
    assert "2 seeds" in table
    assert "bundle-little-seed0: unchanged" in news
    assert "rank-little-seed0: unchanged" in news
    assert "bundle-little-seed1: unchanged" not in news
    compared = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    first, second = compared["details"]["little"]
    assert first["curve"]["losses"] != second["curve"]["losses"]
    assert first["categories"][0]["num_used"] > 1
    trained = (tmp_path / "out" / ".stages").glob("bundle-little-seed*/bundle")
    assert not any(read_manifest(folder).is_refitted for folder in trained)
    assert [search["num_beams"] for search in first["searches"]] == [0, 10, 20, 20]
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "Use of the codes" in page
    assert "<h2>Searches</h2>" in page
    assert "1 x 10" in page


def test_a_bundle_keeps_its_split_by_time_and_stands_in_no_other_table(shop: Path, tmp_path: Path) -> None:
    by_time = ("--set", "split.kind=time", "--set", "split.horizon_share=0.15")
    overrides = [part for setting in (*SMALL, "dense.dim=0") for part in ("--set", setting)]
    out, cpu = tmp_path / "bundle", ("--device", "cpu")
    _, news = run("run", "--data", shop, "--out", out, *cpu, "--no-refit", "--test", *overrides, *by_time)
    assert "split by time, test from" in news
    trained = read_manifest(out)
    assert trained.settings["split"] == {"kind": "time", "horizon_days": 0.0, "horizon_share": 0.15}
    run("evaluate", out, "--data", shop, *cpu, "--split", "test", "--json", tmp_path / "evaluated.json")
    evaluated = json.loads((tmp_path / "evaluated.json").read_text(encoding="utf-8"))
    measured = trained.metrics["evaluation"]
    assert evaluated["held_out"] == measured["held_out"]
    assert [row["metrics"][0]["value"] for row in evaluated["rows"]] == pytest.approx(
        [row["metrics"][0]["value"] for row in measured["rows"]]
    )
    assert measured["num_users"] < measured["held_out"]["num_targets"]
    compared = ("compare", "--data", shop, "--out", tmp_path / "out", *cpu, "--baselines", "popularity")
    table, _ = run(*compared, "--bundle", out, *by_time, "--resamples", "50")
    assert measured["held_out"]["rule"] in table
    with pytest.raises(
        TrainingError,
        match=r"--bundle .*/[^ ]+ was trained with split\.kind=time, .* expected split\.kind=last as in this",
    ):
        CliRunner().invoke(app, [str(part) for part in (*compared, "--bundle", out)], catch_exceptions=False)
