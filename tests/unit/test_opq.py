"""OPQ: FAISS's own codes without FAISS, the same on every run, and distances that add up."""

from pathlib import Path

import faiss
import numpy as np
import pytest

from clairo_core.errors import QuantizerError
from clairo_core.quantizers import fit_opq, load_opq


def clustered(num_items: int = 400, dim: int = 16, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    centres = random.normal(size=(20, dim)) * 3
    return (centres[random.integers(20, size=num_items)] + random.normal(size=(num_items, dim))).astype(np.float32)


VECTORS = clustered()
QUANTIZER = fit_opq(VECTORS, 4, 16)


def test_codes_are_those_of_faiss() -> None:
    reference = faiss.ProductQuantizer(16, 4, 4)
    faiss.copy_array_to_vector(QUANTIZER.codebooks.ravel(), reference.centroids)
    packed = reference.compute_codes(np.ascontiguousarray(VECTORS @ QUANTIZER.rotation.T))
    unpacked = np.stack([packed[:, 0] & 15, packed[:, 0] >> 4, packed[:, 1] & 15, packed[:, 1] >> 4], axis=1)
    assert np.array_equal(QUANTIZER.encode(VECTORS), unpacked)


def test_the_rotation_keeps_distances() -> None:
    assert np.allclose(QUANTIZER.rotation @ QUANTIZER.rotation.T, np.eye(16), atol=1e-4)


def test_decoding_comes_nearer_than_the_mean() -> None:
    decoded = QUANTIZER.decode(QUANTIZER.encode(VECTORS))
    error = np.square(VECTORS - decoded).sum(axis=1).mean()
    assert error < 0.5 * np.square(VECTORS - VECTORS.mean(axis=0)).sum(axis=1).mean()


def test_encoding_what_was_decoded_gives_the_codes_back() -> None:
    codes = QUANTIZER.encode(VECTORS)
    assert np.array_equal(QUANTIZER.encode(QUANTIZER.decode(codes)), codes)


def test_the_nearest_code_has_the_least_distance() -> None:
    distances = QUANTIZER.distances(VECTORS[0])
    assert distances.shape == (4, 16)
    assert (distances >= 0).all()
    assert np.array_equal(distances.argmin(axis=1), QUANTIZER.encode(VECTORS[:1])[0])


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


def test_a_saved_quantizer_is_the_same_when_loaded(tmp_path: Path) -> None:
    QUANTIZER.save(tmp_path)
    assert np.array_equal(load_opq(tmp_path).encode(VECTORS), QUANTIZER.encode(VECTORS))
    (tmp_path / "arrays.safetensors").write_bytes(b"")
    with pytest.raises(QuantizerError, match="arrays"):
        load_opq(tmp_path)


@pytest.mark.parametrize(
    ("num_codebooks", "num_centroids", "words"), [(3, 16, "divides"), (4, 20, "power of two"), (0, 16, "divides")]
)
def test_sizes_that_do_not_fit_are_refused(num_codebooks: int, num_centroids: int, words: str) -> None:
    with pytest.raises(QuantizerError, match=words):
        fit_opq(VECTORS, num_codebooks, num_centroids)


def test_embeddings_of_another_size_are_refused() -> None:
    with pytest.raises(QuantizerError, match="expected"):
        QUANTIZER.encode(VECTORS[:, :8])
