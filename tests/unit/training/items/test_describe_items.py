"""Held-out items are described like posted ones: by parts that were not fitted on them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from clairo_core.encoders import BuiltinTextEncoder
from clairo_core.progress import silent
from training.config.load_preset import load_preset
from training.config.preset import DatasetSettings, Preset
from training.datasets import Dataset
from training.datasets.open_dataset import open_dataset
from training.demo_shop import write_demo_shop
from training.items.describe_items import describe_items
from training.workbench.stage_cache import StageCache
from training.workbench.workbench import Workbench


def workbench(dataset: Dataset, preset: Preset, seed: int, folder: Path) -> Workbench:
    stages = StageCache(folder / "stages")
    return Workbench(dataset, preset, seed, torch.device("cpu"), stages, silent, stages.report)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    folder = tmp_path_factory.mktemp("described")
    write_demo_shop(folder / "shop", num_items=80, num_users=60)
    dataset = open_dataset(folder / "shop", DatasetSettings(), ("text",), silent)
    preset = load_preset("clairo", ["encode.modalities=text", "encode.text_dim=16", "align.dim=8"])
    return workbench(dataset, preset, 3, folder)


def test_encoders_are_fitted_without_the_held_out_items(bench: Workbench) -> None:
    assert 0 < bench.is_held_out.sum() < 20
    rows = np.flatnonzero(bench.is_training & ~bench.is_held_out)
    fitted = BuiltinTextEncoder.fit([bench.dataset.items[row] for row in rows], dim=16, seed=3)
    content = describe_items(bench).content
    assert content is not None
    encoder = content.encoded["text"].encoder()
    assert isinstance(encoder, BuiltinTextEncoder)
    np.testing.assert_array_equal(encoder.components, fitted.components)


def test_every_item_has_a_feature_set_of_its_own(bench: Workbench) -> None:
    feature_sets = describe_items(bench).feature_sets
    assert len({tuple(row) for row in feature_sets.tolist()}) == 80


def test_whether_an_item_is_held_out_depends_on_its_id_and_the_seed_alone(bench: Workbench) -> None:
    items = bench.dataset.items
    of_id = dict(zip((item.item_id for item in items), bench.is_held_out, strict=True))
    turned = replace(bench, dataset=replace(bench.dataset, items=items[::-1]))
    assert turned.is_held_out.tolist() == [of_id[item.item_id] for item in items[::-1]]
    assert replace(bench, seed=4).is_held_out.tolist() != bench.is_held_out.tolist()


def test_no_item_is_held_out_without_a_dense_head(bench: Workbench, tmp_path: Path) -> None:
    preset = replace(bench.preset, dense=replace(bench.preset.dense, dim=0))
    assert not workbench(bench.dataset, preset, 3, tmp_path).is_held_out.any()


def test_no_item_is_held_out_from_a_small_catalogue(tmp_path: Path) -> None:
    write_demo_shop(tmp_path, num_items=12, num_users=20)
    dataset = open_dataset(tmp_path, DatasetSettings(), ("text",), silent)
    preset = load_preset("clairo", ["encode.modalities=text", "dense.held_out_share=0.9"])
    assert not workbench(dataset, preset, 0, tmp_path).is_held_out.any()
