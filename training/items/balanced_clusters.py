"""Cluster vectors, into clusters of equal size if asked for. Start at `clusters` and `balanced_codes`.

Source: Cuturi 2013, "Sinkhorn Distances", for the prices that even out the clusters; Zheng et al. 2024, "Adapting Large
Language Models by Integrating Collaborative Semantics" (LC-Rec), for a last level whose codes are used evenly. We
differ: the transport plan is rounded, so no cluster exceeds its share.
"""

import numpy as np
from jaxtyping import Float, Float32, Float64, Int32, Int64

from clairo_core.quantizers.squared_distances import squared_distances

_NUM_ITERATIONS = 20
_ROWS_PER_CLUSTER = 64
"""Larger data are sampled: more rows hardly move a centroid."""
_PRICE_STEPS = 10
_SOFTNESS = 0.02
"""Of the assignment that sets prices, as a share of the mean distance."""


def clusters(
    vectors: Float[np.ndarray, "row dim"], num_clusters: int, seed: int, *, is_balanced: bool = False
) -> Float32[np.ndarray, "cluster dim"]:
    """Centroids by k-means; balanced clusters hold equally many rows while they are fitted.

    With fewer distinct rows than clusters, some centroids are equal.
    """
    random = np.random.default_rng(seed)
    rows = vectors.astype(np.float64)
    if len(rows) > num_clusters * _ROWS_PER_CLUSTER:
        rows = rows[random.choice(len(rows), num_clusters * _ROWS_PER_CLUSTER, replace=False)]
    distinct = np.unique(rows, axis=0)
    centroids = random.permutation(distinct)[np.arange(num_clusters) % len(distinct)]
    for _ in range(_NUM_ITERATIONS):
        distances = squared_distances(rows, centroids)
        codes = balanced_codes(distances) if is_balanced else distances.argmin(axis=1)
        sizes = np.bincount(codes, minlength=num_clusters)
        sums = np.zeros_like(centroids)
        np.add.at(sums, codes, rows)
        centroids = np.where(sizes[:, None] > 0, sums / np.maximum(sizes, 1)[:, None], centroids)
        empty = np.flatnonzero(sizes == 0)
        # An empty cluster moves to one of the rows that are worst off.
        worst = np.argsort(-distances[np.arange(len(rows)), codes], kind="stable")[: len(empty)]
        centroids[empty[: len(worst)]] = rows[worst]
    return centroids.astype(np.float32)


def balanced_codes(distances: Float32[np.ndarray, "row cluster"]) -> Int32[np.ndarray, "row"]:
    """Assign each row to a near cluster so that no cluster gets more than its share, rounded up.

    >>> balanced_codes(np.array([[0, 1], [0, 9], [0, 2], [0, 8]], np.float32)).tolist()
    [1, 0, 1, 0]
    """
    num_rows, num_clusters = distances.shape
    capacity = -(-num_rows // num_clusters)
    costs = distances + _prices(distances.astype(np.float64))
    codes = np.full(num_rows, -1, np.int32)
    free = np.full(num_clusters, capacity)
    waiting = np.arange(num_rows)
    while len(waiting):
        wanted = np.where(free > 0, costs[waiting], np.inf)
        nearest = wanted.argmin(axis=1)
        best_two = np.partition(np.column_stack([wanted, np.full(len(waiting), np.inf)]), 1, axis=1)
        taken = _first_of_each(nearest, best_two[:, 1] - best_two[:, 0], free)
        codes[waiting[taken]] = nearest[taken]
        free -= np.bincount(nearest[taken], minlength=num_clusters)
        waiting = np.delete(waiting, taken)
    return codes


def _prices(distances: Float64[np.ndarray, "row cluster"]) -> Float64[np.ndarray, "cluster"]:
    """What to add to each cluster's distances so that clusters are wanted evenly: Sinkhorn's column potentials."""
    prices = np.zeros(distances.shape[1])
    softness = _SOFTNESS * distances.mean() or 1.0
    for _ in range(_PRICE_STEPS):
        wanted = -(distances + prices) / softness
        shares = np.exp(wanted - wanted.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        prices += softness * np.log(np.maximum(shares.mean(axis=0), 1e-12) * len(prices))
    return prices


def _first_of_each(
    nearest: Int64[np.ndarray, "row"], savings: Float64[np.ndarray, "row"], free: Int64[np.ndarray, "cluster"]
) -> Int64[np.ndarray, "taken"]:
    """The rows that each cluster saves most by taking, as many as it has room for."""
    order = np.lexsort((-savings, nearest))
    first_place = np.searchsorted(nearest[order], np.arange(len(free)))
    place = np.arange(len(order)) - first_place[nearest[order]]
    return np.asarray(order[place < free[nearest[order]]])
