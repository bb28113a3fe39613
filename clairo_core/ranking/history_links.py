"""Read the rows of a history from a sparse item-to-item matrix, without touching the rest. Start at `history_links`."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int, Int32, Int64
from scipy import sparse

from clairo_core.ranking.score_kernels import fill_links, weighted_sum


@dataclass(frozen=True, slots=True, eq=False)
class HistoryLinks:
    """What a matrix links the items of a history to: its rows, one after another."""

    columns: Int32[np.ndarray, "link"]
    weights: Float32[np.ndarray, "link"]
    starts: Int64[np.ndarray, "position+1"]
    """Links of position p are those from `starts[p]` to `starts[p + 1]`; past the matrix's end there are none."""

    def among(self, item_rows: Int64[np.ndarray, "candidate"]) -> Float32[np.ndarray, "position candidate"]:
        """The dense block of these distinct columns."""
        links = np.zeros((len(self.starts) - 1, len(item_rows)), dtype=np.float32)
        fill_links(self.columns, self.weights, self.starts, item_rows, links)
        return links

    def summed(
        self, factors: Float32[np.ndarray, "position"], order: Int64[np.ndarray, "position"]
    ) -> tuple[Int64[np.ndarray, "linked"], Float32[np.ndarray, "linked"]]:
        """Columns with a link, and the sums of their weights times each position's factor, added in this order."""
        found: tuple[Int64[np.ndarray, "linked"], Float32[np.ndarray, "linked"]] = weighted_sum(
            self.columns, self.weights, self.starts, factors, order
        )
        return found


def history_links(matrix: sparse.csr_matrix, history: Int[np.ndarray, "position"]) -> HistoryLinks:
    """The rows of a history's items; those past the matrix's end are empty."""
    offsets, num_known = matrix.indptr, matrix.shape[0]
    rows = np.minimum(history, num_known)
    begins, ends = offsets[rows], offsets[np.minimum(rows + 1, num_known)]
    spans = list(zip(begins.tolist(), ends.tolist(), strict=True))
    nothing = slice(0, 0)
    columns = np.concatenate([matrix.indices[nothing], *(matrix.indices[begin:end] for begin, end in spans)])
    weights = np.concatenate([matrix.data[nothing], *(matrix.data[begin:end] for begin, end in spans)])
    starts = np.zeros(len(spans) + 1, dtype=np.int64)
    np.cumsum(ends - begins, out=starts[1:])
    return HistoryLinks(columns.astype(np.int32, copy=False), weights.astype(np.float32, copy=False), starts)


def factors_by_age(
    history: Int[np.ndarray, "position"], age_weights: Float64[np.ndarray, "age"]
) -> Float32[np.ndarray, "position"]:
    """Each position's weight by its age; 0 for older ones. If an item recurs, one position has the sum."""
    factors = np.zeros(len(history), dtype=np.float32)
    num_weighed = min(len(history), len(age_weights))
    factors[len(history) - num_weighed :] = age_weights[:num_weighed][::-1]
    items, firsts, places = np.unique(history, return_index=True, return_inverse=True)
    if len(items) < len(history):
        summed = np.bincount(places, weights=factors, minlength=len(items))
        factors[:] = 0.0
        factors[firsts] = summed
    return factors
