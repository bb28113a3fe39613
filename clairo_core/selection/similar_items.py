"""Find the items most similar to one by item embedding, and their similarity in each modality.

Start at `EmbeddingTable.most_similar`.
"""

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int, Int64

from clairo_core.fusion import Fusion
from clairo_core.storage.growing_rows import GrowingRows


class EmbeddingTable:
    """Item embeddings by row; new rows are appended. A bundle's own embeddings are not copied."""

    def __init__(self, vectors: Float32[np.ndarray, "item dim"]) -> None:
        self._first = vectors
        self._owns_first = False
        self._added = GrowingRows(np.zeros((0, vectors.shape[1]), dtype=np.float32))
        self._lengths = GrowingRows(np.linalg.norm(vectors, axis=1).astype(np.float32))

    def __len__(self) -> int:
        """Number of rows."""
        return len(self._first) + len(self._added.rows)

    @property
    def dim(self) -> int:
        """Length of an item embedding."""
        return int(self._first.shape[1])

    def append(self, vector: Float[np.ndarray, "dim"] | None) -> None:
        """Append a row; None for an item without content, which is similar to no other."""
        row = np.zeros((1, self.dim), dtype=np.float32) if vector is None else vector.astype(np.float32)[None]
        self._added = self._added.with_rows(row)
        self._lengths = self._lengths.with_rows(np.linalg.norm(row, axis=1).astype(np.float32))

    def replace(self, row: int, vector: Float[np.ndarray, "dim"]) -> None:
        """Give a row another embedding."""
        if row >= len(self._first):
            self._added.rows[row - len(self._first)] = vector
        else:
            if not self._owns_first:
                self._first, self._owns_first = self._first.copy(), True
            self._first[row] = vector
        self._lengths.rows[row] = np.linalg.norm(vector)

    def of_rows(self, rows: Int[np.ndarray, "row"]) -> Float32[np.ndarray, "row dim"]:
        """The embeddings of these rows."""
        found = np.empty((len(rows), self.dim), dtype=np.float32)
        is_first = rows < len(self._first)
        found[is_first] = self._first[rows[is_first]]
        found[~is_first] = self._added.rows[rows[~is_first] - len(self._first)]
        return found

    def cosines_with(self, row: int) -> Float32[np.ndarray, "item"]:
        """Each item's cosine with this one; 0 if either has no content."""
        vector = self.of_rows(np.array([row]))[0]
        products = np.concatenate([self._first @ vector, self._added.rows @ vector])
        lengths = self._lengths.rows * self._lengths.rows[row]
        return np.asarray(np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0))

    def most_similar(
        self, row: int, count: int, is_allowed: Bool[np.ndarray, "item"]
    ) -> tuple[Int64[np.ndarray, "found"], Float32[np.ndarray, "found"]]:
        """Find the `count` allowed items most similar to this one, without itself, and their cosines; ties by row.

        Items without content are never found.
        """
        cosines = self.cosines_with(row)
        may_be_found = is_allowed & (self._lengths.rows > 0)
        may_be_found[row] = False
        candidates = np.flatnonzero(may_be_found)
        if self._lengths.rows[row] == 0:
            candidates = candidates[:0]
        if len(candidates) > count:
            last = -np.partition(-cosines[candidates], count - 1)[count - 1]
            candidates = candidates[cosines[candidates] >= last]
        best_first = candidates[np.argsort(-cosines[candidates], kind="stable")][:count]
        return best_first, cosines[best_first]


def modality_similarities(
    fusion: Fusion, vector: Float[np.ndarray, "dim"], others: Float[np.ndarray, "other dim"]
) -> Float64[np.ndarray, "other modality"]:
    """Cosine of one item embedding with each of the others, by modality.

    A fusion gives a vector's energy in each modality, a squared length, from which inner products follow:
    <a, b> = (|a + b|^2 - |a - b|^2) / 4. NaN if one of the items has no energy in the modality.
    """
    vector, others = vector.astype(np.float64)[None], others.astype(np.float64)
    products = (fusion.modality_energies(others + vector) - fusion.modality_energies(others - vector)) / 4
    lengths = np.sqrt(fusion.modality_energies(vector) * fusion.modality_energies(others))
    cosines = np.divide(products, lengths, out=np.full(products.shape, np.nan), where=lengths > 0)
    return np.asarray(np.clip(cosines, -1, 1))
