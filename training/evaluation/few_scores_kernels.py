"""Count the items before each target, compiled. `few_scores.py` gives the words."""

import numpy as np
from numba import types

from clairo_core.tokens.kernels.compilation import kernel, read_only, writable


@kernel(
    read_only(types.int64, 1),
    read_only(types.int32, 1),
    read_only(types.float64, 1),
    read_only(types.float64, 1),
    read_only(types.float64, 1),
    read_only(types.int64, 1),
    read_only(types.int32, 1),
    read_only(types.int64, 1),
    read_only(types.int32, 1),
    writable(types.int64, 1),
    writable(types.int64, 1),
)
def count_before(
    own_offsets, own_items, own_scores, shared, ascending, target_offsets, targets, seen_offsets, seen, allowed, masked
):
    """Write each target's rank: seen items allowed, then masked, 0 for a target that is seen itself."""
    is_seen = np.zeros(len(shared), np.bool_)
    for user in range(len(own_offsets) - 1):
        own = range(own_offsets[user], own_offsets[user + 1])
        history = seen[seen_offsets[user] : seen_offsets[user + 1]]
        for place in range(target_offsets[user], target_offsets[user + 1]):
            wanted = shared[targets[place]]
            for entry in own:
                if own_items[entry] == targets[place]:
                    wanted = own_scores[entry]
            num_before = len(shared) - np.searchsorted(ascending, wanted)
            num_seen_before = 0
            for item in history:
                if not is_seen[item]:
                    is_seen[item] = True
                    num_seen_before += shared[item] >= wanted
            # Items with own scores were counted by their shared ones.
            for entry in own:
                item = own_items[entry]
                change = int(own_scores[entry] >= wanted) - int(shared[item] >= wanted)
                num_before += change
                if is_seen[item]:
                    num_seen_before += change
            allowed[place] = num_before
            masked[place] = 0 if is_seen[targets[place]] else num_before - num_seen_before
            for item in history:
                is_seen[item] = False
