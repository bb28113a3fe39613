"""Fit residual codebooks without a network: k-means level by level, or FAISS's residual quantizer."""

import numpy as np
from jaxtyping import Float, Float32, Int32

from clairo_core.quantizers import ResidualQuantizer
from clairo_core.quantizers.squared_distances import squared_distances
from training.items.balanced_clusters import balanced_codes, clusters


def fit_residual_kmeans(
    vectors: Float[np.ndarray, "item dim"],
    num_codebooks: int,
    num_centroids: int,
    seed: int,
    *,
    is_balanced: bool = True,
) -> ResidualQuantizer:
    """Cluster the vectors, then what the centroids leave over, and so on.

    Source: residual k-means with balanced clusters as in Deng et al. 2025, "OneRec". We differ: the balance comes from
    prices of clusters instead of clusters that choose in turn, and encoding takes the nearest centroid.
    """
    residuals = vectors.astype(np.float64)
    codebooks = []
    for level in range(num_codebooks):
        centroids = clusters(residuals, num_centroids, seed + level, is_balanced=is_balanced)
        nearest = squared_distances(residuals, centroids.astype(np.float64)).argmin(axis=1)
        residuals = residuals - centroids[nearest]
        codebooks.append(centroids)
    return ResidualQuantizer(np.stack(codebooks))


def fit_rq(
    vectors: Float[np.ndarray, "item dim"], num_codebooks: int, num_centroids: int, seed: int, *, num_iterations: int
) -> ResidualQuantizer:
    """FAISS's residual quantizer, fitted for greedy encoding. `num_centroids` is a power of two."""
    import faiss  # noqa: PLC0415 - slow to import

    fitted = faiss.ResidualQuantizer(vectors.shape[1], num_codebooks, num_centroids.bit_length() - 1)
    # With more than one beam, the codebooks would be fitted to codes that are not the nearest of their level.
    fitted.max_beam_size = 1
    fitted.train_type = faiss.ResidualQuantizer.Train_default | faiss.ResidualQuantizer.Skip_codebook_tables
    fitted.cp.seed = seed + 1
    fitted.cp.niter = num_iterations
    fitted.cp.min_points_per_centroid = 1
    threads = faiss.omp_get_max_threads()
    # Splitting sums between threads changes their last bits, and so the codes.
    faiss.omp_set_num_threads(1)
    try:
        fitted.train(np.ascontiguousarray(vectors, dtype=np.float32))
    finally:
        faiss.omp_set_num_threads(threads)
    shape = (num_codebooks, num_centroids, vectors.shape[1])
    return ResidualQuantizer(faiss.vector_to_array(fitted.codebooks).reshape(shape))


def balanced_last_level(
    semantic_ids: Int32[np.ndarray, "item codebook"], last_distances: Float32[np.ndarray, "item centroid"]
) -> Int32[np.ndarray, "item codebook"]:
    """Give items that share all codes but the last one different last codes, as evenly as their number allows.

    Args:
        semantic_ids: nearest codes.
        last_distances: of each item to the last codebook's codes, after its earlier codes.
    """
    balanced = semantic_ids.copy()
    _, group_of = np.unique(semantic_ids[:, :-1], axis=0, return_inverse=True)
    order = np.argsort(group_of.ravel(), kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(group_of.ravel()[order])) + 1):
        if len(np.unique(semantic_ids[rows, -1])) < len(rows):
            balanced[rows, -1] = balanced_codes(last_distances[rows])
    return balanced
