"""Find the strongest single links between a history and each candidate: what sums over the history hide.

One certain link says more than ten weak ones, and both may add up to the same sum. Start at `pair_evidence`.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float32, Int, Int64
from scipy import sparse

TOGETHER = "together"
"""How many users have both items: the matrix of `Together`, and the name of its features."""


def names_of(matrices: Sequence[str]) -> tuple[str, ...]:
    """Names of the features, in order, for item-to-item matrices of these names."""
    names = [f"{matrix} {which}" for matrix in matrices for which in ("strongest", "last")]
    if TOGETHER in matrices:
        names += ["cosine strongest", "cosine last", "supporters", "share of supporters"]
    return tuple(names)


def pair_evidence(
    matrices: Mapping[str, sparse.csr_matrix],
    training_counts: Int64[np.ndarray, "item"],
    history: Int[np.ndarray, "position"],
    item_rows: Int64[np.ndarray, "candidate"],
) -> Float32[np.ndarray, "candidate feature"]:
    """Compute the features that `names_of` names.

    Args:
        matrices: by name: a weight from an item of the history (row) to a candidate (column).
        training_counts: interactions in training; matrices have as many rows and columns.
        history: rows, oldest first. Items past the matrices' end, posted later, have no links.
        item_rows: of the candidates, ascending.
    """
    num_known = len(training_counts)
    history, known = history[history < num_known], item_rows[item_rows < num_known]
    evidence = np.zeros((len(item_rows), len(names_of(tuple(matrices)))), dtype=np.float32)
    if not len(history) or not len(known):
        return evidence
    place = 0
    for name, matrix in matrices.items():
        links = links_between(matrix, history, known)
        is_count = name == TOGETHER
        for of_some in (links.max(axis=0), links[-1]):
            evidence[: len(known), place] = np.log1p(of_some) if is_count else of_some
            place += 1
        if is_count:
            together = links
    if TOGETHER in matrices:
        sizes = np.sqrt((training_counts[history][:, None] + 1.0) * (training_counts[known] + 1.0))
        cosines, supports = together / sizes, together > 0
        for of_some in (cosines.max(axis=0), cosines[-1], supports.sum(axis=0), supports.mean(axis=0)):
            evidence[: len(known), place] = of_some
            place += 1
    return evidence


def links_between(
    matrix: sparse.csr_matrix, history: Int64[np.ndarray, "position"], item_rows: Int64[np.ndarray, "candidate"]
) -> Float32[np.ndarray, "position candidate"]:
    """The dense block of these rows and columns."""
    place_of = np.full(matrix.shape[1], -1, dtype=np.int64)
    place_of[item_rows] = np.arange(len(item_rows))
    begins, ends = matrix.indptr[history], matrix.indptr[history + 1]
    links = np.zeros((len(history), len(item_rows)), dtype=np.float32)
    for of_row, begin, end in zip(links, begins, ends, strict=True):
        places = place_of[matrix.indices[begin:end]]
        is_candidate = places >= 0
        of_row[places[is_candidate]] = matrix.data[begin:end][is_candidate]
    return links
