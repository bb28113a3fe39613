"""Turn item embeddings into semantic ids by optimized product quantization.

Fitting is FAISS's; encoding is plain numpy, so that serving needs no FAISS and every machine agrees.

Source: Ge et al. 2013, "Optimized Product Quantization", as FAISS implements it.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int32

from clairo_core.array_folder import load_array_folder, save_array_folder
from clairo_core.errors import QuantizerError

_KIND = "opq"
_ITEMS_AT_ONCE = 4096
"""Bounds the memory of a distance table."""


@dataclass(frozen=True, slots=True, eq=False)
class OpqQuantizer:
    """A rotation, then one codebook for each part of the rotated embedding."""

    rotation: Float32[np.ndarray, "dim dim"]
    """Rows are the new axes: rotated = embedding @ rotation.T"""
    codebooks: Float32[np.ndarray, "codebook centroid subdim"]

    @property
    def dim(self) -> int:
        """Size of an item embedding."""
        return len(self.rotation)

    def encode(self, item_embeddings: Float32[np.ndarray, "item dim"]) -> Int32[np.ndarray, "item codebook"]:
        """The nearest centroid of every codebook, by squared Euclidean distance; ties take the lower index.

        Raises:
            QuantizerError: the embeddings have another size.
        """
        codes: Int32[np.ndarray, "item codebook"] = np.empty(
            (len(item_embeddings), len(self.codebooks)), dtype=np.int32
        )
        for start in range(0, len(item_embeddings), _ITEMS_AT_ONCE):
            chunk = item_embeddings[start : start + _ITEMS_AT_ONCE]
            codes[start : start + len(chunk)] = self._distances(chunk).argmin(axis=2)
        return codes

    def distances(self, item_embedding: Float32[np.ndarray, "dim"]) -> Float32[np.ndarray, "codebook centroid"]:
        """Squared Euclidean distance from each part of one item's rotated embedding to each centroid.

        Raises:
            QuantizerError: the embedding has another size.
        """
        of_one: Float32[np.ndarray, "codebook centroid"] = self._distances(item_embedding[None, :])[0]
        return of_one

    def decode(self, semantic_ids: Int32[np.ndarray, "item codebook"]) -> Float32[np.ndarray, "item dim"]:
        """The embeddings that stand for these codes: centroids side by side, rotated back."""
        centroids = self.codebooks[np.arange(len(self.codebooks)), semantic_ids]
        decoded: Float32[np.ndarray, "item dim"] = centroids.reshape(len(semantic_ids), -1) @ self.rotation
        return decoded

    def save(self, folder: Path) -> None:
        """Write quantizer.json and the arrays into `folder`."""
        save_array_folder(folder, "quantizer", _KIND, {"rotation": self.rotation, "codebooks": self.codebooks})

    def _distances(
        self, item_embeddings: Float32[np.ndarray, "item dim"]
    ) -> Float32[np.ndarray, "item codebook centroid"]:
        if item_embeddings.ndim != 2 or item_embeddings.shape[1] != self.dim:
            raise QuantizerError(
                f"item embeddings have shape {item_embeddings.shape}, expected (items, {self.dim}); "
                "use the fusion that the quantizer was fitted with"
            )
        num_codebooks, _, subdim = self.codebooks.shape
        parts = (item_embeddings @ self.rotation.T).reshape(-1, num_codebooks, subdim)
        squares = np.square(parts).sum(axis=2)[:, :, None] + np.square(self.codebooks).sum(axis=2)[None]
        products = np.einsum("ims,mks->imk", parts, self.codebooks, optimize=True)
        distances: Float32[np.ndarray, "item codebook centroid"] = np.maximum(squares - 2 * products, 0)
        return distances


def fit_opq(
    item_embeddings: Float32[np.ndarray, "item dim"],
    num_codebooks: int,
    num_centroids: int,
    *,
    seed: int = 0,
    num_iterations: int = 25,
) -> OpqQuantizer:
    """Learn rotation and codebooks on training items.

    Args:
        item_embeddings: `dim` must be a multiple of `num_codebooks`.
        num_codebooks: parts that are quantized on their own.
        num_centroids: codes a codebook, a power of two; at most the largest one that is not above the number of items.
        seed: of the k-means.
        num_iterations: of rotation and codebooks in turn.

    Raises:
        QuantizerError: a number is off, or there are fewer than two items.
    """
    num_items, dim = item_embeddings.shape
    if num_codebooks < 1 or dim % num_codebooks:
        raise QuantizerError(
            f"{dim} dimensions cannot be split into {num_codebooks} codebooks; choose a number that divides {dim}"
        )
    if num_centroids < 2 or num_centroids & (num_centroids - 1):
        raise QuantizerError(f"{num_centroids} centroids; expected a power of two, such as 64 or 256")
    if num_items < 2:
        raise QuantizerError(f"{num_items} training items; codebooks need two at least; add items")
    num_bits = min(num_centroids, num_items).bit_length() - 1
    import faiss  # noqa: PLC0415 - slow to import, and serving never needs it

    vectors = np.ascontiguousarray(item_embeddings, dtype=np.float32)
    threads = faiss.omp_get_max_threads()
    # Sums in k-means depend on how rows are split between threads; one thread makes every machine agree.
    faiss.omp_set_num_threads(1)
    try:
        with silent_standard_error():
            opq = faiss.OPQMatrix(dim, num_codebooks)
            opq.niter = num_iterations
            quantizer = faiss.ProductQuantizer(dim, num_codebooks, num_bits)
            quantizer.cp.seed = seed + 1
            # A codebook of few points each is what small catalogues have: say so to FAISS instead of being warned.
            quantizer.cp.min_points_per_centroid = 1
            opq.pq = quantizer
            opq.train(vectors)
            rotation = faiss.vector_to_array(opq.A).reshape(dim, dim)
            quantizer.train(np.ascontiguousarray(vectors @ rotation.T))
    finally:
        faiss.omp_set_num_threads(threads)
    codebooks = faiss.vector_to_array(quantizer.centroids).reshape(num_codebooks, 2**num_bits, -1)
    return OpqQuantizer(rotation.astype(np.float32), codebooks.astype(np.float32))


@contextmanager
def silent_standard_error() -> Iterator[None]:
    """FAISS's training writes warnings about few points to the process's standard error, past Python."""
    saved = os.dup(2)
    with open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: PTH123 - a device, not a path of ours
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)


def load_opq(folder: Path) -> OpqQuantizer:
    """Read a quantizer that `save` wrote.

    Raises:
        QuantizerError: the folder is damaged or holds something else.
    """
    saved = load_array_folder(folder, "quantizer", _KIND, QuantizerError)
    codebooks = saved.array("codebooks", np.float32, (None, None, None))
    dim = codebooks.shape[0] * codebooks.shape[2]
    return OpqQuantizer(saved.array("rotation", np.float32, (dim, dim)), codebooks)
