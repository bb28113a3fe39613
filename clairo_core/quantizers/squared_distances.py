"""Squared Euclidean distances of vectors to centroids."""

import numpy as np
from jaxtyping import Float32, Float64


def squared_distances(
    vectors: Float64[np.ndarray, "item dim"], centroids: Float64[np.ndarray, "centroid dim"]
) -> Float32[np.ndarray, "item centroid"]:
    """Squared Euclidean distances, computed in double precision: a small difference of large numbers.

    Rounded to single precision, they are the same in a batch of one and of many, whose sums differ in their last bits.
    """
    squares = np.square(vectors).sum(axis=1)[:, None] + np.square(centroids).sum(axis=1)
    return np.asarray(np.maximum(squares - 2 * vectors @ centroids.T, 0).astype(np.float32))
