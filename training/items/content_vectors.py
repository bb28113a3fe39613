"""Turn modality embeddings into one content vector per item, whose products are cosines. Start at `content_vectors`."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float32

from clairo_core.encoders.encoder import ModalityEmbeddings

MOST_DIMENSIONS = 128
"""Wider vectors are projected to their strongest directions, which keeps cosines."""


def content_vectors(
    embeddings: Mapping[str, ModalityEmbeddings], most_dimensions: int = MOST_DIMENSIONS
) -> Float32[np.ndarray, "item dim"]:
    """Concatenate the modalities, each of length 1, and scale to length 1; zeros for an item without content.

    Rounded to half precision, as they are stored.
    """
    joined = np.hstack([_of_length_one(of_modality.vectors) for of_modality in embeddings.values()])
    if joined.shape[1] > most_dimensions:
        _, directions = np.linalg.eigh(joined.T @ joined)
        joined = joined @ directions[:, -most_dimensions:]
    return _of_length_one(joined).astype(np.float16).astype(np.float32)


def _of_length_one(vectors: Float32[np.ndarray, "item dim"]) -> Float32[np.ndarray, "item dim"]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: Float32[np.ndarray, "item dim"] = vectors / np.where(lengths > 0, lengths, 1.0)
    return scaled
