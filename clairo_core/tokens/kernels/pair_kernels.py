"""Pairs of tokens as keys, and the table of merge rules, compiled; shared by learning and encoding."""

import numpy as np
from jaxtyping import Int64
from numba import njit, types

from clairo_core.tokens.kernels.compilation import kernel, read_only, writable

NO_TOKEN = 0
"""PAD: an empty slot, a pair without a rule, the filling behind a sequence."""

TOKEN_BITS = 21
"""A key holds two tokens, and a rule table's entry three, in 63 bits."""
MAX_TOKENS = 1 << TOKEN_BITS
"""Exclusive limit of a vocabulary's size: 2,097,152."""

NO_RULE = -1

_TOKEN_MASK = MAX_TOKENS - 1
_HASH_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio: Fibonacci hashing, Knuth vol. 3, 6.4


@njit
def pack_pair(left, right):
    """One key for a pair in either order; keys sort as (smaller, larger), and are above 0 for tokens above 0."""
    if left > right:
        left, right = right, left
    return (np.int64(left) << TOKEN_BITS) | np.int64(right)


@njit
def smaller_of(key):
    """The smaller token of a pair."""
    return np.int32(key >> TOKEN_BITS)


@njit
def larger_of(key):
    """The larger token of a pair."""
    return np.int32(key & _TOKEN_MASK)


@njit
def _hash_of(key):
    return np.uint64(key) * _HASH_MULTIPLIER


@njit
def home_of(key, mask):
    """First row to probe for a key in a table of `mask` + 1 rows, a power of two."""
    mixed = _hash_of(key)
    # The product's high bits depend on every bit of the key, its low bits only on lower ones.
    return np.int64((mixed ^ (mixed >> np.uint64(32))) & np.uint64(mask))


# ---- Merge rules -----------------------------------------------------------------------------------------------

# A rule table is one array in three parts: a filter of 8 bits per row, the rows, and the rules' counts. Most pairs have
# no rule, and the filter, which fits the cache, rejects nearly all of them at once.


@njit
def _num_rows(rule_table):
    return rule_table.shape[0] // 17 * 8


@njit
def _filter_bit(key, num_rows):
    """The filter's word and bit that are set if the pair may have a rule."""
    bit = np.int64(_hash_of(key) >> np.uint64(39)) & (8 * num_rows - 1)
    return bit >> 6, np.int64(1) << (bit & 63)


@njit
def add_rule(rule_table, left, right, token, count):
    """Add the rule that merges a pair into `token`. The table is open-addressed and must have room."""
    key, num_rows = pack_pair(left, right), _num_rows(rule_table)
    word, bit = _filter_bit(key, num_rows)
    rule_table[word] |= bit
    first_row, mask = num_rows // 8, num_rows - 1
    row = home_of(key, mask)
    while rule_table[first_row + row] != 0:
        row = (row + 1) & mask
    # Smaller, larger and merged token packed into one number: a lookup reads one cache line.
    rule_table[first_row + row] = (key << TOKEN_BITS) | np.int64(token)
    rule_table[first_row + num_rows + row] = count


@njit
def find_rule(rule_table, left, right):
    """Index of a pair's rule in the table, or NO_RULE."""
    key, num_rows = pack_pair(left, right), _num_rows(rule_table)
    word, bit = _filter_bit(key, num_rows)
    if rule_table[word] & bit == 0:
        return NO_RULE
    first_row, mask = num_rows // 8, num_rows - 1
    row = home_of(key, mask)
    while rule_table[first_row + row] >> TOKEN_BITS != key:
        if rule_table[first_row + row] == 0:
            return NO_RULE
        row = (row + 1) & mask
    return first_row + row


@njit
def merged_token(rule_table, left, right):
    """The token that two tokens merge into, in either order, or NO_TOKEN."""
    place = find_rule(rule_table, left, right)
    return rule_table[place] & _TOKEN_MASK if place != NO_RULE else NO_TOKEN


@njit
def rule_of(rule_table, left, right):
    """The token that two tokens merge into, or NO_TOKEN, and the count of their rule."""
    place = find_rule(rule_table, left, right)
    if place == NO_RULE:
        return NO_TOKEN, 0
    return rule_table[place] & _TOKEN_MASK, rule_table[place + _num_rows(rule_table)]


@kernel(
    writable(types.int64, 1), read_only(types.int32, 1), read_only(types.int32, 1), read_only(types.int64, 1),
    types.int64,
)  # fmt: skip
def fill_rule_table(rule_table, left, right, counts, first_token):
    """Add the rules left[i] + right[i] -> first_token + i to an empty table."""
    for rule in range(left.shape[0]):
        add_rule(rule_table, left[rule], right[rule], first_token + rule, counts[rule])


def empty_rule_table(num_rules: int) -> Int64[np.ndarray, "place"]:
    """A table for `num_rules` rules, at most half full, so lookups soon reach an empty row."""
    num_rows = max(1 << (2 * num_rules).bit_length(), 8)
    return np.zeros(num_rows // 8 * 17, dtype=np.int64)
