"""Turn item embeddings into semantic ids level by level: each codebook quantizes what the ones before it leave over.

Start at `ResidualQuantizer.encode`. Knows nothing of how the codebooks were fitted.

Source: Babenko and Lempitsky 2014, "Additive Quantization for Extreme Vector Compression", in its greedy form (residual
vector quantization): the nearest code of each level, without a beam.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32, Int, Int32

from clairo_core.errors import QuantizerError
from clairo_core.quantizers.quantizer import CodeDistances, check_item_embeddings, check_semantic_ids
from clairo_core.quantizers.squared_distances import squared_distances
from clairo_core.storage.array_folder import load_array_folder, save_array_folder

KIND = "residual"
_ITEMS_AT_ONCE = 4096  # bounds the memory of the distances


@dataclass(frozen=True, slots=True, eq=False)
class ResidualQuantizer:
    """One codebook per level, all of the embedding's length."""

    codebooks: Float32[np.ndarray, "codebook centroid dim"]

    @property
    def dim(self) -> int:
        """Length of an item embedding."""
        return int(self.codebooks.shape[2])

    @property
    def num_codebooks(self) -> int:
        """Number of levels."""
        return len(self.codebooks)

    @property
    def num_centroids(self) -> int:
        """Number of centroids of each level."""
        return int(self.codebooks.shape[1])

    def encode(self, item_embeddings: Float[np.ndarray, "item dim"]) -> Int32[np.ndarray, "item codebook"]:
        """Find the nearest centroid of every level, given those before; ties take the lower index."""
        check_item_embeddings(item_embeddings, self.dim)
        codes = np.empty((len(item_embeddings), self.num_codebooks), np.int32)
        for start in range(0, len(item_embeddings), _ITEMS_AT_ONCE):
            residuals = item_embeddings[start : start + _ITEMS_AT_ONCE].astype(np.float64)
            for level, centroids in enumerate(self.codebooks.astype(np.float64)):
                nearest = squared_distances(residuals, centroids).argmin(axis=1)
                codes[start : start + _ITEMS_AT_ONCE, level] = nearest
                residuals = residuals - centroids[nearest]
        return codes

    def decode(self, semantic_ids: Int[np.ndarray, "item codebook"]) -> Float32[np.ndarray, "item dim"]:
        """Reconstruct embeddings from codes: the sum of the centroids."""
        check_semantic_ids(semantic_ids, self.num_codebooks, self.num_centroids)
        return np.asarray(self.codebooks[np.arange(self.num_codebooks), semantic_ids].sum(axis=1))

    def code_vectors(self) -> Float32[np.ndarray, "codebook centroid dim"]:
        """The centroids: an item's codes add up to its decoded embedding."""
        return self.codebooks

    def start_vectors(self) -> Float32[np.ndarray, "codebook centroid dim"]:
        """The centroids."""
        return self.codebooks

    def code_distances(self, item_embedding: Float[np.ndarray, "dim"]) -> CodeDistances:
        """Distances of what a prefix leaves over of the item."""
        check_item_embeddings(item_embedding[None], self.dim)
        codebooks = self.codebooks.astype(np.float64)

        def distances(prefix: Sequence[int]) -> Float32[np.ndarray, "centroid"]:
            residual = item_embedding.astype(np.float64)
            for level, code in enumerate(prefix):
                residual = residual - codebooks[level, code]
            return np.asarray(squared_distances(residual[None], codebooks[len(prefix)])[0])

        return distances

    def save(self, folder: Path) -> None:
        """Write quantizer.json and the arrays into `folder`."""
        save_array_folder(folder, "quantizer", KIND, {"codebooks": self.codebooks})


def load_residual(folder: Path) -> ResidualQuantizer:
    """Load a saved quantizer.

    Raises:
        QuantizerError: the folder is damaged or holds something else.
    """
    saved = load_array_folder(folder, "quantizer", KIND, QuantizerError)
    return ResidualQuantizer(saved.array("codebooks", np.float32, (None, None, None)))
