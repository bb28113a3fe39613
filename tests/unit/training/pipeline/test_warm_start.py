"""A warm start from a bundle: known items keep their features, new ones are described by it."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from clairo_core.bundle.bundle import Bundle
from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.errors import GeneratorError, SettingsError, TrainingError
from clairo_core.generation.parallel.network import NetworkSizes, ParallelNetwork
from clairo_core.generation.parallel.parallel_checkpoint import save_network
from clairo_core.progress import silent
from clairo_core.sequences import ItemSequences
from clairo_core.tokens.spelling import Spelling
from clairo_core.tokens.tokenizer import Tokenizer
from clairo_core.tokens.vocabulary import vocabulary_of_features
from tests.tiny import tiny_bundle, tiny_items
from training.config.load_preset import load_preset
from training.config.preset import TOKEN, Preset
from training.datasets.dataset import build_dataset
from training.generator.expand_generator import expand_generator
from training.items.carry_items import carry_items
from training.pipeline.warm_start import WarmStart, preset_of, taken_over
from training.vocabulary.vocabulary_stage import grown_vocabulary_stage
from training.workbench.stage_cache import StageCache
from training.workbench.workbench import Workbench

NUM_ITEMS = 30


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load_bundle(tiny_bundle(tmp_path_factory.mktemp("bundles") / "old", num_items=NUM_ITEMS))


def bench_of(folder: Path, start: WarmStart) -> Workbench:
    """The bundle's items, newest first, with three more among them."""
    items = tuple(reversed(tiny_items(NUM_ITEMS + 3)))
    sequences = [[user % len(items), (user + 1) % len(items), (user + 2) % len(items), 0, 1] for user in range(40)]
    users = tuple(f"user-{user}" for user in range(40))
    dataset = build_dataset("shop", items, users, ItemSequences.from_lists(sequences))
    preset = preset_of(start, load_preset("clairo"))
    stages = StageCache(folder)
    return Workbench(dataset, preset, 0, torch.device("cpu"), stages, silent, stages.report)


def test_known_items_keep_their_features_and_new_ones_are_described_by_the_bundle(
    bundle: Bundle, tmp_path: Path
) -> None:
    bench = bench_of(tmp_path, WarmStart(bundle))
    described = carry_items(bench, bundle)
    row_of = {item.item_id: row for row, item in enumerate(bench.dataset.items)}
    for row, item_id in enumerate(bundle.catalogue.item_ids):
        assert tuple(described.feature_sets[row_of[item_id]]) == tuple(bundle.catalogue.feature_sets[row])
    assert described.content is not None
    new_items = [item for item in bench.dataset.items if item.item_id not in bundle.catalogue]
    for item, by_bundle in zip(new_items, bundle.describe_items(new_items, bundle.catalogue.taken), strict=True):
        assert tuple(described.feature_sets[row_of[item.item_id]]) == by_bundle.feature_set
        assert np.array_equal(described.content.fused.item_embeddings[row_of[item.item_id]], by_bundle.item_embedding)
    assert len({tuple(row) for row in described.feature_sets.tolist()}) == NUM_ITEMS + 3
    assert set(described.content.encoded) == {"text", "image"}


def test_known_items_with_other_words_keep_their_features_and_their_embeddings_follow(
    bundle: Bundle, tmp_path: Path
) -> None:
    bench = bench_of(tmp_path, WarmStart(bundle))
    other = bench.dataset.items[20]
    changed = {"item-5": dataclasses.replace(other, item_id="item-5")}
    items = tuple(changed.get(item.item_id, item) for item in bench.dataset.items)
    dataset = build_dataset("shop", items, bench.dataset.user_ids, bench.dataset.sequences)
    described = carry_items(dataclasses.replace(bench, dataset=dataset), bundle)
    assert described.content is not None
    row_of = {item.item_id: row for row, item in enumerate(items)}
    for row, item_id in enumerate(bundle.catalogue.item_ids):
        embedding = described.content.fused.item_embeddings[row_of[item_id]]
        assert tuple(described.feature_sets[row_of[item_id]]) == tuple(bundle.catalogue.feature_sets[row])
        assert bundle.item_embeddings is not None
        expected = bundle.item_embeddings.item_embeddings[row]
        if item_id in changed:
            expected = bundle.describe(other, ()).item_embedding
        np.testing.assert_allclose(embedding, expected, atol=1e-5)


def test_the_vocabulary_stays_or_grows_and_the_generator_has_a_row_for_every_token(
    bundle: Bundle, tmp_path: Path
) -> None:
    old = load_file(bundle.generator_folder / "model.safetensors")["shared.weight"]
    for added in (0, 6):
        bench = bench_of(tmp_path / str(added), WarmStart(bundle, added))
        vocabulary = grown_vocabulary_stage(bench, carry_items(bench, bundle), bundle.vocabulary, added).vocabulary
        assert bundle.vocabulary.size <= vocabulary.size <= bundle.vocabulary.size + added
        assert (vocabulary.size > bundle.vocabulary.size) == (added > 0)
        expand_generator(bundle.generator_folder, tmp_path / "start", vocabulary)
        weights = load_file(tmp_path / "start" / "model.safetensors")["shared.weight"]
        assert len(weights) == vocabulary.size
        assert torch.equal(weights[: len(old)], old)
        assert Tokenizer(vocabulary).vocabulary.num_features == bundle.vocabulary.num_features


def test_a_vocabulary_that_merges_nothing_cannot_grow(bundle: Bundle, tmp_path: Path) -> None:
    bench = bench_of(tmp_path, WarmStart(bundle))
    ordered = vocabulary_of_features(("code_0", "code_1"), (2, 2), Spelling.ORDERED)
    with pytest.raises(SettingsError, match="--added-tokens 5: the bundle's vocabulary is ordered and merges nothing"):
        grown_vocabulary_stage(bench, carry_items(bench, bundle), ordered, 5)


def test_the_preset_takes_over_the_bundles_modalities_and_shape(bundle: Bundle) -> None:
    preset = preset_of(WarmStart(bundle), load_preset("clairo_token", ["encode.modalities=text", "fit.max_epochs=2"]))
    assert set(preset.encode.modalities) == {"text", "image"}
    assert (preset.generator.d_model, preset.generator.num_heads) == (24, 3)
    assert preset.fit.softmax == "vocabulary"
    assert preset.fit.max_epochs == 2


def trained_by(bundle: Bundle, preset: Preset) -> WarmStart:
    """A start from the bundle as if this preset had made it."""
    settings = json.loads(json.dumps(preset.as_dict()))
    return WarmStart(dataclasses.replace(bundle, manifest=dataclasses.replace(bundle.manifest, settings=settings)))


def test_settings_of_features_and_tokens_are_those_that_made_the_bundle(bundle: Bundle) -> None:
    overrides = ["quantize.num_codebooks=8", "fuse.weights=text=1,image=0.5", "vocabulary.size=900"]
    made_by = load_preset("clairo_token", overrides)
    taken = preset_of(trained_by(bundle, made_by), load_preset("tiger", ["vocabulary.max_mib=64"]))
    assert (taken.quantize, taken.fuse, taken.align) == (made_by.quantize, made_by.fuse, made_by.align)
    assert dataclasses.replace(taken.vocabulary, max_mib=made_by.vocabulary.max_mib) == made_by.vocabulary
    assert taken.vocabulary.max_mib == 64
    assert taken.dense == load_preset("tiger").dense


@pytest.mark.parametrize(
    "override", ["quantize.num_codebooks=8", "encode.text_dim=32", "vocabulary.size=900", "generator.d_model=32"]
)
def test_an_override_that_would_change_nothing_is_refused(bundle: Bundle, override: str) -> None:
    start = trained_by(bundle, load_preset("clairo_token"))
    overrides = ["fit.max_epochs=2", override]
    with pytest.raises(SettingsError, match=f"--warm-start: encoders, .* got --set {override}; leave it out"):
        taken_over(start, load_preset("clairo_token", overrides), overrides, "--warm-start")


def test_an_override_that_says_what_the_bundle_has_is_taken(bundle: Bundle) -> None:
    start = trained_by(bundle, load_preset("clairo_token", ["quantize.num_codebooks=8"]))
    overrides = ["quantize.num_codebooks=8", "fit.max_epochs=2"]
    taken = taken_over(start, load_preset("clairo_token", overrides), overrides, "--warm-start")
    assert (taken.quantize.num_codebooks, taken.fit.max_epochs) == (8, 2)


@pytest.mark.parametrize(
    ("reader", "encoder"), [("gated-recurrent", "recurrent"), ("normalized-causal-transformer", "transformer")]
)
def test_a_network_of_all_codes_goes_on_with_its_reader(
    bundle: Bundle, tmp_path: Path, reader: str, encoder: str
) -> None:
    taken = preset_of(WarmStart(with_network(bundle, tmp_path, reader)), load_preset("rpg"))
    assert (taken.parallel.encoder, taken.parallel.width, taken.parallel.num_layers) == (encoder, 8, 2)


def test_a_reader_that_is_not_trained_any_more_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    start = WarmStart(with_network(bundle, tmp_path, "causal-transformer"))
    with pytest.raises(GeneratorError, match=r"reads histories by causal-transformer, .* train from scratch"):
        preset_of(start, load_preset("rpg"))


def with_network(bundle: Bundle, folder: Path, reader: str) -> Bundle:
    """The bundle with a network of all codes for its generator."""
    sizes = NetworkSizes(
        num_codebooks=3, num_centroids=8, width=8, max_history_items=5, reader=reader, num_layers=2, num_heads=2
    )
    save_network(ParallelNetwork(sizes), folder / "generator")
    return dataclasses.replace(bundle, folder=folder)


def test_weights_that_were_trained_with_another_split_are_refused(bundle: Bundle) -> None:
    with pytest.raises(SettingsError, match=r"trained with split\.kind=last; got split\.kind=time"):
        preset_of(WarmStart(bundle), load_preset("clairo_token", ["split.kind=time"]))


def test_the_bundles_kind_of_generator_goes_on_whatever_the_presets(bundle: Bundle) -> None:
    assert preset_of(WarmStart(bundle), load_preset("rpg")).generator.kind == TOKEN


def test_a_bundle_of_precomputed_codes_cannot_be_continued(tmp_path: Path) -> None:
    blind = load_bundle(tiny_bundle(tmp_path / "blind", num_items=NUM_ITEMS, can_ingest=False))
    with pytest.raises(TrainingError, match="cannot describe new items; train from scratch"):
        carry_items(bench_of(tmp_path / "stages", WarmStart(blind)), blind)
