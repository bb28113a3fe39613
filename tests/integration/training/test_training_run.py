"""A whole run on a small demo shop: a bundle that loads and reproduces its figures, and cached stages."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.errors import TrainingError
from clairo_core.fusion import AlignedFusion, ConcatPcaFusion, EvenedFusion
from clairo_core.items import Item, UserHistory
from training.cli import app, run_command
from training.datasets import load_dataset
from training.demo_shop import write_demo_shop

FAST = (
    "fit.max_epochs=2",
    "fit.validation_users=30",
    "generator.d_model=16",
    "generator.d_ff=32",
    "generator.num_layers=1",
    "encode.text_dim=16",
    "fuse.dim_per_modality=8",
    "align.dim=16",
    "dense.encoder=recurrent",
    "dense.width=16",
    "dense.max_epochs=2",
    "mix.max_users=50",
    "evaluate.num_beams=20",
    "evaluate.num_resamples=50",
)

QUICK = ("fit.max_epochs=1", "evaluate.max_users=19")
"""Where no figure counts: too few users to choose the serving points by."""


def arguments(shop: Path, out: Path, *overrides: str) -> list[str]:
    flags = [part for override in (*FAST, *overrides) for part in ("--set", override)]
    return ["run", "--preset", "clairo_token", "--data", str(shop), "--out", str(out), "--device", "cpu", *flags]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    write_demo_shop(folder, num_items=80, num_users=100)
    return folder


@pytest.fixture(scope="module")
def bundle_folder(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundles") / "small"
    result = CliRunner().invoke(app, arguments(shop, out))
    assert result.exit_code == 0, result.output
    return out


def test_the_bundle_loads_and_recommends(bundle_folder: Path) -> None:
    bundle = load_bundle(bundle_folder)
    recommender = bundle.recommender("cpu")
    history = UserHistory(bundle.catalogue.item_ids[:3])
    answer = recommender.recommend(history, 10)
    assert len({entry.item_id for entry in answer.items}) == 10
    assert not {entry.item_id for entry in answer.items} & set(history.item_ids)


def test_items_are_aligned_with_behaviour_and_a_posted_one_is_placed_by_its_content(bundle_folder: Path) -> None:
    bundle = load_bundle(bundle_folder)
    assert isinstance(bundle.fusion, EvenedFusion)
    assert isinstance(bundle.fusion.content, AlignedFusion)
    posted = Item(item_id="new", texts={"title": bundle.items[0].title}, picture=bundle.read_picture(0))
    described = bundle.describe(posted, bundle.catalogue.taken)
    assert described.item_embedding.shape == (16,)
    assert np.abs(described.item_embedding).max() > 0
    assert described.feature_set not in bundle.catalogue.taken


def test_a_shop_without_repeat_sales_is_placed_by_content_alone(shop: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, [*arguments(shop, tmp_path / "content", "align.dim=64", *QUICK), "--no-refit"])
    assert result.exit_code == 0, result.output
    assert "too few items were used twice" in result.stderr
    fusion = load_bundle(tmp_path / "content").fusion
    assert isinstance(fusion, EvenedFusion)
    assert isinstance(fusion.content, ConcatPcaFusion)


def test_no_two_items_share_a_feature_set(bundle_folder: Path) -> None:
    feature_sets = load_bundle(bundle_folder).catalogue.feature_sets.tolist()
    assert len({tuple(feature_set) for feature_set in feature_sets}) == len(feature_sets)


def test_evaluate_gives_the_figures_that_training_gave(bundle_folder: Path, shop: Path, tmp_path: Path) -> None:
    measured = bundle_folder.parent / "measured"
    trained_again = CliRunner().invoke(app, [*arguments(shop, measured), "--no-refit"])
    assert trained_again.exit_code == 0, trained_again.output
    result = CliRunner().invoke(
        app, ["evaluate", str(measured), "--data", str(shop), "--json", str(tmp_path / "table.json")]
    )
    assert result.exit_code == 0, result.output
    assert "recall@10" in result.output
    again = json.loads((tmp_path / "table.json").read_text(encoding="utf-8"))
    for folder in (measured, bundle_folder):
        trained = load_bundle(folder).manifest.metrics["evaluation"]
        assert again["rows"] == json.loads(json.dumps(trained["rows"]))


@pytest.mark.parametrize("command", ["evaluate", "compare"])
def test_a_refitted_bundle_is_not_measured_on_its_own_data(
    bundle_folder: Path, shop: Path, tmp_path: Path, command: str
) -> None:
    arguments_of = {
        "evaluate": [str(bundle_folder)],
        "compare": ["--bundle", str(bundle_folder), "--baselines", "none", "--out", str(tmp_path)],
    }
    result = CliRunner().invoke(app, [command, *arguments_of[command], "--data", str(shop)])
    assert isinstance(result.exception, TrainingError)
    assert "repeat its clairo-train run with --no-refit" in str(result.exception)


def test_the_table_is_on_validation_and_with_the_flag_on_test(bundle_folder: Path, shop: Path) -> None:
    result = CliRunner().invoke(app, [*arguments(shop, bundle_folder.parent / "tested"), "--test"])
    assert result.exit_code == 0, result.output
    assert ", test: " in result.stderr
    assert "chosen on these users" not in result.stderr
    on_validation, on_test = (load_bundle(folder) for folder in (bundle_folder, bundle_folder.parent / "tested"))
    assert on_validation.manifest.metrics["evaluation"]["split"] == "validation"
    assert on_test.manifest.metrics["evaluation"]["split"] == "test"
    assert on_validation.manifest.bundle_id == on_test.manifest.bundle_id


def test_retraining_refuses_the_test_flag(bundle_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["run", "--data", "service", "--out", str(bundle_folder.parent / "next"), "--test"]
    with pytest.raises(SystemExit):
        run_command(lambda: app(flags, standalone_mode=False))
    assert "--test is set, but retraining measures on the newest interactions" in capsys.readouterr().err


def test_a_second_run_takes_its_stages_from_the_cache(bundle_folder: Path, shop: Path) -> None:
    out = bundle_folder.parent / "again"
    result = CliRunner().invoke(app, arguments(shop, out))
    assert result.exit_code == 0, result.output
    stages = ("encode-text", "encode-image", "fuse", "quantize", "vocabulary", "generator", "serving-points")
    for stage in (*stages, "refit-generator"):
        assert f"{stage}: unchanged" in result.stderr
    first, second = load_bundle(bundle_folder), load_bundle(out)
    assert first.manifest.bundle_id == second.manifest.bundle_id


def test_a_bundle_keeps_its_users_if_asked_to(bundle_folder: Path, shop: Path) -> None:
    out = bundle_folder.parent / "with-users"
    result = CliRunner().invoke(app, [*arguments(shop, out), "--with-users"])
    assert result.exit_code == 0, result.output
    users, dataset = load_bundle(out).users, load_dataset(shop)
    assert users.user_ids == tuple(sorted(dataset.user_ids))
    row = users.find_row(dataset.user_ids[0])
    assert row is not None
    assert users.newest[row].tolist() == dataset.sequences[0].tolist()
    assert load_bundle(bundle_folder).users.user_ids == ()


def test_the_dense_heads_that_rank_better_together_on_validation_are_kept(bundle_folder: Path, shop: Path) -> None:
    flags = arguments(shop, bundle_folder.parent / "read", "dense.encoder=auto", "evaluate.max_users=19")
    result = CliRunner().invoke(app, [*flags, "--no-refit"])
    assert result.exit_code == 0, result.output
    said = re.search(r"dense head: ([\w ]+), validation NDCG@10 ([.\d]+); each alone: (.*)", result.stderr)
    assert said is not None
    alone = {name: float(ndcg) for name, ndcg in re.findall(r"([a-z ]+) ([.\d]+)", said[3].replace(", ", ","))}
    assert list(alone) == ["recurrent", "transformer", "second recurrent"]
    kept = said[1].split(" and ")
    assert alone[kept[0]] == max(alone.values())
    assert float(said[2]) >= alone[kept[0]]
    ranking = load_bundle(bundle_folder.parent / "read").joint_ranking
    assert ranking is not None
    kinds = [head.encoder.kind for head in ranking.dense_heads.heads]
    assert kinds == ["causal-transformer" if name == "transformer" else "gated-recurrent" for name in kept]


def test_another_setting_runs_only_the_stages_that_depend_on_it(bundle_folder: Path, shop: Path) -> None:
    result = CliRunner().invoke(app, [*arguments(shop, bundle_folder.parent / "other", *QUICK), "--no-refit"])
    assert result.exit_code == 0, result.output
    assert "vocabulary: unchanged" in result.stderr
    assert "generator: unchanged" not in result.stderr


@pytest.mark.parametrize("modality", ["text", "image"])
def test_one_modality_alone_is_enough(bundle_folder: Path, shop: Path, modality: str) -> None:
    out = bundle_folder.parent / modality
    result = CliRunner().invoke(app, [*arguments(shop, out, f"encode.modalities={modality}", *QUICK), "--no-refit"])
    assert result.exit_code == 0, result.output
    bundle = load_bundle(out)
    assert set(bundle.encoders) == {modality}
    assert len({tuple(row) for row in bundle.catalogue.feature_sets.tolist()}) == 80


def test_an_existing_bundle_is_not_overwritten_without_the_flag(
    bundle_folder: Path, shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        run_command(lambda: app(arguments(shop, bundle_folder), standalone_mode=False))
    assert stopped.value.code == 2
    assert "add --overwrite" in capsys.readouterr().err


def test_a_missing_dataset_is_one_line_on_standard_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        run_command(lambda: app(arguments(tmp_path / "nowhere", tmp_path / "out"), standalone_mode=False))
    assert stopped.value.code == 2
    message = capsys.readouterr().err
    assert "nowhere" in message
    assert "Traceback" not in message
