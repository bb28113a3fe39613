"""Count the users of pairs of items, a row of the matrix at a time, compiled. `count_pairs.py` gives the words.

A row is counted in a hash table of its own size: an array over all items would leave the processor's cache as the
catalogue grows. Nothing is sorted but what a row keeps.
"""

import numpy as np
from numba import njit, types

from clairo_core.tokens.kernels.compilation import kernel, read_only, writable
from clairo_core.tokens.kernels.pair_kernels import home_of

_INT32, _INT64 = read_only(types.int32, 1), read_only(types.int64, 1)
_FLOAT32 = read_only(types.float32, 1)

NO_ITEM = -1
"""An empty slot of the table."""


@njit
def _emptied_mask(slots, most):
    """Empty as many slots as `most` items need, at most half full. Returns their number less 1."""
    size = 16
    while size < 2 * most:
        size *= 2
    slots[:size] = NO_ITEM
    return size - 1


@njit
def _slot_of(slots, item, mask):
    """The item's slot, or the empty one for it."""
    slot = home_of(item, mask)
    while slots[slot] != item and slots[slot] != NO_ITEM:
        slot = (slot + 1) & mask
    return slot


@kernel(
    _INT64, _INT32, _FLOAT32, _INT64, _INT32, _FLOAT32, _FLOAT32, types.int64, _INT64, types.int64, types.int64,
    writable(types.int64, 1), writable(types.int32, 1), writable(types.float32, 1),
)  # fmt: skip
def count_rows_of_pairs(
    user_offsets, users_items, user_weights, item_offsets, items_users, item_weights, num_users, per_row, most_of_row,
    begin, end, row_ends, columns, counts,
):  # fmt: skip
    """List the strongest pairs of items begin..end, one row after another, columns ascending, and where each row ends.

    A user's items and an item's users come with weights above 0. Strength is the cosine; ties go to the lower column.
    `most_of_row` bounds the items counted for each row. Returns the number of entries.
    """
    written = 0
    most = most_of_row[begin:end].max()
    slots = np.empty(4 * most + 16, np.int32)
    totals = np.empty(len(slots), np.float32)
    found, cosines = np.empty(most, np.int32), np.empty(most, np.float32)
    for item in range(begin, end):
        mask = _emptied_mask(slots, most_of_row[item])
        num_found = 0
        for place in range(item_offsets[item], item_offsets[item + 1]):
            user, weight = items_users[place], item_weights[place]
            for entry in range(user_offsets[user], user_offsets[user + 1]):
                other = users_items[entry]
                slot = _slot_of(slots, other, mask)
                if slots[slot] == NO_ITEM:
                    slots[slot] = other
                    totals[slot] = 0
                    if other != item:
                        found[num_found] = other
                        num_found += 1
                totals[slot] += weight * user_weights[entry]
        if num_found > per_row:
            for place in range(num_found):
                other = found[place]
                total = totals[_slot_of(slots, other, mask)]
                cosines[place] = total / np.sqrt(num_users[item] * num_users[other])
            _move_strongest(found[:num_found], cosines[:num_found], per_row)
            num_found = per_row
        found[:num_found].sort()
        for place in range(num_found):
            columns[written] = found[place]
            counts[written] = totals[_slot_of(slots, found[place], mask)]
            written += 1
        row_ends[item - begin] = written
    return written


@njit
def _move_strongest(items, strengths, num_kept):
    """Move the strongest items to the front."""
    weakest = np.partition(strengths, len(items) - num_kept)[len(items) - num_kept]
    ties = np.sort(items[strengths == weakest])
    last_tie = ties[num_kept - (strengths > weakest).sum() - 1]
    kept = 0
    for place in range(len(items)):
        if strengths[place] > weakest or (strengths[place] == weakest and items[place] <= last_tie):
            items[kept] = items[place]
            kept += 1
