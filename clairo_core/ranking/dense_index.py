"""Find the items of the highest products with a vector, without computing all. Start at `build_dense_index`.

An inverted file with 8-bit vectors (FAISS; Jégou et al. 2011, "Product Quantization for Nearest Neighbor Search", for
the inverted file). What it finds is scored exactly again. A fixed sample of the items estimates the sum over all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Int64

from clairo_core.errors import DenseHeadError

INDEXED_FROM = 200_000
"""Items; below, a product with all is as fast."""
_SHARE_PROBED = 1 / 16
"""Of the lists."""
_POINTS_PER_LIST, _ITERATIONS = 40, 6
"""Of k-means."""
_SAMPLE = 4096
_SEED = 0


@dataclass(frozen=True, eq=False)
class DenseIndex:
    """An index of the first items of a catalogue; those posted since are not in it. Immutable."""

    faiss_index: Any
    """An `IndexIVF`, by inner product."""
    sample: Int64[np.ndarray, "sampled"]
    """Rows of the items that estimate the sum over all; ascending."""
    sampled: tuple[Float32[np.ndarray, "sampled dim"], ...]
    """By head, the vectors of the sample."""

    @property
    def num_items(self) -> int:
        """Items in the index."""
        return int(self.faiss_index.ntotal)

    def nearest(
        self, queries: Float32[np.ndarray, "query dim"], count: int, mask: Bool[np.ndarray, "item"] | None = None
    ) -> list[Int64[np.ndarray, "found"]]:
        """Rows of about the `count` items of the highest product with each query, best first; `mask` leaves the others
        out."""
        faiss = _faiss()
        num_probed = max(1, int(self.faiss_index.nlist * _SHARE_PROBED))
        parameters = faiss.SearchParametersIVF(nprobe=num_probed)
        if mask is not None:
            parameters.sel = faiss.IDSelectorBitmap(np.packbits(mask[: self.num_items], bitorder="little"))
        _, rows = self.faiss_index.search(np.ascontiguousarray(queries), count, params=parameters)
        return [of_query[of_query >= 0] for of_query in rows]

    def save(self, path: Path) -> None:
        """Write the index in FAISS's format."""
        _faiss().write_index(self.faiss_index, str(path))


def build_dense_index(vectors: Sequence[Float32[np.ndarray, "item dim"]]) -> DenseIndex:
    """Index the items of several heads by their vectors side by side. A million items take a quarter of a minute."""
    faiss, num_items, dim = _faiss(), len(vectors[0]), sum(of_head.shape[1] for of_head in vectors)
    num_lists = max(1, min(1 << int(np.log2(4 * num_items**0.5)), num_items // _POINTS_PER_LIST))
    index = faiss.IndexIVFScalarQuantizer(
        faiss.IndexFlatIP(dim), dim, num_lists, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT
    )
    index.cp.niter, index.cp.seed = _ITERATIONS, _SEED
    index.cp.min_points_per_centroid = 1
    random = np.random.default_rng(_SEED)
    some = np.sort(random.choice(num_items, min(num_items, num_lists * _POINTS_PER_LIST), replace=False))
    index.train(np.concatenate([of_head[some] for of_head in vectors], axis=1))
    at_once = 1 << 16
    for start in range(0, num_items, at_once):
        index.add(np.concatenate([of_head[start : start + at_once] for of_head in vectors], axis=1))
    return _with_sample(index, vectors)


def load_dense_index(path: Path, vectors: Sequence[Float32[np.ndarray, "item dim"]]) -> DenseIndex:
    """Load a saved index.

    Raises:
        DenseHeadError: the file is damaged, or indexes other items.
    """
    num_items, dim = len(vectors[0]), sum(of_head.shape[1] for of_head in vectors)
    try:
        index = _faiss().read_index(str(path))
    except RuntimeError as error:
        raise DenseHeadError(f"{path}: cannot be read ({error}); copy the bundle again") from error
    if index.ntotal != num_items or index.d != dim:
        raise DenseHeadError(
            f"{path}: {index.ntotal} vectors of length {index.d}, expected {num_items} of length {dim}; copy the "
            "bundle again"
        )
    return _with_sample(index, vectors)


def _faiss() -> Any:
    """The library; its Python wrapper takes arrays that its types do not name."""
    import faiss  # noqa: PLC0415 - slow to import

    return faiss


def _with_sample(faiss_index: Any, vectors: Sequence[Float32[np.ndarray, "item dim"]]) -> DenseIndex:
    num_items = len(vectors[0])
    sample = np.sort(np.random.default_rng(_SEED).choice(num_items, min(_SAMPLE, num_items), replace=False))
    return DenseIndex(faiss_index, sample, tuple(of_head[sample] for of_head in vectors))
