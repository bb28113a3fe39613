"""A corpus of sets and slots: list the pairs in a stretch of it, and apply a merge rule to a stretch. Compiled.

Source: Hou et al. 2025, "ActionPiece", section 3.1, and the published code for what happens to emptied sets.
"""

from typing import NamedTuple

import numpy as np
from numba import njit, types

from clairo_core.tokens.kernels.compilation import writable
from clairo_core.tokens.kernels.pair_kernels import NO_TOKEN, pack_pair


class Corpus(NamedTuple):
    """Every sequence as sets with slots between them, flat. The arrays shrink in place as tokens merge."""

    tokens: np.ndarray  # int32[position, category]: the set at a position, its first `set_sizes` columns
    set_sizes: np.ndarray  # int32[position]
    set_weights: np.ndarray  # int32[position]: how much the set's event counts
    slots: np.ndarray  # int32[position]: the token between this set and the next one, or NO_TOKEN
    starts: np.ndarray  # int64[sequence]: each sequence's first position
    num_sets: np.ndarray  # int32[sequence]


class Weights(NamedTuple):
    """Weights of an occurrence of a pair, scaled to integers, before those of its sets multiply them."""

    inside: np.ndarray  # int64[set size]: 2 / m, times the unit of set weights
    across: np.ndarray  # int64[set size, set size]: 1 / (m1 * m2)


# Columns of a window: a stretch of sets, both ends included.
FIRST_SET, LAST_SET = 0, 1

CORPUS_TYPE = types.NamedTuple(
    (
        writable(types.int32, 2),
        writable(types.int32, 1),
        writable(types.int32, 1),
        writable(types.int32, 1),
        writable(types.int64, 1),
        writable(types.int32, 1),
    ),
    Corpus,
)
WEIGHTS_TYPE = types.NamedTuple((writable(types.int64, 1), writable(types.int64, 2)), Weights)


@njit(forceinline=True)
def list_pairs(
    tokens, set_sizes, set_weights, slots, start, num_sets, first, last, inside, across, sign, keys, deltas, count
):  # fmt: skip
    """Append every pair in sets first..last, on the links between them, and on the links to their neighbours.

    Link i leads from set i to set i + 1. Each pair has its weight times `sign`. Returns the new length.
    """
    for i in range(max(first - 1, start), last + 1):
        size = set_sizes[i]
        if i >= first:
            delta = sign * inside[size] * set_weights[i]
            for p in range(size):
                for q in range(p + 1, size):
                    keys[count] = pack_pair(tokens[i, p], tokens[i, q])
                    deltas[count] = delta
                    count += 1
        if i + 1 == start + num_sets:
            break
        link_sign = sign * np.int64(set_weights[i]) * set_weights[i + 1]
        next_size = set_sizes[i + 1]
        slot = slots[i]
        if slot == NO_TOKEN:
            delta = link_sign * across[size, next_size]
            for p in range(size):
                token = tokens[i, p]
                for q in range(next_size):
                    keys[count] = pack_pair(token, tokens[i + 1, q])
                    deltas[count] = delta
                    count += 1
        else:
            for neighbour in range(i, i + 2):
                neighbour_size = set_sizes[neighbour]
                delta = link_sign * across[neighbour_size, 1]
                for p in range(neighbour_size):
                    keys[count] = pack_pair(tokens[neighbour, p], slot)
                    deltas[count] = delta
                    count += 1
    return count


@njit(forceinline=True)
def _place_in(tokens, set_sizes, i, token):
    """The column of a token in set i, or -1."""
    for p in range(set_sizes[i]):
        if tokens[i, p] == token:
            return p
    return -1


@njit(forceinline=True)
def _remove_at(tokens, set_sizes, i, place):
    """Remove the token in one column of set i. The others keep their order."""
    for p in range(place, set_sizes[i] - 1):
        tokens[i, p] = tokens[i, p + 1]
    set_sizes[i] -= 1


@njit(forceinline=True)
def _merge_inside(tokens, set_sizes, i, left, right, token):
    """Merge left and right if set i holds both. The new token comes first."""
    left_place = _place_in(tokens, set_sizes, i, left)
    if left == right or left_place < 0 or _place_in(tokens, set_sizes, i, right) < 0:
        return
    _remove_at(tokens, set_sizes, i, left_place)
    for p in range(_place_in(tokens, set_sizes, i, right), 0, -1):
        tokens[i, p] = tokens[i, p - 1]
    tokens[i, 0] = token


@njit(forceinline=True)
def _merge_with_slot(tokens, set_sizes, slots, i, link, left, right, token):
    """Merge the token in the slot of `link` with its partner in set i, if it is there."""
    if slots[link] == left:
        partner = right
    elif slots[link] == right:
        partner = left
    else:
        return
    place = _place_in(tokens, set_sizes, i, partner)
    if place >= 0:
        _remove_at(tokens, set_sizes, i, place)
        slots[link] = token


@njit(forceinline=True)
def _merge_across(tokens, set_sizes, slots, i, first, second, token):
    """Merge `first` from set i and `second` from set i + 1 into the slot between. Returns whether both were there."""
    first_place, second_place = _place_in(tokens, set_sizes, i, first), _place_in(tokens, set_sizes, i + 1, second)
    if first_place < 0 or second_place < 0:
        return False
    _remove_at(tokens, set_sizes, i, first_place)
    _remove_at(tokens, set_sizes, i + 1, second_place)
    slots[i] = token
    return True


@njit(forceinline=True)
def _drop_empty_sets(tokens, set_sizes, set_weights, slots, start, num_sets, windows, num_windows):
    """Let emptied sets in the windows take over the slot before them, or else drop them with the slot after them.

    The last set of the sequence stays even if it is empty. Sets move up, and the windows with them. A window without
    sets ends before it begins. Returns the number of sets left in the sequence.
    """
    end = start + num_sets
    window = 0
    kept = windows[0, FIRST_SET]
    for i in range(kept, end):
        if window == num_windows and kept == i:
            return num_sets
        is_first = window < num_windows and i == windows[window, FIRST_SET]
        is_last = window < num_windows and i == windows[window, LAST_SET]
        if is_first:
            windows[window, FIRST_SET] = kept
        if set_sizes[i] == 0 and kept > start and slots[kept - 1] != NO_TOKEN:
            tokens[i, 0] = slots[kept - 1]
            set_sizes[i] = 1
            slots[kept - 1] = NO_TOKEN
            # The set before may be empty too, and was kept because that slot was full.
            if set_sizes[kept - 1] == 0:
                kept -= 1
        if set_sizes[i] != 0 or slots[i] != NO_TOKEN or i == end - 1:
            if kept != i:
                for p in range(set_sizes[i]):
                    tokens[kept, p] = tokens[i, p]
                set_sizes[kept] = set_sizes[i]
                set_weights[kept] = set_weights[i]
                slots[kept] = slots[i]
            kept += 1
        if is_last:
            windows[window, LAST_SET] = kept - 1
            window += 1
    return kept - start


@njit(forceinline=True)
def merge_windows(
    tokens, set_sizes, set_weights, slots, start, num_sets, windows, num_windows, left, right, token
):  # fmt: skip
    """Apply a rule to all windows of a sequence, from left to right, and move the windows. Returns the sets left."""
    for window in range(num_windows):
        for i in range(windows[window, FIRST_SET], windows[window, LAST_SET] + 1):
            _merge_inside(tokens, set_sizes, i, left, right, token)
            if i + 1 == start + num_sets:
                break
            if slots[i] != NO_TOKEN:
                _merge_with_slot(tokens, set_sizes, slots, i, i, left, right, token)
                _merge_with_slot(tokens, set_sizes, slots, i + 1, i, left, right, token)
            elif not _merge_across(tokens, set_sizes, slots, i, left, right, token):
                _merge_across(tokens, set_sizes, slots, i, right, left, token)
    # Last, because dropping a set makes its neighbours adjacent, and they must not merge in this pass.
    return _drop_empty_sets(tokens, set_sizes, set_weights, slots, start, num_sets, windows, num_windows)


@njit(forceinline=True)
def find_windows(tokens, set_sizes, slots, start, num_sets, left, right, windows):
    """List the stretches of sets whose pairs a merge can change, around each occurrence of the pair.

    Stretches that touch are joined, so no pair is in two of them. Returns their number.
    """
    num_windows = 0
    held_before, slot_before = 0, NO_TOKEN
    for i in range(start, start + num_sets):
        held = 0  # 1 if the set holds left, 2 if it holds right, 3 if both
        for p in range(set_sizes[i]):
            held |= _side_of(tokens[i, p], left, right)
        first = i + 1
        if left != right and held == 3:
            first = i
        if slot_before == NO_TOKEN:
            if (held_before & 1 and held & 2) or (held_before & 2 and held & 1):
                first = i - 1
        else:
            in_slot = _side_of(slot_before, left, right)
            beside = held_before | held
            if (in_slot & 1 and beside & 2) or (in_slot & 2 and beside & 1):
                first = i - 1
        if first <= i:
            # An empty set just before may be dropped when the slot after it is emptied.
            if first > start and set_sizes[first - 1] == 0:
                first -= 1
            if num_windows > 0 and first <= windows[num_windows - 1, LAST_SET] + 1:
                windows[num_windows - 1, LAST_SET] = i
            else:
                windows[num_windows, FIRST_SET], windows[num_windows, LAST_SET] = first, i
                num_windows += 1
        held_before, slot_before = held, slots[i]
    return num_windows


@njit(forceinline=True)
def _side_of(token, left, right):
    return (1 if token == left else 0) | (2 if token == right else 0)
