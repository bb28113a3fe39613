"""Random views: every item's features in random order, flattened, then byte-pair encoding; compiled.

`tokenizer.py` wraps these loops; `canonical_kernels.py` has the deterministic encoding.

Source: Hou et al. 2025, "ActionPiece", section 3.2. We differ: every view has its own random stream.
"""

import numpy as np
from numba import njit, types

from clairo_core.tokens.kernels.compilation import kernel, read_only
from clairo_core.tokens.kernels.pair_kernels import NO_TOKEN, merged_token

_NOTHING_TO_MERGE = np.int64(2**63 - 1)

# splitmix64, Steele et al. 2014: one multiply-shift chain per number, and any 64-bit seed starts a good stream.
_SPLITMIX_STEP = np.uint64(0x9E3779B97F4A7C15)
_SPLITMIX_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SPLITMIX_SECOND = np.uint64(0x94D049BB133111EB)

_INT32_ROW, _INT32_ROWS = read_only(types.int32, 1), read_only(types.int32, 2)
_INT64_ROW = read_only(types.int64, 1)


@njit
def _splitmix(state):
    """The next state and number of a random stream."""
    state += _SPLITMIX_STEP
    mixed = (state ^ (state >> np.uint64(30))) * _SPLITMIX_FIRST
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _SPLITMIX_SECOND
    return state, mixed ^ (mixed >> np.uint64(31))


@njit
def _stream_of(seed, index):
    """The random stream of the view at `index`, independent of other views."""
    _, mixed = _splitmix(np.uint64(seed))
    _, mixed = _splitmix(mixed ^ np.uint64(index))
    return mixed


@njit
def _shuffle(tokens, start, count, stream):
    """Shuffle tokens[start:start + count] (Fisher and Yates); returns the stream's next state."""
    for last in range(count - 1, 0, -1):
        stream, number = _splitmix(stream)
        # The high 32 bits times the range, shifted back: uniform to within 2^-32, without a division.
        chosen = np.int64(((number >> np.uint64(32)) * np.uint64(last + 1)) >> np.uint64(32))
        swapped = tokens[start + last]
        tokens[start + last] = tokens[start + chosen]
        tokens[start + chosen] = swapped
    return stream


@njit(forceinline=True)
def _merge_at(rule_table, tokens, left, right):
    """The token that two neighbours make, with the place of the left one behind it in one number."""
    token = merged_token(rule_table, tokens[left], tokens[right])
    return (np.int64(token) << 32) | left if token != NO_TOKEN else _NOTHING_TO_MERGE


@njit(forceinline=True)
def _set_merge(merges, places, place, merge):
    """Change the merge at a place, and the least ones above it as far as that changes them."""
    node = places + place
    merges[node] = merge
    while node > 1:
        node >>= 1
        least = min(merges[2 * node], merges[2 * node + 1])
        if merges[node] == least:
            break
        merges[node] = least


@njit
def _merge_flat(tokens, count, rule_table, merges, following, preceding):
    """Byte-pair encoding of tokens[:count] in place, lowest token first, leftmost first; returns the new count.

    `merges` is scratch of at least twice `count`, `following` and `preceding` of at least `count`.
    """
    # merges[places + i] packs (merged token of i and its right neighbour, i) into one number, and merges[node] is
    # the minimum of merges[2 * node] and merges[2 * node + 1]: merges[1] is the next merge, a change takes log n.
    places = max(count - 1, 1)
    merges[1] = _NOTHING_TO_MERGE
    for i in range(count - 1):
        merges[places + i] = _merge_at(rule_table, tokens, i, i + 1)
        following[i] = i + 1
        preceding[i + 1] = i
    for node in range(places - 1, 0, -1):
        merges[node] = min(merges[2 * node], merges[2 * node + 1])
    while True:
        least = merges[1]
        if least == _NOTHING_TO_MERGE:
            break
        left = least & 0xFFFFFFFF
        gone = following[left]
        tokens[left] = least >> 32
        tokens[gone] = NO_TOKEN
        if gone == count - 1:
            count = left + 1
            _set_merge(merges, places, left, _NOTHING_TO_MERGE)
        else:
            _set_merge(merges, places, gone, _NOTHING_TO_MERGE)
            right = following[gone]
            following[left] = right
            preceding[right] = left
            _set_merge(merges, places, left, _merge_at(rule_table, tokens, left, right))
        if left > 0:
            before = preceding[left]
            _set_merge(merges, places, before, _merge_at(rule_table, tokens, before, left))
    kept = 0
    for i in range(count):
        if tokens[i] != NO_TOKEN:
            tokens[kept] = tokens[i]
            kept += 1
    return kept


@njit
def _view_scratch(num_tokens):
    """Scratch of `_merge_flat` for up to `num_tokens`: merges, following, preceding."""
    return np.empty(2 * num_tokens + 2, np.int64), np.empty(num_tokens, np.int32), np.empty(num_tokens, np.int32)


@njit
def _encode_view(feature_tokens, items, rule_table, shuffles, stream, end_token, scratch, tokens):
    """Write one view of the items' features into `tokens`, then `end_token`; returns its length."""
    merges, following, preceding = scratch
    num_categories = feature_tokens.shape[1]
    count = 0
    for item in items:
        for category in range(num_categories):
            tokens[count + category] = feature_tokens[item, category]
        if shuffles:
            stream = _shuffle(tokens, count, num_categories, stream)
        count += num_categories
    count = _merge_flat(tokens, count, rule_table, merges, following, preceding)
    if end_token != NO_TOKEN:
        tokens[count] = end_token
        count += 1
    return count


@njit
def padded(flat, starts, lengths):
    """Lay the ragged rows of `flat` out as one array, filled with NO_TOKEN."""
    longest = 0
    for row in range(lengths.shape[0]):
        longest = max(longest, lengths[row])
    ids = np.zeros((lengths.shape[0], longest), np.int32)
    for row in range(lengths.shape[0]):
        for i in range(lengths[row]):
            ids[row, i] = flat[starts[row] + i]
    return ids


@kernel(_INT32_ROWS, _INT32_ROW, _INT64_ROW, _INT64_ROW, types.boolean, types.uint64, types.int64)
def encode_views(feature_tokens, items, offsets, rule_table, shuffles, seed, end_token):
    """One random view of every history; see `Tokenizer.encode_views`. Returns (ids, lengths)."""
    num_views, num_categories = offsets.shape[0] - 1, feature_tokens.shape[1]
    # One more token each for the end; the longest history sizes the scratch, their sum the ragged result.
    starts = offsets[:-1] * num_categories + np.arange(num_views)
    flat = np.empty(items.shape[0] * num_categories + num_views, np.int32)
    lengths = np.empty(num_views, np.int32)
    longest_history = 0
    for view in range(num_views):
        longest_history = max(longest_history, offsets[view + 1] - offsets[view])
    scratch = _view_scratch(longest_history * num_categories + 1)
    for view in range(num_views):
        history = items[offsets[view] : offsets[view + 1]]
        stream = _stream_of(seed, view)
        lengths[view] = _encode_view(
            feature_tokens, history, rule_table, shuffles, stream, end_token, scratch, flat[starts[view] :]
        )
    return padded(flat, starts, lengths), lengths


@kernel(_INT32_ROWS, types.int64, _INT64_ROW, types.boolean, types.uint64, types.int64)
def encode_history_views(feature_tokens, num_views, rule_table, shuffles, seed, end_token):
    """Several random views of one history; see `Tokenizer.encode_history_views`. Returns (ids, lengths)."""
    most_tokens = feature_tokens.size + 1
    history = np.arange(feature_tokens.shape[0])
    starts = np.arange(num_views) * most_tokens
    flat = np.empty(num_views * most_tokens, np.int32)
    lengths = np.empty(num_views, np.int32)
    scratch = _view_scratch(most_tokens)
    for view in range(num_views):
        stream = _stream_of(seed, view)
        lengths[view] = _encode_view(
            feature_tokens, history, rule_table, shuffles, stream, end_token, scratch, flat[starts[view] :]
        )
    return padded(flat, starts, lengths), lengths
