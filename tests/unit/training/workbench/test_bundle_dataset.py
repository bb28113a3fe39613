"""A dataset is opened as the bundle's training opened it, so unchanged data is recognized."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clairo_core.bundle.bundle import Bundle
from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.progress import silent
from tests.tiny import tiny_bundle
from training.config.preset import DatasetSettings
from training.datasets import Dataset
from training.datasets.open_dataset import open_dataset
from training.workbench.bundle_dataset import open_bundle_dataset

NUM_ITEMS = 40


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load_bundle(tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny", num_items=NUM_ITEMS))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Items with two families of codes, and a picture that cannot be decoded."""
    folder = tmp_path_factory.mktemp("shop")
    random = np.random.default_rng(0)
    (folder / "broken.png").write_bytes(b"not a picture")
    rows = "".join(f"item-{row},Thing {row},{'broken.png' if row == 0 else ''}\n" for row in range(NUM_ITEMS))
    (folder / "items.csv").write_text(f"sku,name,picture\n{rows}", encoding="utf-8")
    codes = "".join(f"item-{row},{','.join(map(str, random.integers(4, size=4)))}\n" for row in range(NUM_ITEMS))
    (folder / "codes.csv").write_text(f"sku,text_0,text_1,image_0,image_1\n{codes}", encoding="utf-8")
    clicks = "".join(f"u{user},item-{(user + at) % NUM_ITEMS},{at}\n" for user in range(30) for at in range(4))
    (folder / "clicks.csv").write_text(f"user,sku,at\n{clicks}", encoding="utf-8")
    (folder / "dataset.toml").write_text(
        'name = "shop"\n[items]\nfile = "items.csv"\nitem_id = "sku"\ntexts = ["name"]\npicture = "picture"\n'
        'unreadable_pictures = "drop"\n'
        '[codes]\nfile = "codes.csv"\nitem_id = "sku"\ncolumns = ["text_0", "text_1", "image_0", "image_1"]\n'
        '[interactions]\nfile = "clicks.csv"\nuser_id = "user"\nitem_id = "sku"\nposition = "at"\n',
        encoding="utf-8",
    )
    return folder


def trained_on(bundle: Bundle, dataset: Dataset, settings: dict[str, Any]) -> Bundle:
    manifest = replace(bundle.manifest, dataset_fingerprint=dataset.fingerprint, settings=settings)
    return replace(bundle, manifest=manifest)


@pytest.mark.parametrize(
    ("settings", "modalities"),
    [
        (DatasetSettings(), ("text", "image")),
        (DatasetSettings(code_columns=("text",)), ("text",)),
        (DatasetSettings(codes="vectors"), ("text_codes", "image_codes")),
        (DatasetSettings(codes="vectors"), ("text_codes", "image")),
    ],
)
def test_unchanged_data_is_recognized_under_any_options_of_the_bundle(
    bundle: Bundle, shop: Path, settings: DatasetSettings, modalities: tuple[str, ...]
) -> None:
    dataset = open_dataset(shop, settings, modalities, silent)
    in_manifest = {"dataset": asdict(settings), "encode": {"modalities": list(modalities)}}
    news: list[str] = []
    opened = open_bundle_dataset(trained_on(bundle, dataset, in_manifest), shop, silent, news.append)
    assert news == []
    assert opened.modalities == dataset.modalities


def test_changed_data_is_reported(bundle: Bundle, shop: Path) -> None:
    news: list[str] = []
    open_bundle_dataset(bundle, shop, silent, news.append)
    assert "was trained on 'tiny shop' in another state" in news[0]
