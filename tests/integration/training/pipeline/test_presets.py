"""Every preset on a cut of the demo shop: trains, is evaluated, serves, and takes a posted item or says why not."""

import json
from pathlib import Path

import pytest
import torch

from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.progress import silent
from tests.engine_elsewhere import Elsewhere, ignored
from tests.running_service import running_service
from training.config.load_preset import PRESETS_FOLDER, load_preset
from training.datasets import Dataset, load_dataset
from training.demo_shop import write_demo_shop
from training.pipeline.run import train_bundle
from training.workbench.stage_cache import StageCache
from training.workbench.workbench import Workbench

PRESETS = sorted(path.stem for path in PRESETS_FOLDER.glob("*.toml"))
NUM_ITEMS, NUM_USERS = 36, 40
SMALL = (
    "encode.text_dim=8",
    "fuse.dim_per_modality=8",
    "quantize.num_centroids=8",
    "quantize.num_iterations=3",
    "autoencoder.width=16",
    "autoencoder.latent_dim=4",
    "autoencoder.batch_size=16",
    "autoencoder.num_steps=20",
    "vocabulary.size=0",
    "generator.d_model=16",
    "generator.d_kv=8",
    "generator.d_ff=16",
    "generator.num_layers=1",
    "generator.num_heads=2",
    "fit.max_epochs=1",
    "fit.batch_size=32",
    "fit.validation_users=10",
    "parallel.width=16",
    "parallel.max_epochs=1",
    "parallel.validation_users=10",
    "dense.encoder=recurrent",
    "dense.width=8",
    "dense.max_epochs=1",
    "dense.validation_users=10",
    "mix.max_users=20",
    "evaluate.num_views=1",
    "evaluate.num_beams=10",
    "evaluate.num_resamples=10",
)
"""Sizes of every preset; what a preset switches off stays off."""
SMALL_WHERE_USED = ("align.dim=8", "dense.dim=8", "fuse.final_dim=8")
"""Set only where the preset's own value is not 0."""
OF_PRESET: dict[str, tuple[str, ...]] = {"mql4grec": ("evaluate.num_views=2",)}
"""Further sizes, by preset."""


def overrides_of(name: str) -> list[str]:
    sections = load_preset(name).as_dict()
    used = [
        override
        for override in SMALL_WHERE_USED
        for section, key in [override.partition("=")[0].split(".")]
        if sections[section][key]
    ]
    return [*SMALL, *used, *OF_PRESET.get(name, ())]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return load_dataset(write_demo_shop(tmp_path_factory.mktemp("shop"), NUM_ITEMS, NUM_USERS))


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> StageCache:
    """Shared: most presets have equal encoders."""
    return StageCache(tmp_path_factory.mktemp("stages"))


@pytest.mark.parametrize("name", PRESETS)
async def test_a_preset_trains_is_evaluated_serves_and_takes_a_posted_item_or_says_why_not(
    name: str, shop: Dataset, stages: StageCache, tmp_path: Path
) -> None:
    preset = load_preset(name, overrides_of(name))
    # Whatever a preset gives to an engine can go to other processes.
    bench = Workbench(shop, preset, 0, torch.device("cpu"), stages, silent, ignored, engine=Elsewhere())
    evaluation = train_bundle(bench, tmp_path / name)
    assert evaluation is not None

    bundle = load_bundle(tmp_path / name)
    assert bundle.manifest.preset == name
    assert bundle.manifest.metrics["evaluation"] == json.loads(json.dumps(evaluation.as_dict()))
    assert len({tuple(row) for row in bundle.catalogue.feature_sets.tolist()}) == NUM_ITEMS
    history = list(bundle.catalogue.item_ids[:3])
    # With a beam per item, the generator reaches all of them.
    async with running_service(bundle, num_beams=NUM_ITEMS + 1, num_views=preset.evaluate.num_views) as client:
        answer = await client.post("/recommend", json={"history": history, "limit": 10})
        assert answer.status_code == 200, answer.text
        assert len({item["item_id"] for item in answer.json()["items"]} - set(history)) == 10

        twin = {"item_id": "new", "title": bundle.items[0].title, "description": bundle.items[0].texts["description"]}
        posted = await client.post("/items", json=twin)
        if not bundle.can_ingest:
            assert (posted.status_code, posted.json()["type"]) == (409, "urn:clairo:problem:cannot-ingest")
            assert name in posted.json()["detail"], "the reason names the preset"
            return
        assert posted.status_code == 201, posted.text
        everything = {"history": history, "limit": NUM_ITEMS + 1}
        listed = (await client.post("/recommend", json=everything)).json()["items"]
        assert [item for item in listed if item["item_id"] == "new" and item["source"] != "popular"]
        answer = await client.post("/recommend", json={"history": [*history, "new"], "limit": 10, "explain": True})
        assert answer.status_code == 200, answer.text
        assert "new" not in {item["item_id"] for item in answer.json()["items"]}
