"""Fusion: equal sizes and energies, the training mean for what is missing, any number of modalities."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clairo_core.encoders import ModalityEmbeddings
from clairo_core.errors import FusionError
from clairo_core.fusion import fit_fusion, load_fusion


def embeddings(num_items: int, dim: int, scale: float = 1.0, seed: int = 0) -> ModalityEmbeddings:
    random = np.random.default_rng(seed)
    vectors = (random.normal(size=(num_items, dim)) * scale + 3).astype(np.float32)
    return ModalityEmbeddings(vectors, np.ones(num_items, dtype=np.bool_))


def test_every_modality_has_the_same_size_and_energy() -> None:
    given_embeddings = {
        "text": embeddings(200, 30, 0.01),
        "image": embeddings(200, 50, 100.0),
        "audio": embeddings(200, 9),
    }
    fused = fit_fusion(given_embeddings, 8).fuse(given_embeddings).item_embeddings
    assert fused.shape == (200, 24)
    for part in np.split(fused, 3, axis=1):
        assert np.square(part).sum(axis=1).mean() == pytest.approx(1.0, rel=1e-3)
        assert np.abs(part.mean(axis=0)).max() < 1e-4


def test_a_missing_modality_takes_the_training_mean_and_a_flag() -> None:
    given_embeddings = {"text": embeddings(100, 20), "image": embeddings(100, 20, seed=1)}
    fusion = fit_fusion(given_embeddings, 4)
    at_mean = ModalityEmbeddings(given_embeddings["image"].vectors.mean(axis=0)[None], np.array([True]))
    missing = ModalityEmbeddings(np.zeros((1, 20), np.float32), np.array([False]))
    text = ModalityEmbeddings(given_embeddings["text"].vectors[:1], np.array([True]))
    without = fusion.fuse({"text": text, "image": missing})
    with_mean = fusion.fuse({"text": text, "image": at_mean})
    assert np.allclose(without.item_embeddings, with_mean.item_embeddings, atol=1e-5)
    assert without.is_present.tolist() == [[True, False]]


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 12), st.integers(1, 9), st.integers(1, 16), st.integers(0, 5))
def test_any_small_catalogue_can_be_fused_and_reloaded(
    tmp_path_factory: pytest.TempPathFactory, num_items: int, dim: int, size: int, seed: int
) -> None:
    given_embeddings = {"text": embeddings(num_items, dim, seed=seed), "image": embeddings(num_items, 5, seed=seed + 1)}
    fusion = fit_fusion(given_embeddings, size)
    fused = fusion.fuse(given_embeddings).item_embeddings
    assert fused.shape == (num_items, 2 * size) == (num_items, fusion.dim)
    assert np.isfinite(fused).all()
    folder = tmp_path_factory.mktemp("fusion")
    fusion.save(folder)
    assert np.array_equal(load_fusion(folder).fuse(given_embeddings).item_embeddings, fused)


def test_a_modality_that_does_not_fit_is_named() -> None:
    given_embeddings = {"text": embeddings(10, 4), "image": embeddings(10, 5)}
    fusion = fit_fusion(given_embeddings, 2)
    with pytest.raises(FusionError, match="'image'"):
        fusion.fuse({"text": given_embeddings["text"]})
    with pytest.raises(FusionError, match="expected"):
        fusion.fuse({"text": given_embeddings["image"], "image": given_embeddings["image"]})
    with pytest.raises(FusionError, match="different numbers"):
        fusion.fuse({"text": embeddings(3, 4), "image": given_embeddings["image"]})
    with pytest.raises(FusionError, match="'text'"):
        fit_fusion({"text": ModalityEmbeddings(np.zeros((3, 2), np.float32), np.zeros(3, np.bool_))}, 2)


def test_a_damaged_fusion_is_refused_by_name(tmp_path: Path) -> None:
    fit_fusion({"text": embeddings(10, 4)}, 2).save(tmp_path)
    (tmp_path / "fusion.json").write_text("{", encoding="utf-8")
    with pytest.raises(FusionError, match=r"fusion\.json"):
        load_fusion(tmp_path)


def test_rows_that_are_not_present_do_not_count_in_fitting() -> None:
    whole = embeddings(60, 6)
    is_present = np.arange(60) % 3 != 0
    junk = np.where(is_present[:, None], whole.vectors, np.float32(1e6))
    fitted = fit_fusion({"text": ModalityEmbeddings(junk, is_present)}, 4)
    alone = fit_fusion({"text": ModalityEmbeddings(whole.vectors[is_present], np.ones(40, np.bool_))}, 4)
    assert np.array_equal(fitted.projections["text"], alone.projections["text"])
    assert np.array_equal(fitted.means["text"], alone.means["text"])


def test_components_match_a_plain_singular_value_decomposition() -> None:
    given_embeddings = {"text": embeddings(80, 12)}
    fused = fit_fusion(given_embeddings, 5).fuse(given_embeddings).item_embeddings
    centred = given_embeddings["text"].vectors - given_embeddings["text"].vectors.mean(axis=0)
    left, spreads, _ = np.linalg.svd(centred, full_matrices=False)
    expected = left[:, :5] * spreads[:5]
    expected /= np.sqrt(np.square(expected).sum(axis=1).mean())
    assert np.allclose(np.abs(fused), np.abs(expected), atol=1e-4)


@pytest.mark.parametrize("num_items", [1, 2, 5])
def test_identical_items_are_the_origin(num_items: int) -> None:
    alike = ModalityEmbeddings(np.full((num_items, 7), 0.1, np.float32), np.ones(num_items, np.bool_))
    fusion = fit_fusion({"image": alike}, 4)
    assert fusion.dim == 4
    assert not fusion.fuse({"image": alike}).item_embeddings.any()


def test_directions_without_training_variance_stay_empty() -> None:
    # 5 items span 4 directions: a fifth component would be rounding, amplified for every later item.
    fusion = fit_fusion({"image": embeddings(5, 50)}, 8)
    assert (np.abs(fusion.projections["image"]).max(axis=0) > 0).tolist() == [True] * 4 + [False] * 4


def test_a_vector_that_is_not_finite_is_refused() -> None:
    broken = ModalityEmbeddings(np.array([[1, np.nan], [0, 1]], np.float32), np.ones(2, np.bool_))
    with pytest.raises(FusionError, match="finite"):
        fit_fusion({"audio": broken}, 1)
    with pytest.raises(FusionError, match="0 dimensions"):
        fit_fusion({"audio": embeddings(4, 4)}, 0)
