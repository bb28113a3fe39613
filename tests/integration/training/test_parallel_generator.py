"""A generator of kind `parallel`, alone and ranked together with a dense head: trained, evaluated and served."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.errors import SettingsError
from clairo_core.generation.parallel.parallel_checkpoint import load_network
from clairo_core.progress import silent
from tests.running_service import running_service
from training.cli import app
from training.config.load_preset import load_preset
from training.config.preset import PARALLEL
from training.datasets.open_dataset import open_dataset
from training.demo_shop import write_demo_shop
from training.pipeline.run import train_parts
from training.pipeline.warm_start import WarmStart, preset_of
from training.workbench.stage_cache import StageCache
from training.workbench.workbench import Workbench

FAST = (
    "parallel.max_epochs=2",
    "parallel.validation_users=20",
    "parallel.width=16",
    "parallel.graph_degree=8",
    "encode.text_dim=16",
    "fuse.dim_per_modality=8",
    "align.dim=16",
    "dense.width=16",
    "evaluate.num_beams=20",
    "evaluate.num_resamples=20",
)
PRESETS = {
    "alone": ("rpg",),
    "together": ("clairo", "dense.max_epochs=1"),
}


def arguments(name: str, shop: Path, out: Path) -> list[str]:
    preset, *overrides = PRESETS[name]
    flags = [part for override in (*FAST, *overrides) for part in ("--set", override)]
    return ["run", "--preset", preset, "--data", str(shop), "--out", str(out), "--device", "cpu", *flags]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    write_demo_shop(folder, num_items=60, num_users=60)
    return folder


@pytest.fixture(scope="module", params=PRESETS)
def bundle_folder(shop: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    out = tmp_path_factory.mktemp("bundles") / request.param
    result = CliRunner().invoke(app, arguments(request.param, shop, out))
    assert result.exit_code == 0, result.output
    return out


def test_evaluate_gives_the_figures_that_training_gave(bundle_folder: Path, shop: Path, tmp_path: Path) -> None:
    measured = bundle_folder.parent / "measured"
    result = CliRunner().invoke(app, [*arguments(bundle_folder.name, shop, measured), "--no-refit"])
    assert result.exit_code == 0, result.output
    result = CliRunner().invoke(
        app, ["evaluate", str(measured), "--data", str(shop), "--json", str(tmp_path / "table.json")]
    )
    assert result.exit_code == 0, result.output
    again = json.loads((tmp_path / "table.json").read_text(encoding="utf-8"))
    trained = load_bundle(bundle_folder).manifest.metrics["evaluation"]
    assert again["rows"] == json.loads(json.dumps(trained["rows"]))


async def test_the_service_recommends_filters_explains_and_takes_items(bundle_folder: Path) -> None:
    bundle = load_bundle(bundle_folder)
    history = list(bundle.catalogue.item_ids[:3])
    async with running_service(bundle) as client:
        answer = await client.post("/recommend", json={"history": history, "limit": 10, "explain": True})
        assert answer.status_code == 200, answer.text
        items = answer.json()["items"]
        assert len({item["item_id"] for item in items} - set(history)) == 10
        assert {item["source"] for item in items} <= {"generative", "dense"}
        assert all(item["explanation"]["text"] for item in items)

        posted = await client.post("/items", json={"item_id": "new", "title": bundle.items[0].title})
        assert posted.status_code == 201, posted.text
        only_new = {"history": [*history, "new"], "limit": 60, "include_seen": True}
        listed = (await client.post("/recommend", json=only_new)).json()["items"]
        assert [item for item in listed if item["item_id"] == "new" and item["source"] != "popular"]

        category = bundle.items[0].attributes["category"]
        filtered = await client.post(
            "/recommend",
            json={"history": history, "limit": 5, "filter": {"attribute": "category", "equals": category}},
        )
        assert filtered.status_code == 200, filtered.text
        assert filtered.json()["items"]

        assert (await client.delete("/items/new")).status_code == 204
        listed = (await client.post("/recommend", json=only_new)).json()["items"]
        assert "new" not in {item["item_id"] for item in listed}


def test_a_warm_start_goes_on_from_its_weights(bundle_folder: Path, shop: Path, tmp_path: Path) -> None:
    start = WarmStart(load_bundle(bundle_folder))
    preset = preset_of(start, load_preset("clairo", FAST))
    assert (preset.generator.kind, preset.parallel.width) == (PARALLEL, 16)
    dataset = open_dataset(shop, preset.dataset, preset.encode.modalities, silent)
    # No step is taken: what comes out is what went in.
    preset = replace(preset, parallel=replace(preset.parallel, learning_rate=1e-9, max_epochs=1))
    stages = StageCache(tmp_path)
    bench = Workbench(dataset, preset, 3, torch.device("cpu"), stages, silent, stages.report)
    parts = train_parts(bench, start)
    before, after = (
        load_network(folder) for folder in (start.bundle.measured_generator_folder, parts.generator.checkpoint)
    )
    assert torch.allclose(after.code_vectors, before.code_vectors, atol=1e-5)


def test_the_served_network_has_gone_on_from_the_measured_one(bundle_folder: Path) -> None:
    bundle = load_bundle(bundle_folder)
    served, measured = (load_network(folder) for folder in (bundle.generator_folder, bundle.measured_generator_folder))
    moved = (served.code_vectors - measured.code_vectors).norm() / measured.code_vectors.norm()
    assert 0 < moved.item() < 0.5


def test_tokens_cannot_be_added_for_it(bundle_folder: Path) -> None:
    start = WarmStart(load_bundle(bundle_folder), added_tokens=8)
    with pytest.raises(SettingsError, match=r"--added-tokens 8: .* reads no tokens"):
        preset_of(start, load_preset("clairo"))
