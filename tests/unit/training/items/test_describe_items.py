"""Held-out items are described like posted ones, by parts not fitted on them; buckets and numbers keep ids apart."""

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
from training.items.describe_items import describe_items, drawn_buckets
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


def test_random_buckets_keep_ids_unique_and_those_that_moved_are_reported(bench: Workbench) -> None:
    quantize = replace(bench.preset.quantize, collision="hash", num_codebooks=1, num_centroids=2)
    reported: list[str] = []
    hashed = replace(bench, preset=replace(bench.preset, quantize=quantize), report=reported.append)
    items = describe_items(hashed)
    assert items.space.category_sizes == (2, 128)
    assert len({tuple(row) for row in items.feature_sets.tolist()}) == 80
    drawn = drawn_buckets(bench.item_ids, 128, seed=3)
    moved = int((items.feature_sets[:, -1] != drawn).sum())
    assert 0 < moved < 40
    assert f"128 random hash buckets; {moved} items took a free one in place of their own" in reported[-1]
    alone = replace(hashed, preset=bench.preset)
    assert describe_items(alone).key != items.key


def test_fewer_codes_than_asked_for_are_reported_with_the_reason(bench: Workbench) -> None:
    quantize = replace(bench.preset.quantize, num_codebooks=3)
    reported: list[str] = []
    fewer = replace(bench, preset=replace(bench.preset, quantize=quantize), report=reported.append)
    describe_items(fewer)
    assert "2 codebooks of 4 centroids (3 codebooks asked for, 8 dimensions divide into 2; " in reported[-1]
    assert "dim=9 gives 3; 256 centroids asked for, " in reported[-1]


def test_a_bucket_depends_on_the_items_id_and_the_seed_alone() -> None:
    drawn = drawn_buckets(["a", "b", "c"], 128, seed=1)
    assert drawn_buckets(["c", "a"], 128, seed=1).tolist() == drawn[[2, 0]].tolist()
    assert drawn_buckets(["a", "b", "c"], 128, seed=2).tolist() != drawn.tolist()


@pytest.mark.parametrize("kind", ["random", "sequential"])
def test_numbered_items_have_no_content_and_codes_of_the_data_are_ignored(bench: Workbench, kind: str) -> None:
    quantize = replace(bench.preset.quantize, kind=kind, num_centroids=16)
    numbered = replace(bench, preset=replace(bench.preset, quantize=quantize))
    items = describe_items(numbered)
    assert items.content is None
    assert items.space.category_names == ("digit_0", "digit_1")
    assert items.space.category_sizes == (5, 16)
    codes = replace(
        bench.dataset,
        semantic_ids=np.zeros((80, 1), np.int32),
        codebook_names=("code",),
        codebook_sizes=(1,),
    )
    assert np.array_equal(describe_items(replace(numbered, dataset=codes)).feature_sets, items.feature_sets)


def test_numbers_of_another_seed_or_kind_are_another_result(bench: Workbench) -> None:
    def key(kind: str, seed: int) -> str:
        quantize = replace(bench.preset.quantize, kind=kind)
        return describe_items(replace(bench, preset=replace(bench.preset, quantize=quantize), seed=seed)).key

    keys = [key("random", 0), key("random", 1), key("sequential", 0)]
    assert len(set(keys)) == 3
    assert key("sequential", 1) == key("sequential", 0), "first occurrences do not depend on a seed"
