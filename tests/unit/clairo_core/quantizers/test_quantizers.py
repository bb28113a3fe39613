"""What every quantizer promises, whatever its kind."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from clairo_core.errors import QuantizerError
from clairo_core.quantizers import (
    AutoencodedQuantizer,
    OpqQuantizer,
    Quantizer,
    ResidualQuantizer,
    SideBySide,
    load_quantizer,
)
from clairo_core.quantizers.autoencoded import Layers
from clairo_core.quantizers.nearest_codes import nearest_codes


def drawn(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def autoencoded(dim: int, latent_dim: int, num_codebooks: int) -> AutoencodedQuantizer:
    return AutoencodedQuantizer(
        Layers((drawn(7, dim), drawn(latent_dim, 7)), (drawn(7), drawn(latent_dim))),
        ResidualQuantizer(drawn(num_codebooks, 5, latent_dim)),
        Layers((drawn(6, latent_dim), drawn(dim, 6)), (drawn(6), drawn(dim))),
    )


OPQ = OpqQuantizer(np.linalg.qr(drawn(6, 6))[0].astype(np.float32), drawn(3, 5, 2))
RESIDUAL = ResidualQuantizer(drawn(3, 5, 6) * np.array([4, 2, 1], np.float32)[:, None, None])
QUANTIZERS: dict[str, Quantizer] = {
    "opq": OPQ,
    "residual": RESIDUAL,
    "autoencoded": autoencoded(6, 4, 3),
    "side by side": SideBySide((ResidualQuantizer(drawn(1, 5, 2)), autoencoded(4, 3, 2))),
}
ITEMS = drawn(300, 6, seed=1)
every_quantizer = pytest.mark.parametrize("quantizer", QUANTIZERS.values(), ids=QUANTIZERS)


@every_quantizer
def test_an_items_codes_do_not_depend_on_its_batch(quantizer: Quantizer) -> None:
    codes = quantizer.encode(ITEMS)
    assert codes.shape == (300, quantizer.num_codebooks)
    assert codes.dtype == np.int32
    assert np.array_equal(codes, np.vstack([quantizer.encode(item[None]) for item in ITEMS]))
    assert np.array_equal(codes, np.vstack([quantizer.encode(some) for some in np.array_split(ITEMS, 7)]))


@every_quantizer
@settings(max_examples=15)
@given(item=arrays(np.float32, 6, elements=st.floats(-3, 3, width=32)))
def test_nearest_codes_start_with_encode_and_list_every_id_once(quantizer: Quantizer, item: np.ndarray) -> None:
    nearest = list(nearest_codes(quantizer, item))
    assert nearest[0] == tuple(quantizer.encode(item[None])[0].tolist())
    assert sorted(nearest) == list(itertools.product(range(5), repeat=3))
    distances = quantizer.code_distances(item)

    def regret(codes: tuple[int, ...]) -> float:
        levels = [distances(codes[:level]).astype(np.float64) for level in range(3)]
        return float(sum(row[code] - row.min() for row, code in zip(levels, codes, strict=True)))

    assert all(np.diff([regret(codes) for codes in nearest]) > -1e-9)


@every_quantizer
def test_a_saved_quantizer_is_the_same_when_loaded(quantizer: Quantizer, tmp_path: Path) -> None:
    quantizer.save(tmp_path)
    loaded = load_quantizer(tmp_path)
    assert type(loaded) is type(quantizer)
    codes = quantizer.encode(ITEMS)
    assert np.array_equal(loaded.encode(ITEMS), codes)
    assert np.array_equal(loaded.decode(codes), quantizer.decode(codes))
    (tmp_path / "arrays.safetensors").write_bytes(b"x")
    with pytest.raises(QuantizerError, match="arrays"):
        load_quantizer(tmp_path)


@every_quantizer
def test_vectors_have_a_row_per_code(quantizer: Quantizer) -> None:
    assert quantizer.code_vectors().shape == (3, 5, 6)
    assert quantizer.start_vectors().shape[:2] == (3, 5)
    assert len(np.unique(quantizer.start_vectors().reshape(15, -1), axis=0)) == 15


@pytest.mark.parametrize("quantizer", [OPQ, RESIDUAL, SideBySide((ResidualQuantizer(drawn(3, 5, 6)),))])
def test_an_items_code_vectors_add_up_to_its_decoded_embedding(quantizer: Quantizer) -> None:
    codes = quantizer.encode(ITEMS)
    added = quantizer.code_vectors()[np.arange(3), codes].sum(axis=1)
    np.testing.assert_allclose(added, quantizer.decode(codes), atol=1e-5)


@every_quantizer
def test_embeddings_and_codes_of_another_quantizer_are_refused(quantizer: Quantizer) -> None:
    for wrong in (ITEMS[:, :4], ITEMS[0]):
        with pytest.raises(QuantizerError, match=r"expected \(items, 6\)"):
            quantizer.encode(wrong)
    with pytest.raises(QuantizerError, match=r"expected \(items, 6\)"):
        quantizer.code_distances(ITEMS[0, :4])
    with pytest.raises(QuantizerError, match="leave the collision index out"):
        quantizer.decode(np.zeros((2, 4), np.int32))
    with pytest.raises(QuantizerError, match="expected 0 to 4"):
        quantizer.decode(np.full((2, 3), 5, np.int32))


def test_residual_codes_by_hand() -> None:
    quantizer = ResidualQuantizer(np.array([[[0], [10]], [[1], [-2]]], np.float32))
    assert quantizer.encode(np.array([[8.5], [1.0], [5.0]], np.float32)).tolist() == [[1, 1], [0, 0], [0, 0]]
    assert quantizer.decode(np.array([[1, 1], [0, 0]])).tolist() == [[8.0], [1.0]]
    # Regrets of 8.5: 0, .25 to 12.25 - .25, then those after code 0: 8.5 leaves 7.5 or 10.5.
    assert list(nearest_codes(quantizer, np.array([8.5], np.float32))) == [(1, 1), (1, 0), (0, 0), (0, 1)]


def test_an_autoencoder_by_hand() -> None:
    halved = Layers(
        (np.eye(2, dtype=np.float32), np.array([[0.5, 0]], np.float32)),
        (np.zeros(2, np.float32), np.zeros(1, np.float32)),
    )
    doubled = Layers((np.array([[2], [0]], np.float32),), (np.array([0, 7], np.float32),))
    quantizer = AutoencodedQuantizer(halved, ResidualQuantizer(np.array([[[0], [1], [3]]], np.float32)), doubled)
    # The ReLU between the two maps turns -4 into 0.
    codes = quantizer.encode(np.array([[-4, 9], [2.2, 9], [9, 9]], np.float32))
    assert codes.tolist() == [[0], [1], [2]]
    assert quantizer.decode(codes).tolist() == [[0, 7], [2, 7], [6, 7]]


def test_the_residual_norm_falls_by_level_where_centroids_include_zero() -> None:
    codebooks = RESIDUAL.codebooks.copy()
    codebooks[:, 0] = 0
    quantizer = ResidualQuantizer(codebooks)
    codes, left, norms = quantizer.encode(ITEMS), ITEMS.copy(), [np.square(ITEMS).sum(axis=1)]
    for level in range(3):
        left = left - codebooks[level, codes[:, level]]
        norms.append(np.square(left).sum(axis=1))
    assert np.all(np.diff(norms, axis=0) <= 1e-5)


def test_an_unknown_kind_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "quantizer.json").write_text('{"part": "quantizer", "kind": "lattice"}')
    with pytest.raises(QuantizerError, match="'lattice', expected one of opq, residual"):
        load_quantizer(tmp_path)


def test_parts_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    QUANTIZERS["side by side"].save(tmp_path)
    ResidualQuantizer(drawn(1, 4, 2)).save(tmp_path / "part_0")
    with pytest.raises(QuantizerError, match="copy the folder again"):
        load_quantizer(tmp_path)
