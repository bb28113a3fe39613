"""Cut the rows of a matrix into pieces of bounded size, for an engine."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Int


def row_pieces(entries_of_row: Int[np.ndarray, "row"], most_entries: int) -> Iterator[slice]:
    """Cut rows into pieces of at most `most_entries`, a longer row alone.

    >>> list(row_pieces(np.array([2, 1, 9, 1]), 3))
    [slice(0, 2, None), slice(2, 3, None), slice(3, 4, None)]
    """
    ends = np.cumsum(entries_of_row)
    begin = 0
    while begin < len(ends):
        before = ends[begin - 1] if begin else 0
        end = max(begin + 1, int(np.searchsorted(ends, before + most_entries, side="right")))
        yield slice(begin, end)
        begin = end
