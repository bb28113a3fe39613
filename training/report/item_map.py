"""Turn item embeddings into a map of the catalogue: places in the plane, and each item's neighbours.

Neighbours are found in all dimensions, by cosine. UMAP (McInnes et al. 2018) keeps them close in the plane as far as it
can. Start at `map_items`.
"""

import warnings
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64

with warnings.catch_warnings():
    # It warns that its own neural variant lacks TensorFlow.
    warnings.simplefilter("ignore")
    from umap import UMAP

MOST_ITEMS = 20_000
"""Larger catalogues are drawn as a sample."""
FEWEST_ITEMS = 10
"""With fewer there is nothing to arrange."""
NUM_NEIGHBOURS = 30
"""Of UMAP: with half as many, small groups drift far off, and the map is mostly empty."""
_SEED = 0
_ROWS_PER_BLOCK = 1_000


@dataclass(frozen=True, slots=True, eq=False)
class ItemMap:
    """Items in the plane."""

    rows: Int64[np.ndarray, "shown"]
    """Their rows in the catalogue, ascending."""
    places: Float32[np.ndarray, "shown 2"]
    """Across and down, from 0 to at most 1, both in the same scale."""
    neighbours: Int64[np.ndarray, "shown neighbour"]
    """Indices into `rows`, nearest first, without the item itself."""


def map_items(item_embeddings: Float32[np.ndarray, "item dim"]) -> ItemMap | None:
    """Arrange items so that similar ones lie close together; the same on every run. None for too few items.

    Items without content, whose embedding is zero, are left out. Of more than `MOST_ITEMS`, a seeded sample is shown.
    """
    lengths = np.linalg.norm(item_embeddings, axis=1)
    rows = np.flatnonzero(lengths > 0)
    if len(rows) > MOST_ITEMS:
        rows = np.sort(np.random.default_rng(_SEED).choice(rows, MOST_ITEMS, replace=False))
    if len(rows) < FEWEST_ITEMS:
        return None
    vectors = (item_embeddings[rows] / lengths[rows, None]).astype(np.float32)
    nearest, distances = nearest_items(vectors, min(NUM_NEIGHBOURS, len(rows) - 1))
    return ItemMap(rows, _in_the_plane(vectors, nearest, distances), nearest[:, 1:])


def nearest_items(
    vectors: Float32[np.ndarray, "item dim"], count: int
) -> tuple[Int64[np.ndarray, "item count"], Float32[np.ndarray, "item count"]]:
    """Each item's nearest items, itself first, and their distances of 1 - cosine; ties by row.

    >>> nearest_items(np.array([[1, 0], [0, 1], [0.6, 0.8]], dtype=np.float32), 2)[0].tolist()
    [[0, 2], [1, 2], [2, 1]]
    """
    nearest, distances = [], []
    for start in range(0, len(vectors), _ROWS_PER_BLOCK):
        block = 1 - vectors[start : start + _ROWS_PER_BLOCK] @ vectors.T
        own = np.arange(len(block))
        # Rounding puts a twin before the item itself.
        block[own, start + own] = -1
        chosen = np.sort(np.argpartition(block, count - 1, axis=1)[:, :count], axis=1)
        of_chosen = np.take_along_axis(block, chosen, axis=1)
        order = np.argsort(of_chosen, axis=1, kind="stable")
        nearest.append(np.take_along_axis(chosen, order, axis=1))
        distances.append(np.maximum(np.take_along_axis(of_chosen, order, axis=1), 0).astype(np.float32))
    return np.concatenate(nearest), np.concatenate(distances)


def _in_the_plane(
    vectors: Float32[np.ndarray, "item dim"],
    nearest: Int64[np.ndarray, "item neighbour"],
    distances: Float32[np.ndarray, "item neighbour"],
) -> Float32[np.ndarray, "item 2"]:
    # One thread: with more, the order of updates is left to chance.
    umap = UMAP(
        n_neighbors=nearest.shape[1],
        metric="cosine",
        # Far apart for UMAP, so that pictures have room.
        min_dist=0.8,
        random_state=_SEED,
        n_jobs=1,
        precomputed_knn=(nearest, distances),
        tqdm_kwds={"disable": True},
    )
    with warnings.catch_warnings():
        # Neighbours come without the index that new points would need, and there are no new points.
        warnings.filterwarnings("ignore", message="precomputed_knn", category=UserWarning)
        places = umap.fit_transform(vectors)
    # A screen is wide: the longer axis lies across.
    centred = (places - places.mean(axis=0)).astype(np.float64)
    turned = centred @ np.linalg.svd(centred, full_matrices=False)[2].T
    corner, width = turned.min(axis=0), max(float(np.ptp(turned, axis=0).max()), 1e-9)
    return np.asarray((turned - corner) / width, dtype=np.float32)
