"""Every kind of quantizer, fitted: the laws of its kind."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from clairo_core.errors import QuantizerError, SettingsError, TrainingError
from clairo_core.progress import silent
from clairo_core.quantizers import Quantizer
from training.config.load_preset import overridden_preset
from training.config.preset import AutoencoderSettings, QuantizeSettings
from training.items.balanced_clusters import balanced_codes, clusters
from training.items.code_regularizers import collaborative_loss, diversity_loss
from training.items.fit_autoencoder import Codebooks
from training.items.fit_quantizer import QuantizerFit, fit_quantizer, why_fewer
from training.items.fit_residual import balanced_last_level, fit_residual_kmeans

KINDS = {"rq": 3, "kmeans": 3, "rqvae": 3, "vqvae": 1}
TINY = AutoencoderSettings(width=16, num_layers=2, latent_dim=6, num_steps=150, batch_size=64, learning_rate=5e-3)


def grouped(num_items: int = 400, dim: int = 8, seed: int = 0) -> np.ndarray:
    """Vectors around 20 centres, off the origin."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(20, dim)) + 1.0
    return (centres[random.integers(20, size=num_items)] + 0.2 * random.normal(size=(num_items, dim))).astype(
        np.float32
    )


ITEMS = grouped()


def fit_of(kind: str, autoencoder: AutoencoderSettings = TINY, num_centroids: int = 16) -> QuantizerFit:
    quantize = QuantizeSettings(kind, KINDS.get(kind, 4), num_centroids, min_items_per_centroid=1)
    return QuantizerFit(quantize, autoencoder, 0, torch.device("cpu"), silent)


@pytest.mark.parametrize(
    ("num_codebooks", "num_centroids", "num_items", "reasons"),
    [
        (2, 16, 16, ""),
        (3, 16, 16, "3 codebooks asked for, 8 dimensions divide into 2; fuse.dim_per_modality=6 gives 3"),
        (
            3,
            256,
            200,
            "3 codebooks asked for, 8 dimensions divide into 2; fuse.dim_per_modality=6 gives 3; 256 centroids asked "
            "for, 200 training items give 128 at quantize.min_items_per_centroid=1",
        ),
    ],
)
def test_fewer_codebooks_and_centroids_than_asked_for_are_explained(
    num_codebooks: int, num_centroids: int, num_items: int, reasons: str
) -> None:
    settings = QuantizeSettings("opq", num_codebooks, num_centroids, min_items_per_centroid=1, num_iterations=1)
    fit = QuantizerFit(settings, TINY, 0, torch.device("cpu"), silent)
    quantizer = fit_quantizer(ITEMS[:num_items], 1, fit)
    assert why_fewer(quantizer, 8, num_items, settings, "fuse.dim_per_modality", 4) == reasons


def test_no_size_is_advised_where_none_of_the_setting_gave_the_length() -> None:
    quantizer = fit_quantizer(ITEMS, 1, fit_of("opq"))
    asked = QuantizeSettings("opq", 5, 16)
    assert why_fewer(quantizer, 8, 400, asked, "fuse.final_dim", 64) == (
        "5 codebooks asked for, 8 dimensions divide into 4"
    )


@pytest.fixture(scope="module", params=KINDS)
def fitted(request: pytest.FixtureRequest) -> Quantizer:
    return fit_quantizer(ITEMS, 1, fit_of(request.param))


def lost(quantizer: Quantizer, codes: np.ndarray) -> float:
    error = np.square(ITEMS - quantizer.decode(codes)).sum()
    return float(error / np.square(ITEMS - ITEMS.mean(axis=0)).sum())


def test_codes_reconstruct_most_of_an_item(fitted: Quantizer) -> None:
    assert lost(fitted, fitted.encode(ITEMS)) < 0.5
    assert lost(fitted, fitted.encode(ITEMS)) < lost(fitted, np.roll(fitted.encode(ITEMS), 1, axis=0))


def test_the_residual_norm_falls_by_level(fitted: Quantizer) -> None:
    latent = getattr(fitted, "latent", fitted)
    left = ITEMS if latent is fitted else fitted._latent_vectors(ITEMS)
    norms = [float(np.square(left).mean())]
    for codebook, codes in zip(latent.codebooks, latent.encode(left).T, strict=True):
        left = left - codebook[codes]
        norms.append(float(np.square(left).mean()))
    assert all(after < before for before, after in pairwise(norms))


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_codes_and_few_items_are_enough(kind: str) -> None:
    few = fit_of(kind, replace(TINY, num_steps=20))
    first, again = (fit_quantizer(ITEMS[:11], 1, few) for _ in range(2))
    assert first.num_centroids == 8
    assert np.array_equal(first.encode(ITEMS), again.encode(ITEMS))
    alike = fit_quantizer(np.ones((5, 8), np.float32), 1, few)
    assert np.isfinite(alike.decode(alike.encode(np.ones((2, 8), np.float32)))).all()


def test_balanced_clusters_are_used_more_evenly() -> None:
    skewed = np.vstack([grouped(300) * 0.1, grouped(30, seed=1) * 3])

    def perplexity(is_balanced: bool) -> float:
        codes = fit_residual_kmeans(skewed, 1, 16, 0, is_balanced=is_balanced).encode(skewed)
        share = np.bincount(codes[:, 0], minlength=16) / len(skewed)
        return float(np.exp(-(share[share > 0] * np.log(share[share > 0])).sum()))

    assert perplexity(True) > perplexity(False) + 1


@settings(max_examples=50)
@given(st.integers(1, 40), st.integers(1, 6), st.integers(0, 100))
def test_no_balanced_cluster_exceeds_its_share(num_rows: int, num_clusters: int, seed: int) -> None:
    distances = np.random.default_rng(seed).integers(0, 3, (num_rows, num_clusters)).astype(np.float32)
    codes = balanced_codes(distances)
    assert codes.min() >= 0
    assert np.bincount(codes, minlength=num_clusters).max() <= -(-num_rows // num_clusters)


def test_distinct_rows_as_many_as_clusters_are_the_centroids() -> None:
    rows = np.array([[0.0], [4.0], [9.0]])
    assert sorted(clusters(rows, 3, 0).ravel().tolist()) == [0, 4, 9]


@settings(max_examples=50)
@given(arrays(np.int32, (30, 2), elements=st.integers(0, 2)), st.integers(0, 50))
def test_a_balanced_last_level_keeps_prefixes_and_tells_as_many_items_apart_as_it_can(
    codes: np.ndarray, seed: int
) -> None:
    balanced = balanced_last_level(codes, np.random.default_rng(seed).random((30, 4), np.float32))
    assert np.array_equal(balanced[:, 0], codes[:, 0])
    for prefix in np.unique(codes[:, 0]):
        group = codes[:, 0] == prefix
        if len(np.unique(codes[group, 1])) < group.sum():
            assert np.bincount(balanced[group, 1]).max() == -(-int(group.sum()) // 4)
        else:
            assert np.array_equal(balanced[group], codes[group])


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_a_revived_code_is_used(ema_decay: float) -> None:
    vectors = torch.from_numpy(ITEMS)
    far = torch.full((2, 12, 8), 1e3)
    far[:, 0] = vectors.mean(dim=0)
    codebooks = Codebooks(far, replace(TINY, ema_decay=ema_decay))
    collapsed = codebooks(vectors)
    codebooks.count(collapsed)
    assert collapsed.codes.unique(return_counts=False).tolist() == [0]
    assert codebooks.revive(collapsed, torch.Generator().manual_seed(0)) == 22
    used = codebooks(vectors)
    # Later levels were revived with what is left of the same batch under the old codes.
    assert len(used.codes[:, 0].unique()) == 12
    codebooks.count(used)
    assert codebooks.revive(used, torch.Generator()) < 11
    if ema_decay:
        assert bool(torch.isfinite(codebooks.centroids).all())


def test_without_clusters_and_revival_a_vqvae_uses_fewer_codes() -> None:
    used = [
        len(np.unique(fit_quantizer(ITEMS, 1, fit_of("vqvae", autoencoder)).encode(ITEMS)))
        for autoencoder in (TINY, replace(TINY, prevent_collapse=False, ema_decay=0.99))
    ]
    assert used[0] >= 15
    assert used[1] < used[0]


def test_moving_averages_follow_the_mean_of_their_vectors() -> None:
    codebooks = Codebooks(torch.tensor([[[0.0], [10.0]]]), replace(TINY, ema_decay=0.5))
    codebooks.count(codebooks(torch.tensor([[1.0], [3.0], [9.0]])))
    # Use 1 to 1.5 and 1, sums 0 to 2 and 10 to 9.5.
    torch.testing.assert_close(codebooks.centroids[0, :, 0], torch.tensor([2 / 1.5, 9.5]))
    assert not codebooks.centroids.requires_grad


def test_the_collaborative_loss_gives_items_used_alike_the_same_first_code() -> None:
    random = np.random.default_rng(0)
    used_with = random.integers(4, size=len(ITEMS))
    behaviour = random.normal(size=(4, 6))[used_with] + 0.3 * random.normal(size=(len(ITEMS), 6))
    behaviour /= np.linalg.norm(behaviour, axis=1, keepdims=True)
    content = ITEMS + 0.3 * random.normal(size=(4, 8)).astype(np.float32)[used_with]

    def likeness(weight: float) -> float:
        """Mean cosine of behaviour between items of the same first code."""
        fit = fit_of("rqvae", replace(TINY, collaborative_weight=weight))
        codes = fit_quantizer(content, 1, fit, behaviour if weight else None).encode(content)[:, 0]
        is_same = (codes[:, None] == codes) & ~np.eye(len(codes), dtype=np.bool_)
        return float((behaviour @ behaviour.T)[is_same].mean())

    assert likeness(1.0) > likeness(0.0) + 0.1


def test_regularizers_by_hand() -> None:
    vectors = torch.eye(3)
    agreeing = collaborative_loss(vectors, vectors)
    assert float(agreeing) == pytest.approx(np.log(np.exp(10) + 2) - 10, abs=1e-5)
    assert float(collaborative_loss(vectors, vectors.roll(1, 0))) > 9
    assert float(collaborative_loss(vectors, torch.zeros(3, 3))) == 0
    codes, groups = torch.tensor([0, 0, 2]), torch.tensor([0, 0, 1])
    # Code 2 is alone in its group. Code 0 is to find code 1 among 1 and 2.
    found = diversity_loss(torch.tensor([[1.0, 0], [2, 0], [0, 1]]), codes, groups, torch.Generator())
    assert float(found) == pytest.approx(np.log(np.exp(2) + 1) - 2, abs=1e-5)


def test_with_the_diversity_loss_most_codes_are_used() -> None:
    quantizer = fit_quantizer(ITEMS, 1, fit_of("rqvae", replace(TINY, diversity_weight=0.01)))
    assert len(np.unique(quantizer.encode(ITEMS)[:, 0])) >= 12


def test_what_cannot_be_fitted_is_refused() -> None:
    with pytest.raises(QuantizerError, match="fewer than two rows"):
        fit_quantizer(ITEMS[:1], 1, fit_of("kmeans"))
    with pytest.raises(TrainingError, match=r"lower autoencoder\.learning_rate"):
        fit_quantizer(ITEMS, 1, fit_of("rqvae", replace(TINY, commitment=1e300)))
    with pytest.raises(SettingsError, match=r"expected 1 with quantize\.kind=vqvae"):
        overridden_preset("a", {}, ["quantize.kind=vqvae"], "a")
    with pytest.raises(SettingsError, match=r"ema_decay is 0\.9; expected 0"):
        overridden_preset("a", {}, ["autoencoder.ema_decay=0.9", "autoencoder.diversity_weight=0.1"], "a")
