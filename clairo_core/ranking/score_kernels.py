"""Choose the best rows of many scores, and read sparse links from a history, compiled."""

import numpy as np
from numba import njit, types

from clairo_core.tokens.kernels.compilation import kernel, read_only, writable

_HASH = np.uint32(2654435769)
"""2 ** 32 over the golden ratio: spreads neighbouring rows."""


@njit
def is_above(scores, row, other):
    """Whether a row comes before another: a higher score, or an equal one and a lower row."""
    return scores[row] > scores[other] or (scores[row] == scores[other] and row < other)


@njit
def sink(scores, heap, place):
    """Restore a heap whose root is its worst row, after a change at a place."""
    size = len(heap)
    row = heap[place]
    while True:
        child = 2 * place + 1
        if child >= size:
            break
        if child + 1 < size and is_above(scores, heap[child], heap[child + 1]):
            child += 1
        if not is_above(scores, row, heap[child]):
            break
        heap[place] = heap[child]
        place = child
    heap[place] = row


@njit
def heap_of_best(scores, count):
    """Rows of the `count` highest scores as a heap, whose root is the worst of them."""
    heap = np.arange(count)
    for place in range(count // 2 - 1, -1, -1):
        sink(scores, heap, place)
    least = scores[heap[0]]
    # Rows ascend, so of equal scores the one in the heap comes first.
    for row in range(count, len(scores)):
        if scores[row] > least:
            heap[0] = row
            sink(scores, heap, 0)
            least = scores[heap[0]]
    return heap


@kernel(read_only(types.float32, 1), types.int64)
def best_rows(scores, count):
    """Rows of the `count` highest scores, best first; ties are in the order of rows."""
    count = min(count, len(scores))
    if count == 0:
        return np.arange(0)
    heap = heap_of_best(scores, count)
    best = np.empty(count, np.int64)
    for size in range(count, 0, -1):
        best[size - 1] = heap[0]
        heap[0] = heap[size - 1]
        if size > 1:
            sink(scores, heap[: size - 1], 0)
    return best


@kernel(
    read_only(types.float32, 2),
    types.int64,
    types.int64,
    writable(types.int64, 2),
    writable(types.float32, 2),
    writable(types.int64, 1),
    writable(types.float32, 1),
    writable(types.float32, 1),
)
def keep_best(scores, first_row, count, kept_rows, kept_scores, num_kept, least, highest):
    """Add a block of items, from `first_row` on, to those that are kept of each history: its `count` best, and others.

    `scores` is item times history; kept items are history times place, rows ascending, with more places than `count`.
    `least` is the worst of a history's best when its places were last full: a score must be above it. `highest` grows.
    """
    num_histories, num_places = kept_scores.shape
    for item in range(len(scores)):
        num_above = 0
        for history in range(num_histories):
            num_above += scores[item, history] > least[history]
        if num_above == 0:
            continue
        for history in range(num_histories):
            score = scores[item, history]
            if score <= least[history]:
                continue
            highest[history] = max(highest[history], score)
            of_history, rows = kept_scores[history], kept_rows[history]
            place = num_kept[history]
            of_history[place], rows[place] = score, first_row + item
            place += 1
            if place == num_places:
                best = heap_of_best(of_history, count)
                least[history] = of_history[best[0]]
                best.sort()
                for place, kept in enumerate(best):
                    of_history[place], rows[place] = of_history[kept], rows[kept]
                place = count
            num_kept[history] = place


@njit
def place_of(table, row):
    """The place of a row in a hash table of rows, or the empty one where it belongs."""
    mask = len(table) - 1
    place = np.int64((np.uint32(row) * _HASH) & np.uint32(0xFFFFFFFF)) & mask
    while table[place] != row and table[place] >= 0:
        place = (place + 1) & mask
    return place


@njit
def table_for(num_rows):
    """An empty hash table, at most half full with so many rows."""
    size = 16
    while size < 2 * num_rows:
        size *= 2
    return np.full(size, -1, np.int32)


@kernel(
    read_only(types.int32, 1),
    read_only(types.float32, 1),
    read_only(types.int64, 1),
    read_only(types.float32, 1),
    read_only(types.int64, 1),
)
def weighted_sum(columns, weights, starts, factors, order):
    """Sum of sparse rows in this order, each times its factor: the columns found, and their sums.

    Row r has the entries from `starts[r]` to `starts[r + 1]`.
    """
    table = table_for(len(columns))
    place_among = np.empty(len(table), np.int32)
    found, sums = np.empty(len(columns), np.int64), np.zeros(len(columns), np.float32)
    num_found = 0
    for row in order:
        if factors[row] == 0:
            continue
        for entry in range(starts[row], starts[row + 1]):
            place = place_of(table, columns[entry])
            if table[place] < 0:
                table[place] = columns[entry]
                place_among[place] = num_found
                found[num_found] = columns[entry]
                num_found += 1
            sums[place_among[place]] += factors[row] * weights[entry]
    return found[:num_found], sums[:num_found]


@kernel(
    read_only(types.int32, 1),
    read_only(types.float32, 1),
    read_only(types.int64, 1),
    read_only(types.int64, 1),
    writable(types.float32, 2),
)
def fill_links(columns, weights, starts, item_rows, links):
    """Add the entries of sparse rows at these columns to a dense block; see `weighted_sum` for the rows."""
    table = table_for(len(item_rows))
    place_among = np.empty(len(table), np.int32)
    for number, item_row in enumerate(item_rows):
        place = place_of(table, np.int32(item_row))
        table[place] = np.int32(item_row)
        place_among[place] = number
    for row in range(len(links)):
        for entry in range(starts[row], starts[row + 1]):
            place = place_of(table, columns[entry])
            if table[place] >= 0:
                links[row, place_among[place]] += weights[entry]
