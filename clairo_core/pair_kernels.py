"""Pairs of tokens as keys, and the table of merge rules: what learning and encoding share, compiled.

Knows nothing of what a token stands for.
"""

import numpy as np
from jaxtyping import Int64
from numba import njit, types

from clairo_core.compilation import kernel, read_only, writable

NO_TOKEN = 0
"""PAD's number: an empty slot, a pair without a rule, the filling behind a sequence's end."""

TOKEN_BITS = 21
"""A key holds two tokens, and a rule table's entry three, in 63 bits."""
MAX_TOKENS = 1 << TOKEN_BITS
"""No vocabulary may hold more tokens than this: 2,097,152."""

_TOKEN_MASK = MAX_TOKENS - 1
_HASH_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio: Fibonacci hashing, Knuth vol. 3, 6.4


@njit
def pack_pair(left, right):
    """One key for a pair in either order; keys sort as (smaller, larger) do, and none is 0, for tokens from 1 up."""
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
def home_of(key, mask):
    """Where the search for a key starts in a table of `mask` + 1 rows, a power of two."""
    # The product's high bits depend on every bit of the key, its low bits only on lower ones.
    mixed = np.uint64(key) * _HASH_MULTIPLIER
    return np.int64((mixed ^ (mixed >> np.uint64(32))) & np.uint64(mask))


@njit
def add_rule(rule_table, left, right, token):
    """Let a pair merge into `token` from now on. The table is open-addressed and must have room.

    An entry is smaller, larger and merged token side by side in one number, so that a search reads one cache line.
    """
    mask = rule_table.shape[0] - 1
    key = pack_pair(left, right)
    row = home_of(key, mask)
    while rule_table[row] != 0:
        row = (row + 1) & mask
    rule_table[row] = (key << TOKEN_BITS) | np.int64(token)


@njit
def merged_token(rule_table, left, right):
    """The token that two tokens merge into, in either order, or NO_TOKEN."""
    key = pack_pair(left, right)
    mask = rule_table.shape[0] - 1
    row = home_of(key, mask)
    while True:
        entry = rule_table[row]
        if entry == 0:
            return np.int32(NO_TOKEN)
        if entry >> TOKEN_BITS == key:
            return np.int32(entry & _TOKEN_MASK)
        row = (row + 1) & mask


@kernel(writable(types.int64, 1), read_only(types.int32, 1), read_only(types.int32, 1), types.int64)
def fill_rule_table(rule_table, left, right, first_token):
    """Add the rules left[i] + right[i] -> first_token + i to an empty table."""
    for rule in range(left.shape[0]):
        add_rule(rule_table, left[rule], right[rule], first_token + rule)


def empty_rule_table(num_rules: int) -> Int64[np.ndarray, "row"]:
    """A table with room for so many rules, half full at most, so that a search soon meets an empty place."""
    return np.zeros(1 << max(2 * num_rules, 1).bit_length(), dtype=np.int64)
