"""Keep the strongest entries of each row of a sparse matrix, some rows at a time."""

import numpy as np
from jaxtyping import Bool, Float, Int64
from scipy import sparse

from training.engines.row_pieces import row_pieces

MOST_ENTRIES = 8_000_000
"""Of a block of rows, unless one row has more: 64 MB of entries, and a few hundred to sort them."""


def is_among_strongest(
    matrix: sparse.csr_matrix, strength: Float[np.ndarray, "entry"], per_row: int
) -> Bool[np.ndarray, "entry"]:
    """Mark the `per_row` strongest entries of each row, ties by column."""
    lengths = np.diff(matrix.indptr)
    is_kept = np.ones(len(matrix.indices), dtype=np.bool_)
    is_long = np.repeat(lengths > per_row, lengths)
    # Most rows are short, and sorting is what takes the time.
    entries: Int64[np.ndarray, "long"] = np.flatnonzero(is_long)
    rows = np.repeat(np.arange(len(lengths)), lengths)[entries]
    entries = entries[np.lexsort((matrix.indices[entries], -strength[entries], rows))]
    place = np.arange(len(entries)) - np.repeat(
        np.cumsum(lengths[lengths > per_row]) - lengths[lengths > per_row], lengths[lengths > per_row]
    )
    is_kept[entries[place >= per_row]] = False
    return is_kept


def strongest_of_rows(matrix: sparse.csr_matrix, per_row: int) -> sparse.csr_matrix:
    """The `per_row` highest positive entries of each row, ties by column; columns ascend."""
    matrix.sort_indices()
    kept = []
    for rows in row_pieces(np.diff(matrix.indptr), MOST_ENTRIES):
        block = matrix[rows]
        block.data *= block.data > 0
        block.eliminate_zeros()
        kept.append(with_entries(block, is_among_strongest(block, block.data, per_row)))
    return sparse.vstack(kept, format="csr") if kept else matrix


def with_entries(matrix: sparse.csr_matrix, is_kept: Bool[np.ndarray, "entry"]) -> sparse.csr_matrix:
    """The matrix with some of its entries."""
    offsets = np.concatenate([[0], np.cumsum(is_kept)])[matrix.indptr]
    return sparse.csr_matrix((matrix.data[is_kept], matrix.indices[is_kept], offsets), matrix.shape)
