"""Solve EASE for each item on a few others, compiled. `sparse_ease.py` gives the words."""

import numpy as np
from numba import types

from clairo_core.tokens.kernels.compilation import kernel, read_only, writable


@kernel(
    read_only(types.int64, 1),
    read_only(types.int32, 1),
    read_only(types.float32, 1),
    read_only(types.float32, 1),
    read_only(types.int64, 1),
    read_only(types.int32, 1),
    writable(types.float32, 1),
)
def solve_columns(offsets, items, counts, diagonal, support_offsets, support, weights):
    """Replace each column's counts with its support by its weights.

    The counts of two items are in the row of either; columns of a row and items of a support ascend.
    """
    for column in range(len(support_offsets) - 1):
        begin, end = support_offsets[column], support_offsets[column + 1]
        gram = np.zeros((end - begin, end - begin), np.float32)
        for place in range(end - begin):
            item = support[begin + place]
            gram[place, place] = diagonal[item]
            found, last = offsets[item], offsets[item + 1]
            for other in range(place):
                found += np.searchsorted(items[found:last], support[begin + other])
                if found == last:
                    break
                if items[found] == support[begin + other]:
                    gram[place, other] = gram[other, place] = counts[found]
        weights[begin:end] = np.linalg.solve(gram, weights[begin:end])
