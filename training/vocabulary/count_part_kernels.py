"""Count the pairs of a part of the sequences, and add a part's counts to those of all. Compiled.

Counts are integers: they are the same for every division into parts.
"""

import numpy as np
from numba import njit, types

from clairo_core.tokens.kernels.compilation import kernel, read_only, writable
from clairo_core.tokens.kernels.pair_kernels import home_of
from training.vocabulary.corpus_kernels import CORPUS_TYPE, WEIGHTS_TYPE, list_pairs
from training.vocabulary.pair_count_kernels import (
    COUNT,
    FINISHED,
    INDEX_HEAD,
    KEY,
    NUM_COUNTED,
    NUM_ENTRIES,
    NUM_PAIRS,
    NUM_WANTED,
    STAMP,
    TABLE_FULL,
    VISIT,
    has_room,
    row_of,
)

# Columns of the index: a list of sequences per pair, newest first.
SEQUENCE, NEXT = 0, 1

# Columns of the entries of a part, in the order of its sequences.
ENTRY_PAIR, ENTRY_SEQUENCE = 0, 1

PAIR_NUMBER = INDEX_HEAD
"""Column of a part's pair table: pairs are numbered in the order that they are found in."""

_INT32_1, _INT32_2 = writable(types.int32, 1), writable(types.int32, 2)
_INT64_1, _INT64_2 = writable(types.int64, 1), writable(types.int64, 2)
_OF_PART_32, _OF_PART_64 = read_only(types.int32, 1), read_only(types.int64, 1)


NOT_HOME = -1
_PAIRS_AT_ONCE = 256


@njit(forceinline=True)
def find_homes(pairs, keys, count, rows):
    """The row of each of keys[:count] that is in its home row, else NOT_HOME.

    Looking up many pairs before any changes lets the memory fetch many rows at a time.
    """
    mask = pairs.shape[0] - 1
    for i in range(count):
        home = home_of(keys[i], mask)
        rows[i] = home if pairs[home, KEY] == keys[i] else NOT_HOME


@kernel(CORPUS_TYPE, WEIGHTS_TYPE, _INT64_2, _INT32_2, _INT64_1, _INT64_1, _INT64_1)
def count_sequences(corpus, weights, pairs, entries, keys, deltas, counters):
    """Add the pairs of a part to its table and entries, while the table has room. The entries always have."""
    tokens, set_sizes, set_weights, slots, starts, num_sets = corpus
    inside, across = weights
    numbers = pairs.view(np.int32)
    rows = np.empty(len(keys), np.int64)
    for sequence in range(counters[NUM_COUNTED], starts.shape[0]):
        start = starts[sequence]
        last = start + num_sets[sequence] - 1
        count = list_pairs(
            tokens, set_sizes, set_weights, slots, start, num_sets[sequence], start, last, inside, across, 1, keys,
            deltas, 0,
        )  # fmt: skip
        if not has_room(pairs.shape[0], counters[NUM_PAIRS], count):
            counters[NUM_WANTED] = count
            return TABLE_FULL
        find_homes(pairs, keys, count, rows)
        counters[VISIT] += 1
        for i in range(count):
            row = rows[i] if rows[i] != NOT_HOME else row_of(pairs, keys[i])
            if pairs[row, KEY] == 0:
                pairs[row, KEY] = keys[i]
                numbers[row, PAIR_NUMBER] = counters[NUM_PAIRS]
                counters[NUM_PAIRS] += 1
            if numbers[row, STAMP] != counters[VISIT]:
                numbers[row, STAMP] = counters[VISIT]
                entry = counters[NUM_ENTRIES]
                entries[entry, ENTRY_PAIR], entries[entry, ENTRY_SEQUENCE] = numbers[row, PAIR_NUMBER], sequence
                counters[NUM_ENTRIES] += 1
            pairs[row, COUNT] += deltas[i]
        counters[NUM_COUNTED] += 1
    return FINISHED


@kernel(_INT64_2, _INT32_2, types.int64, _INT64_1, _INT64_1, _INT64_1, _INT32_1)
def list_counts(pairs, entries, first_sequence, keys, counts, begins, sequences):
    """Write the pairs of a part, their counts, and their lists of sequences, one after another, by where each begins.

    The part's sequences are numbered from `first_sequence` on.
    """
    numbers = pairs.view(np.int32)
    for row in range(pairs.shape[0]):
        if pairs[row, KEY] != 0:
            keys[numbers[row, PAIR_NUMBER]] = pairs[row, KEY]
            counts[numbers[row, PAIR_NUMBER]] = pairs[row, COUNT]
    begins[:] = 0
    for entry in range(entries.shape[0]):
        begins[entries[entry, ENTRY_PAIR]] += 1
    # Where each list ends. Filled from there, its newest sequence comes first.
    for pair in range(1, begins.shape[0]):
        begins[pair] += begins[pair - 1]
    for entry in range(entries.shape[0]):
        pair = entries[entry, ENTRY_PAIR]
        begins[pair] -= 1
        sequences[begins[pair]] = first_sequence + entries[entry, ENTRY_SEQUENCE]


@kernel(_INT64_2, _INT32_2, _OF_PART_64, _OF_PART_64, _OF_PART_64, _OF_PART_32, _INT64_1)
def add_counts(pairs, index, keys, counts, begins, sequences, counters):
    """Add the pairs of a part to table and index, while the table has room. The index always has."""
    heads = pairs.view(np.int32)
    rows = np.empty(_PAIRS_AT_ONCE, np.int64)
    while counters[NUM_COUNTED] < keys.shape[0]:
        first = counters[NUM_COUNTED]
        until = min(first + _PAIRS_AT_ONCE, keys.shape[0])
        if not has_room(pairs.shape[0], counters[NUM_PAIRS], until - first):
            counters[NUM_WANTED] = until - first
            return TABLE_FULL
        find_homes(pairs, keys[first:until], until - first, rows)
        for pair in range(first, until):
            row = rows[pair - first] if rows[pair - first] != NOT_HOME else row_of(pairs, keys[pair])
            if pairs[row, KEY] == 0:
                pairs[row, KEY] = keys[pair]
                counters[NUM_PAIRS] += 1
            pairs[row, COUNT] += counts[pair]
            earlier, entry = heads[row, INDEX_HEAD], counters[NUM_ENTRIES]
            heads[row, INDEX_HEAD] = entry
            end = begins[pair + 1] if pair + 1 < begins.shape[0] else sequences.shape[0]
            for place in range(begins[pair], end):
                index[entry, SEQUENCE] = sequences[place]
                entry += 1
                index[entry - 1, NEXT] = entry
            index[entry - 1, NEXT] = earlier
            counters[NUM_ENTRIES] = entry
        counters[NUM_COUNTED] = until
    return FINISHED
