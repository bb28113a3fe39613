"""Quantize each part of an item embedding on its own, the codes side by side: late fusion. Start at `SideBySide`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32, Int, Int32

from clairo_core.errors import QuantizerError
from clairo_core.quantizers.quantizer import CodeDistances, Quantizer, check_item_embeddings, check_semantic_ids
from clairo_core.storage.array_folder import load_array_folder, save_array_folder

KIND = "side_by_side"


@dataclass(frozen=True, slots=True, eq=False)
class SideBySide:
    """Quantizers with equal numbers of codes, one per part of an embedding, in order."""

    parts: tuple[Quantizer, ...]

    @property
    def dim(self) -> int:
        """Length of an item embedding."""
        return sum(part.dim for part in self.parts)

    @property
    def num_codebooks(self) -> int:
        """Codebooks of all parts."""
        return sum(part.num_codebooks for part in self.parts)

    @property
    def num_centroids(self) -> int:
        """Number of centroids of each codebook."""
        return self.parts[0].num_centroids

    def encode(self, item_embeddings: Float[np.ndarray, "item dim"]) -> Int32[np.ndarray, "item codebook"]:
        """Each part's codes."""
        check_item_embeddings(item_embeddings, self.dim)
        split = _split(item_embeddings, [part.dim for part in self.parts])
        return np.hstack([part.encode(given) for part, given in zip(self.parts, split, strict=True)])

    def decode(self, semantic_ids: Int[np.ndarray, "item codebook"]) -> Float32[np.ndarray, "item dim"]:
        """Each part's reconstruction."""
        check_semantic_ids(semantic_ids, self.num_codebooks, self.num_centroids)
        split = _split(semantic_ids, [part.num_codebooks for part in self.parts])
        return np.hstack([part.decode(codes) for part, codes in zip(self.parts, split, strict=True)])

    def code_vectors(self) -> Float32[np.ndarray, "codebook centroid dim"]:
        """Each part's, zeros outside the part."""
        return _block_diagonal([part.code_vectors() for part in self.parts])

    def start_vectors(self) -> Float32[np.ndarray, "codebook centroid axis"]:
        """Each part's, in axes of its own."""
        return _block_diagonal([part.start_vectors() for part in self.parts])

    def code_distances(self, item_embedding: Float[np.ndarray, "dim"]) -> CodeDistances:
        """Each part's distances, which do not depend on the codes of other parts."""
        check_item_embeddings(item_embedding[None], self.dim)
        split = _split(item_embedding[None], [part.dim for part in self.parts])
        of_parts = [part.code_distances(given[0]) for part, given in zip(self.parts, split, strict=True)]
        part_of = [number for number, part in enumerate(self.parts) for _ in range(part.num_codebooks)]

        def distances(prefix: Sequence[int]) -> Float32[np.ndarray, "centroid"]:
            part = part_of[len(prefix)]
            return of_parts[part](prefix[part_of.index(part) :])

        return distances

    def save(self, folder: Path) -> None:
        """Write quantizer.json, and each part into a folder of its own."""
        dims = np.array([part.dim for part in self.parts], np.int64)
        save_array_folder(folder, "quantizer", KIND, {"dims": dims})
        for number, part in enumerate(self.parts):
            part.save(folder / f"part_{number}")


def _split(rows: np.ndarray, widths: Sequence[int]) -> list[np.ndarray]:
    return np.split(rows, np.cumsum(widths)[:-1], axis=1)


def _block_diagonal(vectors: Sequence[Float32[np.ndarray, "..."]]) -> Float32[np.ndarray, "codebook centroid dim"]:
    width, first, blocks = sum(part.shape[2] for part in vectors), 0, []
    for part in vectors:
        blocks.append(np.pad(part, ((0, 0), (0, 0), (first, width - first - part.shape[2]))))
        first += part.shape[2]
    return np.concatenate(blocks)


def load_side_by_side(folder: Path, load_part: Callable[[Path], Quantizer]) -> SideBySide:
    """Load a saved quantizer, its parts by `load_part`.

    Raises:
        QuantizerError: the folder is damaged or holds something else.
    """
    dims = load_array_folder(folder, "quantizer", KIND, QuantizerError).array("dims", np.int64, (None,))
    parts = tuple(load_part(folder / f"part_{number}") for number in range(len(dims)))
    if [part.dim for part in parts] != dims.tolist() or len({part.num_centroids for part in parts}) != 1:
        raise QuantizerError(f"{folder}: the parts are not those of dimensions {dims.tolist()}; copy the folder again")
    return SideBySide(parts)
