"""Turn item embeddings into semantic ids by optimized product quantization.

The embedding is rotated and split into one part per codebook; each part takes the index of its nearest centroid. FAISS
fits; encoding is plain numpy, so serving needs no FAISS. Start at `OpqQuantizer.encode`.

Source: Ge et al. 2013, "Optimized Product Quantization", as FAISS implements it.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32, Int, Int32

from clairo_core.errors import QuantizerError
from clairo_core.quantizers.quantizer import CodeDistances, check_item_embeddings, check_semantic_ids
from clairo_core.quantizers.squared_distances import squared_distances
from clairo_core.storage.array_folder import load_array_folder, save_array_folder

KIND = "opq"
_ITEMS_AT_ONCE = 4096  # bounds the memory of the distances
_MAX_CENTROIDS = 65_536  # FAISS's codes have at most 16 bits


@dataclass(frozen=True, slots=True, eq=False)
class OpqQuantizer:
    """A rotation, and one codebook per part of the rotated embedding."""

    rotation: Float32[np.ndarray, "dim dim"]
    """Rows are the new axes: rotated = embedding @ rotation.T"""
    codebooks: Float32[np.ndarray, "codebook centroid subdim"]

    @property
    def dim(self) -> int:
        """Length of an item embedding."""
        return len(self.rotation)

    @property
    def num_codebooks(self) -> int:
        """Number of parts of an embedding."""
        return len(self.codebooks)

    @property
    def num_centroids(self) -> int:
        """Number of centroids of each codebook."""
        return int(self.codebooks.shape[1])

    def encode(self, item_embeddings: Float[np.ndarray, "item dim"]) -> Int32[np.ndarray, "item codebook"]:
        """Find the nearest centroid of every codebook, by squared Euclidean distance; ties take the lower index."""
        codes = np.empty((len(item_embeddings), len(self.codebooks)), np.int32)
        for start in range(0, len(item_embeddings), _ITEMS_AT_ONCE):
            codes[start : start + _ITEMS_AT_ONCE] = self._distances(
                item_embeddings[start : start + _ITEMS_AT_ONCE]
            ).argmin(axis=2)
        return codes

    def decode(self, semantic_ids: Int[np.ndarray, "item codebook"]) -> Float32[np.ndarray, "item dim"]:
        """Reconstruct embeddings from codes: the centroids side by side, rotated back."""
        check_semantic_ids(semantic_ids, self.num_codebooks, self.num_centroids)
        centroids = self.codebooks[np.arange(self.num_codebooks), semantic_ids]
        return np.asarray(centroids.reshape(len(semantic_ids), self.dim) @ self.rotation)

    def code_vectors(self) -> Float32[np.ndarray, "codebook centroid dim"]:
        """Every centroid, rotated back: an item's codes add up to its decoded embedding."""
        return np.asarray(self.start_vectors() @ self.rotation)

    def start_vectors(self) -> Float32[np.ndarray, "codebook centroid dim"]:
        """Every centroid as its contribution to a rotated embedding: zeros outside its codebook's part."""
        num_codebooks, num_centroids, subdim = self.codebooks.shape
        vectors = np.zeros((num_codebooks, num_centroids, num_codebooks, subdim), np.float32)
        for codebook in range(num_codebooks):
            vectors[codebook, :, codebook] = self.codebooks[codebook]
        return vectors.reshape(num_codebooks, num_centroids, self.dim)

    def code_distances(self, item_embedding: Float[np.ndarray, "dim"]) -> CodeDistances:
        """Distances of one item, codebook by codebook; they do not depend on the codes before."""
        distances = self._distances(item_embedding[None])[0]
        return lambda prefix: distances[len(prefix)]

    def save(self, folder: Path) -> None:
        """Write quantizer.json and the arrays into `folder`."""
        save_array_folder(folder, "quantizer", KIND, {"rotation": self.rotation, "codebooks": self.codebooks})

    def _distances(
        self, item_embeddings: Float[np.ndarray, "item dim"]
    ) -> Float32[np.ndarray, "item codebook centroid"]:
        check_item_embeddings(item_embeddings, self.dim)
        num_codebooks, num_centroids, subdim = self.codebooks.shape
        rotated = item_embeddings.astype(np.float64) @ self.rotation.T.astype(np.float64)
        parts = rotated.reshape(-1, num_codebooks, subdim)
        distances = np.empty((len(parts), num_codebooks, num_centroids), np.float32)
        for number, centroids in enumerate(self.codebooks.astype(np.float64)):
            distances[:, number] = squared_distances(parts[:, number], centroids)
        return distances


def fit_opq(
    item_embeddings: Float[np.ndarray, "item dim"],
    num_codebooks: int,
    num_centroids: int,
    *,
    seed: int = 0,
    num_iterations: int = 25,
) -> OpqQuantizer:
    """Learn rotation and codebooks from training items.

    With fewer items than `num_centroids`, a codebook gets the largest power of two of centroids that is not above the
    number of items.

    Args:
        item_embeddings: `dim` must be a multiple of `num_codebooks`.
        num_codebooks: number of parts, each quantized on its own.
        num_centroids: of each codebook, a power of two.
        seed: of the clustering.
        num_iterations: updates of the rotation.

    Raises:
        QuantizerError: a number is out of range, an embedding is not finite, or there are fewer than two items.
    """
    if item_embeddings.ndim != 2 or not np.isfinite(item_embeddings).all():
        raise QuantizerError(
            f"item embeddings of shape {item_embeddings.shape} have values that are not finite, or are not rows; "
            "check the fusion"
        )
    num_items, dim = item_embeddings.shape
    if num_codebooks < 1 or dim % num_codebooks:
        raise QuantizerError(
            f"{dim} dimensions cannot be split into {num_codebooks} equal parts; "
            f"choose a number of codebooks that divides {dim}"
        )
    if not 2 <= num_centroids <= _MAX_CENTROIDS or num_centroids & (num_centroids - 1):
        raise QuantizerError(
            f"got {num_centroids} centroids, expected a power of two from 2 to {_MAX_CENTROIDS}; change it"
        )
    if num_iterations < 1:
        raise QuantizerError(f"got {num_iterations} iterations, expected at least 1; change it")
    if num_items < 2:
        raise QuantizerError(f"got {num_items} training items, expected at least 2; add items")
    import faiss  # noqa: PLC0415 - slow to import, and serving does not need it

    num_bits = min(num_centroids, num_items).bit_length() - 1
    # With fewer rows than dimensions, FAISS writes beyond its own buffer. Repeating all rows equally moves no centroid.
    repeats = -(-dim // num_items)
    vectors = np.tile(item_embeddings.astype(np.float32), (repeats, 1))
    codes = faiss.ProductQuantizer(dim, num_codebooks, num_bits)
    codes.cp.seed = seed + 1
    # Small catalogues have few items per centroid; this silences FAISS's warning.
    codes.cp.min_points_per_centroid = 1
    rotation = faiss.OPQMatrix(dim, num_codebooks)
    rotation.niter = num_iterations
    rotation.pq = codes
    threads = faiss.omp_get_max_threads()
    # Splitting sums between threads changes their last bits, and so the codes.
    faiss.omp_set_num_threads(1)
    try:
        rotation.train(vectors)
        codes.train(rotation.apply(vectors))
    finally:
        faiss.omp_set_num_threads(threads)
    return OpqQuantizer(
        faiss.vector_to_array(rotation.A).reshape(dim, dim),
        faiss.vector_to_array(codes.centroids).reshape(num_codebooks, 2**num_bits, dim // num_codebooks),
    )


def load_opq(folder: Path) -> OpqQuantizer:
    """Load a saved quantizer.

    Raises:
        QuantizerError: the folder is damaged or holds something else.
    """
    saved = load_array_folder(folder, "quantizer", KIND, QuantizerError)
    codebooks = saved.array("codebooks", np.float32, (None, None, None))
    dim = codebooks.shape[0] * codebooks.shape[2]
    return OpqQuantizer(saved.array("rotation", np.float32, (dim, dim)), codebooks)
