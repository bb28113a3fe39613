"""Weighted counts of token pairs and a priority queue of the heaviest: a hash table and a heap, compiled.

The arrays belong to `learn_vocabulary.py`. Numbers that change from call to call lie in one array, `counters`.
"""

from numba import njit, types

from clairo_core.tokens.kernels.compilation import kernel, writable
from clairo_core.tokens.kernels.pair_kernels import home_of

# Columns of the pair table: an open-addressing hash table, a row of 32 bytes per pair, half a cache line. The last
# column holds two 32-bit numbers, reached through a view of the same memory as 32-bit columns.
KEY, COUNT, QUEUED = 0, 1, 2
"""The pair, its weighted count, and the count that it is queued under, 0 if it is not queued."""
INDEX_HEAD, STAMP = 6, 7
"""First entry of the pair's list in the index, 0 if it is empty, and the last visit to a sequence with the pair."""
PAIR_COLUMNS = 4

# Columns of the heap, whose top is the heaviest pair and among equals the smallest.
HEAP_COUNT, HEAP_KEY = 0, 1

# Entries of `counters`: the state of learning between two calls of a kernel.
NUM_PAIRS = 0  # rows of the pair table in use
NUM_ENTRIES = 1  # entries of the index in use; entry 0 ends every list
HEAP_SIZE = 2
NUM_RISEN = 3  # pairs that the current merge has made heavier than they wait for in the heap
VISIT = 4  # number of the latest visit to a sequence; stamps in the pair table are such numbers
MERGE_FIRST_VISIT = 5  # number of the current merge's first visit
THRESHOLD = 6  # rarer pairs stay out of the heap until it runs dry
CURRENT_KEY = 7  # the pair being merged, 0 between two merges
CURRENT_TOKEN = 8
CURRENT_ENTRY = 9  # where in the pair's list the merge has got to
NUM_RULES = 10
NUM_GIVEN = 11  # rules at the front of the rule arrays that are applied before any is learned
NUM_COUNTED = 12  # sequences of a part whose pairs are in its table, or pairs of a part that are in the table of all
NUM_WANTED = 13  # rows of the pair table, or entries of the index, that a kernel found missing
NUM_COUNTERS = 14

# Status codes that a kernel returns.
FINISHED, CHOSEN, TABLE_FULL, INDEX_FULL, RISEN_FULL, HEAP_FULL, HEAP_DRY = 0, 1, 2, 3, 4, 5, 6

_INT64_1, _INT64_2 = writable(types.int64, 1), writable(types.int64, 2)


@njit
def row_of(pairs, key):
    """The pair's row, or the empty row for it."""
    mask = pairs.shape[0] - 1
    row = home_of(key, mask)
    while pairs[row, KEY] != key and pairs[row, KEY] != 0:
        row = (row + 1) & mask
    return row


@njit
def has_room(num_rows, num_pairs, more):
    """Whether a table of `num_rows` stays at most 70% full with `more` pairs, which keeps searches short."""
    return 10 * (num_pairs + more) <= 7 * num_rows


@kernel(_INT64_2, _INT64_2)
def move_pairs(pairs, larger):
    """Copy the pairs with a count into an empty larger table. Returns their number."""
    copied = 0
    for row in range(pairs.shape[0]):
        if pairs[row, COUNT] != 0:
            larger[row_of(larger, pairs[row, KEY])] = pairs[row]
            copied += 1
    return copied


@kernel(_INT64_2)
def drop_gone_pairs(pairs):
    """Remove the pairs without a count, and move others up so that searches from their homes find them."""
    for row in range(pairs.shape[0]):
        # Another pair without a count may have moved here.
        while pairs[row, KEY] != 0 and pairs[row, COUNT] == 0:
            _drop_row(pairs, row)


@njit
def _drop_row(pairs, hole):
    """Close the hole that a row leaves (Knuth vol. 3, 6.4, algorithm R)."""
    mask = pairs.shape[0] - 1
    row = (hole + 1) & mask
    while pairs[row, KEY] != 0:
        if (row - home_of(pairs[row, KEY], mask)) & mask >= (row - hole) & mask:
            for column in range(PAIR_COLUMNS):
                pairs[hole, column] = pairs[row, column]
            hole = row
        row = (row + 1) & mask
    for column in range(PAIR_COLUMNS):
        pairs[hole, column] = 0


@njit
def _outweighs(count, key, other_count, other_key):
    return count > other_count or (count == other_count and key < other_key)


@njit
def _move(heap, origin, place):
    # Entry by entry: a slice would make an array object each time.
    heap[place, HEAP_COUNT] = heap[origin, HEAP_COUNT]
    heap[place, HEAP_KEY] = heap[origin, HEAP_KEY]


@njit
def _push(heap, size, count, key):
    """Add a pair to a heap of `size`. The caller guarantees room."""
    place = size
    while place > 0:
        parent = (place - 1) >> 1
        if not _outweighs(count, key, heap[parent, HEAP_COUNT], heap[parent, HEAP_KEY]):
            break
        _move(heap, parent, place)
        place = parent
    heap[place, HEAP_COUNT] = count
    heap[place, HEAP_KEY] = key


@njit
def _drop_top(heap, size):
    """Remove the top of a heap of `size`."""
    size -= 1
    count, key = heap[size, HEAP_COUNT], heap[size, HEAP_KEY]
    place = 0
    while True:
        child = 2 * place + 1
        if child >= size:
            break
        if child + 1 < size and _outweighs(
            heap[child + 1, HEAP_COUNT], heap[child + 1, HEAP_KEY], heap[child, HEAP_COUNT], heap[child, HEAP_KEY]
        ):
            child += 1
        if not _outweighs(heap[child, HEAP_COUNT], heap[child, HEAP_KEY], count, key):
            break
        _move(heap, child, place)
        place = child
    heap[place, HEAP_COUNT] = count
    heap[place, HEAP_KEY] = key


@njit
def queue_pair(pairs, row, heap, counters):
    """Queue a pair under its current count."""
    _push(heap, counters[HEAP_SIZE], pairs[row, COUNT], pairs[row, KEY])
    counters[HEAP_SIZE] += 1
    pairs[row, QUEUED] = pairs[row, COUNT]


@njit
def settle_top(pairs, heap, counters):
    """Bring the heaviest pair to the heap's top. Returns its row, or -1 if the heap is empty."""
    while counters[HEAP_SIZE] > 0:
        count = heap[0, HEAP_COUNT]
        row = row_of(pairs, heap[0, HEAP_KEY])
        if pairs[row, QUEUED] == count:
            if pairs[row, COUNT] == count:
                return row
            # The count has fallen since. Pairs are requeued only when their count rises, hence here.
            _drop_top(heap, counters[HEAP_SIZE])
            counters[HEAP_SIZE] -= 1
            pairs[row, QUEUED] = 0
            if pairs[row, COUNT] >= counters[THRESHOLD]:
                queue_pair(pairs, row, heap, counters)
        else:
            # Requeued since under a higher count. Skipping a stale entry is cheaper than finding it earlier.
            _drop_top(heap, counters[HEAP_SIZE])
            counters[HEAP_SIZE] -= 1
    return -1


@kernel(_INT64_2, types.int64)
def count_pairs_from(pairs, threshold):
    """The number of pairs that count at least `threshold` and are not queued."""
    found = 0
    for row in range(pairs.shape[0]):
        if pairs[row, COUNT] >= threshold and pairs[row, QUEUED] == 0:
            found += 1
    return found


@kernel(_INT64_2, _INT64_2, _INT64_1)
def queue_pairs(pairs, heap, counters):
    """Queue every pair that counts at least the threshold and is not queued. The caller guarantees room."""
    for row in range(pairs.shape[0]):
        if pairs[row, COUNT] >= counters[THRESHOLD] and pairs[row, QUEUED] == 0:
            queue_pair(pairs, row, heap, counters)
