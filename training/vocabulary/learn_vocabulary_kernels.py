"""Compiled loops that count pairs of tokens over a corpus of sets and merge the heaviest, again and again.

Tokens, weights and counts are integers. `learn_vocabulary.py` owns the arrays and explains the algorithm.

One merge touches only the sequences that an inverted index names for the pair, and in each of them only the sets
around each place where the pair meets: their pairs' weights are taken off the counts before and put back after,
nothing is counted again.
"""

import numpy as np
from numba import njit, types

from clairo_core.tokens.kernels.compilation import kernel, writable
from clairo_core.tokens.kernels.pair_kernels import (
    NO_TOKEN,
    add_rule,
    home_of,
    larger_of,
    merged_token,
    pack_pair,
    smaller_of,
)
from training.vocabulary.corpus_kernels import (
    CORPUS_TYPE,
    FIRST_SET,
    LAST_SET,
    WEIGHTS_TYPE,
    find_windows,
    list_pairs,
    merge_windows,
)
from training.vocabulary.count_part_kernels import NEXT, SEQUENCE
from training.vocabulary.pair_count_kernels import (
    CHOSEN,
    COUNT,
    CURRENT_ENTRY,
    CURRENT_KEY,
    CURRENT_TOKEN,
    FINISHED,
    HEAP_DRY,
    HEAP_FULL,
    HEAP_SIZE,
    INDEX_FULL,
    INDEX_HEAD,
    KEY,
    MERGE_FIRST_VISIT,
    NUM_ENTRIES,
    NUM_GIVEN,
    NUM_PAIRS,
    NUM_RISEN,
    NUM_RULES,
    NUM_WANTED,
    QUEUED,
    RISEN_FULL,
    STAMP,
    TABLE_FULL,
    THRESHOLD,
    VISIT,
    has_room,
    queue_pair,
    row_of,
    settle_top,
)

NOT_FOUND = -1

_INT32_1, _INT32_2 = writable(types.int32, 1), writable(types.int32, 2)
_INT64_1, _INT64_2 = writable(types.int64, 1), writable(types.int64, 2)


@njit(forceinline=True)
def _note_sequence(heads, row, index, sequence, counters):
    """Prepend a sequence to a pair's list."""
    entry = counters[NUM_ENTRIES]
    index[entry, SEQUENCE] = sequence
    index[entry, NEXT] = heads[row, INDEX_HEAD]
    heads[row, INDEX_HEAD] = entry
    counters[NUM_ENTRIES] += 1


@kernel(CORPUS_TYPE, WEIGHTS_TYPE, _INT64_2, _INT32_2, _INT64_1, _INT64_1, _INT64_1)
def write_index_again(corpus, weights, pairs, index, keys, deltas, counters):
    """Write the index as if all sequences had just been counted, also in the middle of a merge."""
    tokens, set_sizes, set_weights, slots, starts, num_sets = corpus
    inside, across = weights
    heads = pairs.view(np.int32)
    for row in range(pairs.shape[0]):
        heads[row, INDEX_HEAD] = 0
    counters[NUM_ENTRIES] = 1
    for sequence in range(starts.shape[0]):
        start = starts[sequence]
        last = start + num_sets[sequence] - 1
        count = list_pairs(
            tokens, set_sizes, set_weights, slots, start, num_sets[sequence], start, last, inside, across, 1, keys,
            deltas, 0,
        )  # fmt: skip
        counters[VISIT] += 1
        for i in range(count):
            row = row_of(pairs, keys[i])
            if heads[row, STAMP] != counters[VISIT]:
                heads[row, STAMP] = counters[VISIT]
                _note_sequence(heads, row, index, sequence, counters)
    # The merge begins its list again: what it has examined, it skips. The pair keeps the list, for the sequences in
    # which it has recurred.
    counters[CURRENT_ENTRY] = heads[row_of(pairs, counters[CURRENT_KEY]), INDEX_HEAD]


@njit(forceinline=True)
def _move_counts(pairs, heads, index, risen, keys, deltas, rows, before, count, sequence, counters):
    """Add deltas[:count] to the pairs' counts. Those from `before` on are in the sequence after the merge."""
    mask = pairs.shape[0] - 1
    for i in range(count):
        # Looking up all pairs before any changes lets the memory fetch many rows at a time. Learning spends most of its
        # time on these fetches.
        home = home_of(keys[i], mask)
        rows[i] = home if pairs[home, KEY] == keys[i] else NOT_FOUND
    counters[VISIT] += 1
    visit, threshold = counters[VISIT], counters[THRESHOLD]
    for i in range(count):
        row = rows[i]
        if row == NOT_FOUND:
            row = row_of(pairs, keys[i])
            if pairs[row, KEY] == 0:
                pairs[row, KEY] = keys[i]
                counters[NUM_PAIRS] += 1
        pairs[row, COUNT] += deltas[i]
        if heads[row, STAMP] != visit:
            heads[row, STAMP] = visit
            # A pair from before the merge has this sequence in its list already.
            if i >= before:
                _note_sequence(heads, row, index, sequence, counters)
        # Few pairs get this far: nearly all only fall, or are too rare for the heap.
        if pairs[row, COUNT] > pairs[row, QUEUED] and pairs[row, COUNT] >= threshold:
            risen[counters[NUM_RISEN]] = keys[i]
            counters[NUM_RISEN] += 1


@njit
def _begin_merge(pairs, heads, row, token, counters):
    """Make the pair of a row the current merge."""
    counters[CURRENT_KEY] = pairs[row, KEY]
    counters[CURRENT_TOKEN] = token
    counters[CURRENT_ENTRY] = heads[row, INDEX_HEAD]
    counters[VISIT] += 1
    counters[MERGE_FIRST_VISIT] = counters[VISIT]
    counters[NUM_RISEN] = 0
    # This merge uses up the list. If the pair recurs, a new one starts.
    heads[row, INDEX_HEAD] = 0


@njit
def _choose_merge(pairs, heads, heap, rule_table, left, right, scaled_counts, first_token, counters):
    """Start the next merge: a known pair if it is the heaviest, else the next given rule, else a new rule."""
    row = settle_top(pairs, heap, counters)
    if row < 0 and counters[THRESHOLD] > 1:
        return HEAP_DRY
    if row >= 0:
        known = merged_token(rule_table, smaller_of(pairs[row, KEY]), larger_of(pairs[row, KEY]))
        if known != NO_TOKEN:
            _begin_merge(pairs, heads, row, known, counters)
            return CHOSEN
    rule = counters[NUM_RULES]
    if rule >= counters[NUM_GIVEN]:
        if row < 0:
            return FINISHED
        left[rule], right[rule] = smaller_of(pairs[row, KEY]), larger_of(pairs[row, KEY])
        scaled_counts[rule] = pairs[row, COUNT]
    add_rule(rule_table, left[rule], right[rule], first_token + rule, scaled_counts[rule])
    counters[NUM_RULES] += 1
    key = pack_pair(left[rule], right[rule])
    row = row_of(pairs, key)
    # No sequence holds the given rule's pair: nothing to merge.
    if pairs[row, KEY] == key:
        _begin_merge(pairs, heads, row, first_token + rule, counters)
    return CHOSEN


@njit(forceinline=True)
def _carry_out_merge(corpus, weights, pairs, heads, index, risen, examined, windows, keys, deltas, rows, counters):
    """Merge the current pair in every sequence of its list, while there is room."""
    tokens, set_sizes, set_weights, slots, starts, num_sets = corpus
    inside, across = weights
    most_pairs_per_set = tokens.shape[1] * (2 * tokens.shape[1] + 1)
    left, right = smaller_of(counters[CURRENT_KEY]), larger_of(counters[CURRENT_KEY])
    token = np.int32(counters[CURRENT_TOKEN])
    current_row = row_of(pairs, counters[CURRENT_KEY])
    # Once no sequence holds the pair, the rest of the list is stale.
    while counters[CURRENT_ENTRY] != 0 and pairs[current_row, COUNT] != 0:
        sequence = index[counters[CURRENT_ENTRY], SEQUENCE]
        # A list may contain a sequence twice, if a pair vanished from it and recurred.
        if examined[sequence] != counters[MERGE_FIRST_VISIT]:
            start, sets_before = starts[sequence], num_sets[sequence]
            num_windows = find_windows(tokens, set_sizes, slots, start, sets_before, left, right, windows)
            if num_windows > 0:
                num_listed = 0
                for window in range(num_windows):
                    num_listed += windows[window, LAST_SET] - windows[window, FIRST_SET] + 2
                most_pairs = num_listed * most_pairs_per_set
                if not has_room(pairs.shape[0], counters[NUM_PAIRS], most_pairs):
                    counters[NUM_WANTED] = most_pairs
                    return TABLE_FULL
                if counters[NUM_ENTRIES] + most_pairs > index.shape[0]:
                    counters[NUM_WANTED] = most_pairs
                    return INDEX_FULL
                if counters[NUM_RISEN] + most_pairs > risen.shape[0]:
                    return RISEN_FULL
                before = 0
                for window in range(num_windows):
                    first, last = windows[window, FIRST_SET], windows[window, LAST_SET]
                    before = list_pairs(
                        tokens, set_sizes, set_weights, slots, start, sets_before, first, last, inside, across, -1,
                        keys, deltas, before,
                    )  # fmt: skip
                sets_left = merge_windows(
                    tokens, set_sizes, set_weights, slots, start, sets_before, windows, num_windows, left, right, token
                )
                num_sets[sequence] = sets_left
                count = before
                for window in range(num_windows):
                    first, last = windows[window, FIRST_SET], windows[window, LAST_SET]
                    count = list_pairs(
                        tokens, set_sizes, set_weights, slots, start, sets_left, first, last, inside, across, 1, keys,
                        deltas, count,
                    )  # fmt: skip
                _move_counts(pairs, heads, index, risen, keys, deltas, rows, before, count, sequence, counters)
            examined[sequence] = counters[MERGE_FIRST_VISIT]
        counters[CURRENT_ENTRY] = index[counters[CURRENT_ENTRY], NEXT]
    return FINISHED


@njit
def _end_merge(pairs, heap, risen, counters):
    """Queue the pairs whose count the merge raised above their queued count."""
    if counters[HEAP_SIZE] + counters[NUM_RISEN] > heap.shape[0]:
        return HEAP_FULL
    for i in range(counters[NUM_RISEN]):
        row = row_of(pairs, risen[i])
        if pairs[row, COUNT] > pairs[row, QUEUED] and pairs[row, COUNT] >= counters[THRESHOLD]:
            queue_pair(pairs, row, heap, counters)
    counters[CURRENT_KEY] = 0
    return FINISHED


@kernel(
    CORPUS_TYPE, WEIGHTS_TYPE, _INT64_2, _INT32_2, _INT64_2, _INT64_1, _INT64_1, _INT64_1,
    _INT32_1, _INT32_1, _INT64_1, types.int64, _INT64_2, _INT64_1, _INT64_1, _INT64_1, _INT64_1, types.int64,
)  # fmt: skip
def merge_pairs(
    corpus, weights, pairs, index, heap, risen, examined, rule_table,
    left, right, scaled_counts, first_token, windows, keys, deltas, rows, counters, until_rule,
):  # fmt: skip
    """Merge until there are `until_rule` rules, or return a status other than FINISHED if an array must grow.

    The next call resumes, even in the middle of a merge.
    """
    heads = pairs.view(np.int32)
    while True:
        if counters[CURRENT_KEY] == 0:
            if counters[NUM_RULES] >= until_rule:
                return FINISHED
            status = _choose_merge(pairs, heads, heap, rule_table, left, right, scaled_counts, first_token, counters)
            if status != CHOSEN:
                return status
        else:
            status = _carry_out_merge(
                corpus, weights, pairs, heads, index, risen, examined, windows, keys, deltas, rows, counters
            )
            if status == FINISHED:
                status = _end_merge(pairs, heap, risen, counters)
            if status != FINISHED:
                return status
