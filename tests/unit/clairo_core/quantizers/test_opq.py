"""OPQ: FAISS's own codes without FAISS, the same on every run, and distances that add up."""

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from clairo_core.errors import QuantizerError
from clairo_core.quantizers import OpqQuantizer, fit_opq


def clustered(num_items: int = 400, dim: int = 16, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    centres = random.normal(size=(20, dim)) * 3
    return (centres[random.integers(20, size=num_items)] + random.normal(size=(num_items, dim))).astype(np.float32)


VECTORS = clustered()
QUANTIZER = fit_opq(VECTORS, 4, 16)


def test_the_rotation_keeps_distances() -> None:
    assert np.allclose(QUANTIZER.rotation @ QUANTIZER.rotation.T, np.eye(16), atol=1e-4)


def test_decoding_is_closer_than_the_mean() -> None:
    decoded = QUANTIZER.decode(QUANTIZER.encode(VECTORS))
    error = np.square(VECTORS - decoded).sum(axis=1).mean()
    assert error < 0.5 * np.square(VECTORS - VECTORS.mean(axis=0)).sum(axis=1).mean()


def test_encoding_decoded_codes_returns_the_codes() -> None:
    codes = QUANTIZER.encode(VECTORS)
    assert np.array_equal(QUANTIZER.encode(QUANTIZER.decode(codes)), codes)


def test_the_same_seed_gives_the_same_codebooks() -> None:
    again = fit_opq(VECTORS, 4, 16)
    assert np.array_equal(QUANTIZER.codebooks, again.codebooks)
    assert np.array_equal(QUANTIZER.rotation, again.rotation)


@pytest.mark.parametrize("num_items", [2, 3, 7, 20])
def test_few_items_get_as_many_centroids_as_they_can_fill(num_items: int) -> None:
    quantizer = fit_opq(VECTORS[:num_items], 2, 256)
    assert quantizer.codebooks.shape[1] == 2 ** int(np.log2(num_items))
    assert quantizer.encode(VECTORS[:num_items]).max() < quantizer.codebooks.shape[1]


def test_training_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    fit_opq(VECTORS[:40], 2, 32)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("num_codebooks", "num_centroids", "words"), [(3, 16, "divides"), (4, 20, "power of two"), (0, 16, "divides")]
)
def test_sizes_that_do_not_fit_are_refused(num_codebooks: int, num_centroids: int, words: str) -> None:
    with pytest.raises(QuantizerError, match=words):
        fit_opq(VECTORS, num_codebooks, num_centroids)


def test_codes_are_those_of_faiss() -> None:
    vectors = clustered(3000, 24, seed=1)
    quantizer = fit_opq(vectors, 4, 256, num_iterations=3)
    reference = faiss.ProductQuantizer(24, 4, 8)
    faiss.copy_array_to_vector(quantizer.codebooks.ravel(), reference.centroids)
    later = clustered(3000, 24, seed=2)
    assert np.array_equal(
        quantizer.encode(later), reference.compute_codes(np.ascontiguousarray(later @ quantizer.rotation.T))
    )


@settings(deadline=None, max_examples=50)
@given(arrays.arrays(np.float32, (3, 16), elements=st.floats(-100, 100, width=32)))
def test_codes_are_the_nearest_of_the_distances_added(vectors: np.ndarray) -> None:
    for vector, codes in zip(vectors, QUANTIZER.encode(vectors), strict=True):
        distances_of = QUANTIZER.code_distances(vector)
        distances = np.stack([distances_of((0,) * codebook) for codebook in range(4)])
        assert np.array_equal(distances.argmin(axis=1), codes)
        # The rotation keeps lengths, so the parts' distances add up to that of the whole.
        error = np.square(vector - QUANTIZER.decode(codes[None])[0]).sum()
        assert distances.min(axis=1).sum() == pytest.approx(error, rel=1e-3, abs=1e-2)


def test_ties_take_the_lower_code() -> None:
    quantizer = OpqQuantizer(np.eye(2, dtype=np.float32), np.array([[[1.0], [1.0], [3.0]], [[0.0], [2.0], [2.0]]]))
    assert quantizer.encode(np.array([[1.0, 1.0], [2.0, 2.0]], np.float32)).tolist() == [[0, 0], [0, 1]]


def test_another_seed_gives_other_codebooks() -> None:
    assert not np.array_equal(fit_opq(VECTORS, 4, 16, seed=1).codebooks, QUANTIZER.codebooks)


@pytest.mark.parametrize("value", [0.0, 0.3])
def test_identical_items_share_their_codes(value: float) -> None:
    alike = np.full((30, 8), value, np.float32)
    quantizer = fit_opq(alike, 2, 16)
    assert np.isfinite(quantizer.codebooks).all()
    assert len(np.unique(quantizer.encode(alike), axis=0)) == 1


@pytest.mark.parametrize("num_items", [2, 5, 31])
def test_fewer_items_than_dimensions_are_fitted_safely(num_items: int) -> None:
    # FAISS alone would write beyond its buffers here, and the process would crash later.
    few = clustered(num_items, 32, seed=3)
    quantizer = fit_opq(few, 4, 256, num_iterations=5)
    assert np.allclose(quantizer.rotation @ quantizer.rotation.T, np.eye(32), atol=1e-4)
    assert np.isfinite(quantizer.decode(quantizer.encode(few))).all()


@pytest.mark.parametrize("vectors", [np.full((9, 4), np.nan, np.float32), np.zeros(9, np.float32), VECTORS[:1, :4]])
def test_embeddings_that_cannot_be_fitted_are_refused(vectors: np.ndarray) -> None:
    with pytest.raises(QuantizerError):
        fit_opq(vectors, 2, 16)
