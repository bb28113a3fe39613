"""Content vectors: products are cosines, whatever the number of dimensions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from clairo_core.encoders.encoder import ModalityEmbeddings
from training.items.content_vectors import content_vectors


def modality(vectors: np.ndarray) -> ModalityEmbeddings:
    return ModalityEmbeddings(vectors.astype(np.float32), np.any(vectors != 0, axis=1))


@given(arrays(np.float32, (6, 4), elements=st.floats(-8, 8, width=16)))
def test_products_are_mean_cosines_of_the_modalities(vectors: np.ndarray) -> None:
    image = np.eye(6, 3)
    content = content_vectors({"text": modality(vectors), "image": modality(image)})
    assert np.linalg.norm(content, axis=1) == pytest.approx(
        [float(length) for length in np.any(content, axis=1)], abs=2e-3
    )
    for one, other in ((0, 1), (2, 2), (0, 5)):
        parts = [(vectors[one], vectors[other]), (image[one], image[other])]
        joined = [
            np.concatenate([part[side] / max(np.linalg.norm(part[side]), 1e-9) for part in parts]) for side in (0, 1)
        ]
        expected = joined[0] @ joined[1] / max(np.linalg.norm(joined[0]) * np.linalg.norm(joined[1]), 1e-9)
        assert content[one] @ content[other] == pytest.approx(expected, abs=4e-3)


def test_a_projection_to_fewer_dimensions_keeps_cosines() -> None:
    random = np.random.default_rng(0)
    wide = random.normal(size=(50, 5)) @ random.normal(size=(5, 40))
    whole, projected = (content_vectors({"text": modality(wide)}, dimensions) for dimensions in (40, 5))
    assert projected.shape == (50, 5)
    np.testing.assert_allclose(projected @ projected.T, whole @ whole.T, atol=4e-3)


def test_an_item_without_content_is_like_nothing() -> None:
    content = content_vectors({"text": modality(np.array([[0.0, 0.0], [1.0, 2.0]]))})
    assert content[0].tolist() == [0.0, 0.0]
