"""Every fusion scheme: any number of modalities, missing ones, saving and loading, and its own promise."""

import ast
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

import clairo_core.bundle
import clairo_core.fusion
import clairo_core.quantizers
from clairo_core.encoders import ModalityEmbeddings
from clairo_core.errors import FusionError, SettingsError
from clairo_core.fusion import (
    AttentionFusion,
    ConcatPcaFusion,
    Fusion,
    GatedFusion,
    ProjectedFusion,
    fit_final_pca,
    fit_fusion,
    load_fusion,
)
from clairo_core.progress import silent
from clairo_core.quantizers import OpqQuantizer
from clairo_core.sequences import ItemSequences
from training.config.preset import AlignSettings, AutoencoderSettings, FuseSettings, QuantizeSettings
from training.evaluation.split import EvaluationSplit
from training.items import contrast, describe_items, fit_learned_fusion, fit_modality_maps, fuse_content, fusion_weights
from training.items.fit_learned_fusion import fit_attention, fit_gate, neighbouring_items
from training.items.fit_quantizer import QuantizerFit, fit_quantizer
from training.items.fuse_content import align_by_modality, fuse_inputs
from training.items.fusion_weights import choose_weights, nearest_neighbour_recall

NUM_ITEMS, NUM_KINDS = 240, 12
KINDS = np.arange(NUM_ITEMS) % NUM_KINDS


def kinds_seen(noise: float, dim: int, seed: int, missing: float = 0.0) -> ModalityEmbeddings:
    """A modality in which items of a kind are close, but for noise."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(NUM_KINDS, dim))
    vectors = centres[KINDS] + noise * random.normal(size=(NUM_ITEMS, dim))
    is_present = random.random(NUM_ITEMS) >= missing
    return ModalityEmbeddings(np.where(is_present[:, None], vectors, 0).astype(np.float32), is_present)


@pytest.fixture(scope="module")
def modalities() -> dict[str, ModalityEmbeddings]:
    return {
        "words": kinds_seen(0.4, 20, 1, missing=0.1),
        "sound": kinds_seen(0.6, 12, 2, missing=0.3),
        "shape": kinds_seen(3.0, 16, 3),
    }


@pytest.fixture(scope="module")
def training() -> ItemSequences:
    """Users keep to one kind."""
    random = np.random.default_rng(4)
    rows = [np.flatnonzero(random.integers(NUM_KINDS) == KINDS) for _ in range(300)]
    return ItemSequences.from_lists([random.choice(chosen, 5, replace=False).tolist() for chosen in rows])


@pytest.fixture(scope="module")
def validation(training: ItemSequences) -> EvaluationSplit:
    lists = [training[row].tolist() for row in range(len(training))]
    return EvaluationSplit(
        ItemSequences.from_lists([row[:-1] for row in lists]),
        np.array([row[-1] for row in lists], np.int32),
        np.arange(len(lists), dtype=np.int32),
    )


SCHEMES = {
    "concat": FuseSettings(dim_per_modality=6),
    "final pca": FuseSettings(dim_per_modality=6, final_dim=9),
    "whitened": FuseSettings(dim_per_modality=6, whiten=True),
    "gate": FuseSettings(dim_per_modality=6, scheme="gate"),
    "gate, final pca": FuseSettings(dim_per_modality=6, scheme="gate", final_dim=9, whiten=True),
    "attention": FuseSettings(dim_per_modality=6, scheme="attention"),
    "late": FuseSettings(dim_per_modality=6, scheme="late"),
    "weighted": FuseSettings(dim_per_modality=6, weights=("words=2", "shape=0.25")),
    "chosen weights": FuseSettings(dim_per_modality=6, weights=("auto",)),
    "contrastive": FuseSettings(dim_per_modality=6, contrastive_dim=10),
}


@pytest.fixture(scope="module")
def fitted(
    modalities: dict[str, ModalityEmbeddings], training: ItemSequences, validation: EvaluationSplit
) -> Callable[[str], Fusion]:
    is_training = np.arange(NUM_ITEMS) < 220

    @cache
    def fit(scheme: str) -> Fusion:
        return fuse_content.fuse_content(
            modalities, is_training, training, validation, SCHEMES[scheme], 0, lambda message: None
        )

    return fit


@pytest.mark.parametrize("scheme", SCHEMES)
def test_three_modalities_at_once_are_fused_saved_and_loaded(
    scheme: str, modalities: dict[str, ModalityEmbeddings], fitted: Callable[[str], Fusion], tmp_path: Path
) -> None:
    fusion = fitted(scheme)
    fused = fusion.fuse(modalities)
    assert fused.item_embeddings.shape == (NUM_ITEMS, fusion.dim)
    assert fusion.dim == (SCHEMES[scheme].final_dim or 18)
    assert np.isfinite(fused.item_embeddings).all()
    assert fusion.modalities == tuple(modalities)
    fusion.save(tmp_path)
    loaded = load_fusion(tmp_path)
    assert type(loaded) is type(fusion)
    assert np.array_equal(loaded.fuse(modalities).item_embeddings, fused.item_embeddings)
    energies = loaded.modality_energies(np.eye(fusion.dim))
    assert energies.shape == (fusion.dim, 3)
    assert (energies >= 0).all()
    assert (energies.sum(axis=0) > 0).all()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_an_item_is_fused_alone_as_among_others_and_without_content_to_the_origin(
    scheme: str, modalities: dict[str, ModalityEmbeddings], fitted: Callable[[str], Fusion]
) -> None:
    fusion = fitted(scheme)
    alone = {name: ModalityEmbeddings(given.vectors[7:8], given.is_present[7:8]) for name, given in modalities.items()}
    together = fusion.fuse(modalities).item_embeddings[7]
    assert np.allclose(fusion.fuse(alone).item_embeddings[0], together, atol=1e-5)
    nothing = {
        name: ModalityEmbeddings(np.zeros_like(given.vectors), np.zeros(1, np.bool_)) for name, given in alone.items()
    }
    unknown = fusion.fuse(nothing)
    assert not unknown.item_embeddings.any()
    assert not unknown.is_present.any()


def test_untrained_gates_and_attention_are_the_plain_concatenation(modalities: dict[str, ModalityEmbeddings]) -> None:
    content = fit_fusion(modalities, 6)
    plain = content.fuse(modalities)
    count = len(modalities)
    gate = GatedFusion(
        content,
        np.zeros((18, count), np.float32),
        np.zeros((count, count), np.float32),
        np.zeros(count, np.float32),
        np.ones(count, np.float32),
    )
    assert np.allclose(gate.fuse(modalities).item_embeddings, plain.item_embeddings, atol=1e-6)
    attention = AttentionFusion(
        content,
        np.zeros((count, 6, 4), np.float32),
        np.zeros((count, 4), np.float32),
        np.zeros(4, np.float32),
        np.eye(18, dtype=np.float32).reshape(count, 6, 18),
        np.ones((count, 6), np.float32),
    )
    is_whole = plain.is_present.all(axis=1)
    assert np.allclose(attention.fuse(modalities).item_embeddings[is_whole], plain.item_embeddings[is_whole], atol=1e-5)


def test_a_gate_lowers_an_uninformative_modality(
    modalities: dict[str, ModalityEmbeddings], training: ItemSequences
) -> None:
    fusion, gain = fit_gate(fit_fusion(modalities, 6), modalities, training, 0)
    assert gain > 0
    of_words, _, of_noise = fusion.mean_squares
    assert of_noise < of_words


def test_attention_lowers_the_loss_and_shares_add_up(
    modalities: dict[str, ModalityEmbeddings], training: ItemSequences
) -> None:
    content = fit_fusion(modalities, 6)
    fusion, gain = fit_attention(content, modalities, training, 0)
    assert gain > 0
    fused = content.fuse(modalities)
    shares = fusion.attention(fused.item_embeddings.reshape(NUM_ITEMS, 3, 6), fused.is_present)
    has_any = fused.is_present.any(axis=1)
    assert np.allclose(shares[has_any].sum(axis=1), 1)
    assert (shares[has_any][~fused.is_present[has_any]] < 1e-6).all()


def test_learned_fusion_is_the_same_for_the_same_seed(
    modalities: dict[str, ModalityEmbeddings], training: ItemSequences
) -> None:
    content = fit_fusion(modalities, 4)
    first, second = (fit_gate(content, modalities, training, 3)[0] for _ in range(2))
    assert np.array_equal(first.part_weights, second.part_weights)


def test_neighbours_weigh_the_product_of_their_events() -> None:
    sequences = ItemSequences.from_lists([[1, 2, 2], [3, 4]])
    pairs, weights = neighbouring_items(replace(sequences, weights=np.array([1, 0.5, 1, 0.25, 0.5], np.float32)))
    assert (pairs.tolist(), weights.tolist()) == ([[1, 2], [3, 4]], [0.5, 0.125])
    assert neighbouring_items(sequences)[1] is None


def test_events_of_one_weight_give_the_fusion_of_events_without_weights(
    modalities: dict[str, ModalityEmbeddings], training: ItemSequences
) -> None:
    content = fit_fusion(modalities, 4)
    half = replace(training, weights=np.full(len(training.items), 0.5, np.float32))
    few = replace(training, weights=np.where(np.arange(len(training.items)) % 50 < 5, 1.0, 0.01).astype(np.float32))
    plain, alike, other = (fit_gate(content, modalities, one, 3)[0].part_weights for one in (training, half, few))
    assert np.allclose(alike, plain, atol=1e-4)
    assert not np.allclose(other, plain, atol=1e-3)


def test_too_few_histories_leave_the_concatenation(modalities: dict[str, ModalityEmbeddings]) -> None:
    content = fit_fusion(modalities, 4)
    fusion, gain = fit_gate(content, modalities, ItemSequences.from_lists([[1, 2]]), 0)
    assert gain == 0
    assert not fusion.part_weights.any()


def test_chosen_weights_favour_the_most_predictive_modality(
    modalities: dict[str, ModalityEmbeddings], validation: EvaluationSplit
) -> None:
    content = fit_fusion(modalities, 6)
    parts = dict(zip(modalities, np.split(content.fuse(modalities).item_embeddings, 3, axis=1), strict=True))
    weights = choose_weights(parts, validation)
    assert weights["words"] == 1
    assert weights["shape"] < 1

    def quality(weights: dict[str, float]) -> float:
        fused = np.concatenate([part * weights[name] for name, part in parts.items()], axis=1)
        return nearest_neighbour_recall(fused, validation)

    assert quality(weights) >= quality(dict.fromkeys(parts, 1.0))


def test_the_proxy_finds_neighbours_and_nothing_in_constant_embeddings(validation: EvaluationSplit) -> None:
    by_kind = np.eye(NUM_KINDS)[KINDS]
    assert nearest_neighbour_recall(by_kind, validation) == 1.0
    assert nearest_neighbour_recall(np.ones((NUM_ITEMS, 3)), validation) == 0.0


def test_weights_scale_a_modality_s_part(modalities: dict[str, ModalityEmbeddings]) -> None:
    plain = fit_fusion(modalities, 6).fuse(modalities).item_embeddings
    weighted = fit_fusion(modalities, 6, weights={"sound": 3.0}).fuse(modalities).item_embeddings
    assert np.allclose(weighted[:, 6:12], 3 * plain[:, 6:12], atol=1e-5)
    assert np.array_equal(weighted[:, :6], plain[:, :6])
    with pytest.raises(FusionError, match="positive"):
        fit_fusion(modalities, 6, weights={"sound": 0.0})
    with pytest.raises(FusionError, match="smell"):
        fit_fusion(modalities, 6, weights={"smell": 1.0})


def test_whitened_components_have_equal_variance(modalities: dict[str, ModalityEmbeddings]) -> None:
    fused = fit_fusion({"shape": modalities["shape"]}, 6, whiten=True).fuse(modalities).item_embeddings
    assert np.allclose(fused.std(axis=0), 1 / np.sqrt(6), rtol=0.05)
    final = fit_final_pca(fit_fusion(modalities, 6), modalities, 5, whiten=True)
    spread = final.fuse(modalities).item_embeddings.std(axis=0)
    assert spread.max() < 1.2 * spread.min()


def test_a_final_pca_keeps_the_most_variance_possible(
    modalities: dict[str, ModalityEmbeddings],
) -> None:
    content = fit_fusion(modalities, 6)
    final = fit_final_pca(content, modalities, 4)
    assert isinstance(final, ProjectedFusion)
    fused = content.fuse(modalities).item_embeddings
    spreads = np.linalg.svd(fused - fused.mean(axis=0), compute_uv=False)
    kept = np.linalg.norm(final.fuse(modalities).item_embeddings - final.fuse(modalities).item_embeddings.mean(axis=0))
    scale = np.linalg.norm(final.alignment[:, 0])
    assert kept / scale == pytest.approx(np.linalg.norm(spreads[:4]), rel=0.02)
    with pytest.raises(FusionError, match="at least 1"):
        fit_final_pca(content, modalities, 0)


def test_aligned_modalities_find_each_other_s_items(modalities: dict[str, ModalityEmbeddings]) -> None:
    maps, gain = fit_modality_maps.fit_modality_maps(modalities, 10, 0)
    assert gain > 0

    def kinds_found(maps: dict[str, np.ndarray]) -> float:
        sides = []
        for name in ("words", "sound"):
            given = modalities[name]
            side = (given.vectors - given.vectors[given.is_present].mean(axis=0)) @ maps[name]
            sides.append(side / np.linalg.norm(side, axis=1, keepdims=True))
        both = modalities["words"].is_present & modalities["sound"].is_present
        nearest = (sides[0][both] @ sides[1][both].T).argmax(axis=1)
        return float((KINDS[both][nearest] == KINDS[both]).mean())

    unaligned = {name: np.eye(given.vectors.shape[1])[:, :10] for name, given in modalities.items()}
    assert kinds_found(maps) > kinds_found(unaligned) + 0.3


def test_one_modality_alone_needs_no_alignment() -> None:
    maps, gain = fit_modality_maps.fit_modality_maps({"words": kinds_seen(0.3, 8, 0)}, 4, 0)
    assert gain == 0
    assert maps["words"].shape == (8, 4)


def quantizer_fit(kind: str, num_codebooks: int) -> QuantizerFit:
    return QuantizerFit(
        QuantizeSettings(kind, num_codebooks, num_centroids=8, min_items_per_centroid=1, num_iterations=5),
        AutoencoderSettings(width=16, num_layers=1, latent_dim=4, num_steps=20),
        seed=0,
        device=torch.device("cpu"),
        progress=silent,
    )


@pytest.mark.parametrize("kind", ["opq", "rq", "kmeans", "rqvae"])
def test_late_fusion_gives_every_codebook_one_modality(
    kind: str, modalities: dict[str, ModalityEmbeddings], training: ItemSequences
) -> None:
    content = fit_fusion(modalities, 8)
    everything = np.ones(NUM_ITEMS, np.bool_)
    fused = content.fuse(modalities).item_embeddings
    aligned = align_by_modality(fused, 3, everything, training, AlignSettings(dim=12), 0, ~everything)
    assert aligned.alignment.shape == (24, 12)
    quantizer = fit_quantizer(aligned.item_embeddings, 3, quantizer_fit(kind, 6))
    codes = quantizer.encode(aligned.item_embeddings)
    changed = aligned.item_embeddings.copy()
    changed[:, 4:8] += 5 * np.random.default_rng(0).normal(size=(NUM_ITEMS, 4))
    differ = (quantizer.encode(changed) != codes).any(axis=0)
    assert not differ[[0, 1, 4, 5]].any()
    assert differ[2]
    if kind == "opq":
        assert isinstance(quantizer, OpqQuantizer)
        assert np.allclose(quantizer.rotation @ quantizer.rotation.T, np.eye(12), atol=1e-4)


def test_modalities_aligned_by_contrast_stay_apart_in_late_fusion(
    modalities: dict[str, ModalityEmbeddings], training: ItemSequences, validation: EvaluationSplit
) -> None:
    settings = FuseSettings(dim_per_modality=6, scheme="late", contrastive_dim=10)
    everything = np.ones(NUM_ITEMS, np.bool_)
    fusion = fuse_content.fuse_content(modalities, everything, training, validation, settings, 0, lambda message: None)
    changed = dict(modalities)
    sound = modalities["sound"]
    changed["sound"] = ModalityEmbeddings(sound.vectors[::-1], sound.is_present[::-1])
    differ = (fusion.fuse(changed).item_embeddings != fusion.fuse(modalities).item_embeddings).any(axis=0)
    of_sound = list(fusion.modalities).index("sound")
    assert np.flatnonzero(differ).tolist() == list(range(6 * of_sound, 6 * of_sound + 6))
    assert fuse_content.codebook_names(settings, fusion, 6)[2 * of_sound] == "sound_0"


def test_sizes_that_modalities_cannot_share_equally_are_refused(
    modalities: dict[str, ModalityEmbeddings], training: ItemSequences
) -> None:
    fused = fit_fusion(modalities, 8).fuse(modalities).item_embeddings
    everything = np.ones(NUM_ITEMS, np.bool_)
    with pytest.raises(SettingsError, match=r"align\.dim is 64; expected a multiple of 3"):
        align_by_modality(fused, 3, everything, training, AlignSettings(), 0, ~everything)
    with pytest.raises(SettingsError, match=r"num_codebooks is 4; expected a multiple of 3"):
        fit_quantizer(fused, 3, quantizer_fit("opq", 4))


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"scheme": "sum"}, "one of concat_pca"),
        ({"scheme": "late", "final_dim": 4}, "keeps them apart"),
        ({"weights": ("words",)}, "modality=number"),
        ({"weights": ("smell=2",)}, "words, sound, shape"),
        ({"weights": ("words=-1",)}, "positive"),
        ({"weights": ("words=inf",)}, "positive"),
    ],
)
def test_contradictory_settings_are_refused(
    changed: dict[str, object],
    expected: str,
    modalities: dict[str, ModalityEmbeddings],
    training: ItemSequences,
    validation: EvaluationSplit,
) -> None:
    everything = np.ones(NUM_ITEMS, np.bool_)
    settings = replace(FuseSettings(dim_per_modality=4), **changed)
    with pytest.raises(SettingsError, match=expected):
        fuse_content.fuse_content(modalities, everything, training, validation, settings, 0, lambda message: None)


def test_a_setting_at_its_default_changes_no_earlier_stage() -> None:
    assert fuse_inputs(FuseSettings()) == {"dim_per_modality": 64}
    assert fuse_inputs(FuseSettings(scheme="gate")) == {"dim_per_modality": 64, "scheme": "gate"}


@pytest.mark.parametrize("scheme", ["gate", "attention", "final pca"])
def test_a_damaged_scheme_is_refused_by_name(scheme: str, fitted: Callable[[str], Fusion], tmp_path: Path) -> None:
    fitted(scheme).save(tmp_path)
    (tmp_path / "arrays.safetensors").write_bytes(b"{}")
    with pytest.raises(FusionError, match=r"arrays\.safetensors"):
        load_fusion(tmp_path)


def test_no_fusion_or_quantizer_names_a_modality() -> None:
    modules = [
        contrast,
        describe_items,
        fit_learned_fusion,
        fit_modality_maps,
        fuse_content,
        fusion_weights,
    ]
    files = [Path(module.__file__ or "") for module in modules]
    for package in (clairo_core.bundle, clairo_core.fusion, clairo_core.quantizers):
        files += Path(package.__file__ or "").parent.glob("*.py")
    assert len(files) > 12
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant):
                assert node.value not in ("text", "image", "picture", "audio"), f"{file.name}:{node.lineno}"


def test_one_modality_is_fused_like_many(training: ItemSequences, validation: EvaluationSplit) -> None:
    alone = {"sound": kinds_seen(0.5, 10, 0)}
    everything = np.ones(NUM_ITEMS, np.bool_)
    for scheme in ("final pca", "gate", "attention", "late", "chosen weights", "contrastive"):
        settings = SCHEMES[scheme]
        fusion = fuse_content.fuse_content(alone, everything, training, validation, settings, 0, lambda message: None)
        assert np.isfinite(fusion.fuse(alone).item_embeddings).all()
    assert isinstance(fit_fusion(alone, 6), ConcatPcaFusion)
