"""Token embeddings start at the centroids of their features."""

import numpy as np
import pytest
import torch

from clairo_core.quantizers import OpqQuantizer
from tests.tiny import tiny_vocabulary
from training.generator.start_embeddings import OWN_SHARE, start_embeddings

SIZES = (4, 4, 2)
VOCABULARY = tiny_vocabulary(SIZES)
QUANTIZER = OpqQuantizer(
    np.eye(6, dtype=np.float32), np.random.default_rng(0).normal(size=(2, 4, 3)).astype(np.float32)
)


VECTORS = QUANTIZER.start_vectors().reshape(-1, 6)


def started(d_model: int, vectors: np.ndarray | None) -> torch.Tensor:
    torch.manual_seed(0)
    return start_embeddings(torch.randn(VOCABULARY.size, d_model), VOCABULARY, vectors)


def test_an_items_features_add_up_to_its_decoded_embedding() -> None:
    codes = np.array([[3, 1]])
    np.testing.assert_allclose(VECTORS[3] + VECTORS[4 + 1], QUANTIZER.decode(codes)[0], rtol=1e-6)


@pytest.mark.parametrize("d_model", [4, 6, 32])
def test_features_close_in_the_codebook_start_close_at_the_models_scale(d_model: int) -> None:
    embeddings = started(d_model, VECTORS)
    features = embeddings[2 : 2 + len(VECTORS)]
    assert float(features.square().mean()) == pytest.approx(1.0, rel=0.5)
    if d_model >= 6:
        wanted = np.corrcoef(VECTORS)[np.triu_indices(8, 1)]
        found = np.corrcoef(features.numpy()[:, :6])[np.triu_indices(8, 1)]
        assert np.corrcoef(wanted, found)[0, 1] > 0.9


def test_a_merged_token_starts_near_the_sum_of_its_features() -> None:
    embeddings = started(32, VECTORS)
    offsets = VOCABULARY.category_offsets
    for token in range(VOCABULARY.first_merge_token, VOCABULARY.size):
        parts = [int(offsets[category]) + value for category, value in VOCABULARY.features_of(token)]
        own = embeddings[token] - embeddings[parts].sum(dim=0) / len(parts) ** 0.5
        assert float(own.square().mean()) == pytest.approx(OWN_SHARE**2, rel=1.0)


def test_without_codebooks_features_start_at_random() -> None:
    torch.manual_seed(0)
    drawn = torch.randn(VOCABULARY.size, 16)
    start = start_embeddings(drawn, VOCABULARY, None)
    assert torch.equal(start[: VOCABULARY.first_merge_token], drawn[: VOCABULARY.first_merge_token])
