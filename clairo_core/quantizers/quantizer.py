"""The protocol of all quantizers: item embeddings in, semantic ids out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from jaxtyping import Float, Float32, Int, Int32

from clairo_core.errors import QuantizerError


class CodeDistances(Protocol):
    """How far one item is from each code of the next codebook, once the codes before it are chosen."""

    def __call__(self, prefix: Sequence[int]) -> Float32[np.ndarray, "centroid"]:
        """Squared distances, to be added up over the codebooks. `prefix` is shorter than a semantic id."""


class Quantizer(Protocol):
    """Fitted codebooks. Frozen: a posted item is quantized as the training items were."""

    @property
    def dim(self) -> int:
        """Length of an item embedding."""

    @property
    def num_codebooks(self) -> int:
        """Length of a semantic id."""

    @property
    def num_centroids(self) -> int:
        """Number of codes of each codebook."""

    def encode(self, item_embeddings: Float[np.ndarray, "item dim"]) -> Int32[np.ndarray, "item codebook"]:
        """The nearest code of every codebook, in [0, centroid); ties take the lower one.

        A row's codes do not depend on the other rows.

        Raises:
            QuantizerError: the embeddings have another length.
        """

    def decode(self, semantic_ids: Int[np.ndarray, "item codebook"]) -> Float32[np.ndarray, "item dim"]:
        """Reconstruct item embeddings from codes.

        Raises:
            QuantizerError: another number of codebooks, or a code outside its codebook.
        """

    def code_vectors(self) -> Float32[np.ndarray, "codebook centroid dim"]:
        """What each code adds to a decoded item embedding.

        Exact up to a constant where decoding is a sum, else the effect of a code while the others are at their mean.
        """

    def start_vectors(self) -> Float32[np.ndarray, "codebook centroid axis"]:
        """Where codes lie to one another, in the quantizer's own axes: the start of token embeddings."""

    def code_distances(self, item_embedding: Float[np.ndarray, "dim"]) -> CodeDistances:
        """Distances of one item to codes, codebook by codebook.

        Raises:
            QuantizerError: the embedding has another length.
        """

    def save(self, folder: Path) -> None:
        """Write quantizer.json and the arrays into `folder`."""


def check_item_embeddings(item_embeddings: np.ndarray, dim: int) -> None:
    """Check that embeddings are rows of `dim` numbers.

    Raises:
        QuantizerError: they are not.
    """
    if item_embeddings.ndim != 2 or item_embeddings.shape[1] != dim:
        raise QuantizerError(
            f"item embeddings have shape {item_embeddings.shape}, expected (items, {dim}); "
            "use the fusion that the quantizer was fitted with"
        )


def check_semantic_ids(semantic_ids: np.ndarray, num_codebooks: int, num_centroids: int) -> None:
    """Check that codes are rows of `num_codebooks` numbers in [0, num_centroids).

    Raises:
        QuantizerError: they are not.
    """
    if semantic_ids.ndim != 2 or semantic_ids.shape[1] != num_codebooks:
        raise QuantizerError(
            f"semantic ids have shape {semantic_ids.shape}, expected (items, {num_codebooks}); "
            "leave the collision index out"
        )
    if semantic_ids.size and not 0 <= semantic_ids.min() <= semantic_ids.max() < num_centroids:
        raise QuantizerError(
            f"codes are {semantic_ids.min()} to {semantic_ids.max()}, expected 0 to {num_centroids - 1}; "
            "decode with the quantizer that encoded"
        )
