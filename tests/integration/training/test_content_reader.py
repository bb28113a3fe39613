"""A T5 that reads content, as that of liger: written, loaded, served, continued, and fed with posted items."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from clairo_core.bundle.bundle import Bundle
from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.errors import SettingsError
from clairo_core.generation.token_generator import TokenGenerator
from clairo_core.items import UserHistory
from clairo_core.progress import silent
from clairo_core.recommender import Recommender
from clairo_core.sequences import ItemSequences
from tests.running_service import running_service
from tests.tiny import tiny_items
from training.config.load_preset import load_preset
from training.datasets.dataset import Dataset, build_dataset
from training.items.describe_items import describe_items
from training.pipeline.run import train_bundle, train_parts
from training.pipeline.warm_start import WarmStart, preset_of
from training.workbench.stage_cache import StageCache
from training.workbench.workbench import Workbench

NUM_ITEMS = 30
SETTINGS = (
    "encode.text_dim=8",
    "fuse.dim_per_modality=8",
    "quantize.num_centroids=8",
    "autoencoder.width=16",
    "autoencoder.latent_dim=4",
    "autoencoder.num_steps=20",
    "generator.d_model=16",
    "generator.d_ff=16",
    "generator.num_layers=1",
    "fit.max_epochs=2",
    "fit.validation_users=10",
    "dense.dim=0",
    "mix.kind=fitted",
    "evaluate.num_beams=10",
    "evaluate.num_resamples=10",
)
"""Without a dense head, so that every score is the T5's."""


def shop() -> Dataset:
    walks = [[(user + step) % NUM_ITEMS for step in range(6)] for user in range(40)]
    users = tuple(f"user-{user}" for user in range(len(walks)))
    return build_dataset("shop", tiny_items(NUM_ITEMS), users, ItemSequences.from_lists(walks))


def bench_of(folder: Path, start: WarmStart | None = None, dataset: Dataset | None = None) -> Workbench:
    preset = load_preset("liger", SETTINGS)
    if start is not None:
        preset = preset_of(start, preset)
    return Workbench(dataset or shop(), preset, 0, torch.device("cpu"), StageCache(folder), silent, lambda _: None)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    return bench_of(tmp_path_factory.mktemp("stages"))


@pytest.fixture(scope="module")
def bundle(bench: Workbench, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    out = tmp_path_factory.mktemp("bundles") / "liger"
    train_bundle(bench, out)
    return load_bundle(out)


def scores_of(recommender: Recommender, *item_ids: str) -> dict[str, float]:
    answer = recommender.recommend(UserHistory(item_ids), 5, include_seen=True)
    return {item.item_id: item.score for item in answer.items}


def projection_in(folder: Path) -> torch.Tensor:
    return load_file(folder / "model.safetensors")["content_projection.weight"]


def test_the_bundle_recommends_as_measured_and_its_refit_learned_further(
    bench: Workbench, bundle: Bundle, tmp_path: Path
) -> None:
    train_bundle(bench, tmp_path / "measured", is_refitted=False)
    measured, served = train_parts(bench).recommender, load_bundle(tmp_path / "measured").recommender("cpu")
    assert scores_of(served, "item-3", "item-4") == scores_of(measured, "item-3", "item-4")
    assert not torch.equal(projection_in(bundle.generator_folder), projection_in(bundle.measured_generator_folder))


def test_a_posted_item_in_a_history_is_read_by_its_content(bundle: Bundle) -> None:
    recommender = bundle.recommender("cpu")
    described = bundle.describe(replace(bundle.items[4], item_id="new"), recommender.catalogue.taken)
    catalogue = recommender.catalogue.with_item("new", described.feature_set, recommender.tokenizer)
    with_new, with_other = (
        recommender.with_catalogue(catalogue, embedding[None])
        for embedding in (described.item_embedding, -described.item_embedding)
    )
    assert isinstance(with_new.generator, TokenGenerator)
    assert with_new.generator.item_embeddings is not None
    np.testing.assert_array_equal(with_new.generator.item_embeddings.rows[-1], described.item_embedding)
    assert scores_of(with_new, "item-3", "new") != scores_of(with_other, "item-3", "new")
    assert scores_of(with_new, "item-3") == scores_of(with_other, "item-3"), "only where it is in the history"


async def test_the_service_reads_posted_and_changed_content(bundle: Bundle) -> None:
    async with running_service(bundle) as client:

        async def scores(*history: str) -> list[float]:
            answer = await client.post("/recommend", json={"history": history, "limit": 5, "include_seen": True})
            assert answer.status_code == 200, answer.text
            return [item["score"] for item in answer.json()["items"]]

        words = {"title": bundle.items[4].title, "description": bundle.items[4].texts["description"]}
        posted = await client.post("/items", json={"item_id": "new", **words})
        assert posted.status_code == 201, posted.text
        known, alone = await scores("item-3", "item-7"), await scores("new")
        assert alone
        changed = await client.put("/items/item-7", json={"title": "A teapot of blue china", "description": "For tea."})
        assert changed.status_code == 200, changed.text
        assert await scores("item-3", "item-7") != known, "its codes stay, its embedding is read again"
        assert await scores("new") == alone


def test_a_warm_start_reads_content_whatever_its_preset_says(bundle: Bundle, tmp_path: Path) -> None:
    start = WarmStart(bundle)
    assert preset_of(start, load_preset("tiger")).generator.reads_content
    bench = bench_of(tmp_path, start)
    still = replace(bench.preset, fit=replace(bench.preset.fit, learning_rate=1e-9, max_epochs=1))
    parts = train_parts(replace(bench, preset=still), start)
    before = projection_in(bundle.measured_generator_folder)
    torch.testing.assert_close(projection_in(parts.generator.checkpoint), before, rtol=0, atol=1e-5)


def test_tokens_cannot_be_added_to_it(bundle: Bundle) -> None:
    with pytest.raises(SettingsError, match=r"--added-tokens 3: .*generator.reads_content=true, .* do not merge"):
        preset_of(WarmStart(bundle, added_tokens=3), load_preset("liger"))


def test_codes_that_came_with_the_data_are_refused_by_the_settings_name(tmp_path: Path) -> None:
    coded = replace(shop(), semantic_ids=np.zeros((NUM_ITEMS, 2), dtype=np.int32))
    with pytest.raises(SettingsError, match=r"come with codes.*generator.reads_content=false, or .*codes=vectors"):
        describe_items(bench_of(tmp_path, dataset=coded))
