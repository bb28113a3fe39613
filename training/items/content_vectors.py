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
    widths = [of_modality.vectors.shape[1] for of_modality in embeddings.values()]
    num_items = len(next(iter(embeddings.values())).vectors)
    joined, begin = np.empty((num_items, sum(widths)), dtype=np.float32), 0
    # Filled in place: a copy takes a gigabyte for a million items.
    for width, of_modality in zip(widths, embeddings.values(), strict=True):
        joined[:, begin : begin + width] = _of_length_one(of_modality.vectors)
        begin += width
    if joined.shape[1] > most_dimensions:
        _, directions = np.linalg.eigh(joined.T @ joined)
        joined = joined @ directions[:, -most_dimensions:]
    return _of_length_one(joined).astype(np.float16).astype(np.float32)


def _of_length_one(vectors: Float32[np.ndarray, "item dim"]) -> Float32[np.ndarray, "item dim"]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: Float32[np.ndarray, "item dim"] = vectors / np.where(lengths > 0, lengths, 1.0)
    return scaled
