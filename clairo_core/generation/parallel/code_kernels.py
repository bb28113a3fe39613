"""Score every item by its codes, compiled."""

import numpy as np
from numba import types

from clairo_core.tokens.kernels.compilation import kernel, read_only, writable


@kernel(read_only(types.float32, 1), types.float32, read_only(types.int32, 2), writable(types.float32, 1))
def sum_codes(code_scores, scale, codes, scores):
    """Fill in the sum of the scores of each item's codes, times the scale.

    In the order of codebooks, as torch's `embedding_bag`, which takes five times as long for a single history.
    """
    for item in range(len(codes)):
        score = np.float32(0.0)
        for codebook in range(codes.shape[1]):
            score += code_scores[codes[item, codebook]]
        scores[item] = score * scale
