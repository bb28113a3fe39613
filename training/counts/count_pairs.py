"""Count the users of pairs of some items, in any process: it imports no torch. Start at `counting_pairs`."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int32, Int64
from scipy import sparse

from training.counts.pair_kernels import count_rows_of_pairs


@dataclass(frozen=True, slots=True, eq=False)
class StrongestPairs:
    """The strongest pairs of some items, one row after another, columns ascending."""

    row_ends: Int64[np.ndarray, "row"]
    columns: Int32[np.ndarray, "pair"]
    counts: Float32[np.ndarray, "pair"]


def counting_pairs(
    has: sparse.csr_matrix,
    users: Float64[np.ndarray, "item"],
    most_of_row: Int64[np.ndarray, "item"],
    pairs_per_item: int,
) -> Callable[[slice], StrongestPairs]:
    """Some items -> their strongest pairs.

    Args:
        has: the weight of each user's heaviest interaction with each item, float32.
        users: each item's, by squared weight.
        most_of_row: bounds the items counted for each item.
        pairs_per_item: kept pairs.
    """
    by_item, num_users = has.T.tocsr(), users.astype(np.float32)
    of_users = (has.indptr.astype(np.int64), has.indices, has.data)
    of_items = (by_item.indptr.astype(np.int64), by_item.indices, by_item.data)

    def count(rows: slice) -> StrongestPairs:
        most = int(np.minimum(most_of_row[rows], pairs_per_item).sum())
        pairs = StrongestPairs(
            np.empty(rows.stop - rows.start, np.int64), np.empty(most, np.int32), np.empty(most, np.float32)
        )
        bounds = (pairs_per_item, most_of_row, rows.start, rows.stop)
        written = count_rows_of_pairs(
            *of_users, *of_items, num_users, *bounds, pairs.row_ends, pairs.columns, pairs.counts
        )
        return StrongestPairs(pairs.row_ends, pairs.columns[:written], pairs.counts[:written])

    return count
