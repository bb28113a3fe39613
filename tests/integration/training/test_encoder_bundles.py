"""Bundles of a real text encoder and a CLIP: train, export to ONNX, POST /items without the libraries."""

import base64
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.bundle.manifest import read_manifest
from clairo_core.items import Item
from tests.integration.training.test_training_run import arguments
from tests.pretrained import minilm_folder, write_tiny_open_clip
from tests.running_service import running_service
from training.cli import app
from training.demo_shop import write_demo_shop

SHORT = ("fit.max_epochs=1", "fit.validation_users=5", "evaluate.max_users=5", "evaluate.num_beams=5", "align.dim=8")
LIBRARIES = ("sentence_transformers", "open_clip", "timm", "torchvision")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    write_demo_shop(folder, num_items=50, num_users=50)
    return folder


@pytest.fixture(scope="module")
def bundle_folder(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundles") / "pretrained"
    clip = write_tiny_open_clip(tmp_path_factory.mktemp("clip"))
    encoders = (
        f"encode.text_encoder=sentence-transformers:{minilm_folder()}",
        f"encode.image_encoder=open_clip:{clip}",
    )
    result = CliRunner().invoke(app, arguments(shop, out, *SHORT, *encoders))
    assert result.exit_code == 0, result.output
    return out


@pytest.fixture(scope="module")
def exported_folder(bundle_folder: Path) -> Path:
    out = bundle_folder.parent / "exported"
    result = CliRunner().invoke(app, ["export-encoders", str(bundle_folder), "--out", str(out)])
    assert result.exit_code == 0, result.output
    return out


def test_the_manifest_names_the_models(bundle_folder: Path, exported_folder: Path) -> None:
    trained, exported = read_manifest(bundle_folder), read_manifest(exported_folder)
    assert trained.encoders["text"] == "sentence-transformers:model"
    assert trained.encoders["image"].startswith("open_clip:")
    assert exported.encoders == {modality: f"onnx:{name}" for modality, name in trained.encoders.items()}
    assert exported.bundle_id != trained.bundle_id


def test_an_export_describes_items_as_the_original_does(bundle_folder: Path, exported_folder: Path) -> None:
    trained, exported = load_bundle(bundle_folder), load_bundle(exported_folder)
    posted = Item(item_id="new", texts={"title": "a blue lamp"}, picture=trained.read_picture(0))
    first, second = (bundle.describe(posted, bundle.catalogue.taken) for bundle in (trained, exported))
    assert first.semantic_id == second.semantic_id
    assert first.feature_set == second.feature_set


async def test_a_posted_item_is_described_without_the_libraries(
    exported_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for library in LIBRARIES:
        monkeypatch.setitem(sys.modules, library, None)
    bundle = load_bundle(exported_folder)
    picture = base64.b64encode(bundle.read_picture(3) or b"").decode()
    async with running_service(bundle) as client:
        posted = await client.post("/items", json={"item_id": "new", "title": "a red lamp", "picture": picture})
        assert posted.status_code == 201, posted.text
        assert posted.json()["missing_modalities"] == []
        answer = await client.post("/recommend", json={"history": ["new"], "limit": 5})
        assert len(answer.json()["items"]) == 5


def test_a_bundle_can_be_exported_in_its_own_place(exported_folder: Path) -> None:
    before = read_manifest(exported_folder)
    result = CliRunner().invoke(app, ["export-encoders", str(exported_folder)])
    assert result.exit_code == 0, result.output
    assert "copied" in result.stderr
    assert read_manifest(exported_folder).bundle_id == before.bundle_id
    load_bundle(exported_folder)


def test_a_learned_image_encoder_alone_makes_a_bundle(shop: Path, tmp_path: Path) -> None:
    out = tmp_path / "learned"
    settings = ("encode.image_encoder=learned", "encode.learned_epochs=1", "encode.modalities=image")
    result = CliRunner().invoke(app, arguments(shop, out, *SHORT, *settings))
    assert result.exit_code == 0, result.output
    bundle = load_bundle(out)
    assert dict(bundle.manifest.encoders) == {"image": "learned-image"}
    assert len({tuple(row) for row in bundle.catalogue.feature_sets.tolist()}) == 50
    described = bundle.describe(Item(item_id="new", picture=bundle.read_picture(0)), bundle.catalogue.taken)
    assert described.feature_set not in bundle.catalogue.taken
