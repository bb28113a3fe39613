"""Merge sets of tokens, and the slots between them, heaviest merge first: the encoding without chance, compiled.

Knows tokens, rules and counts as integers; knows nothing of features, items or files. A history is a row of sets,
one an item, with a slot between neighbours that holds at most one token and counts as a set of one.

Source: Hou et al. 2025, "ActionPiece", and its published `encode(shuffle="none")`. We differ: weights are compared
exactly, and rules that a vocabulary was expanded by are tried only where none of the older ones applies.
"""

import numpy as np
from numba import njit, types

from clairo_core.compilation import kernel, read_only
from clairo_core.pair_kernels import NO_TOKEN, merged_token
from clairo_core.tokenizer_kernels import padded

_INT32_ROW, _INT32_ROWS = read_only(types.int32, 1), read_only(types.int32, 2)
_INT64_ROW = read_only(types.int64, 1)

# Columns of `sites`: the heaviest merge at one place. Place 2i is inside set i, place 2i + 1 is the link from set i
# to set i + 1, so that places are in the order in which ties are settled.
_TOKEN, _NUMERATOR, _DENOMINATOR, _SIDE = 0, 1, 2, 3

_PARTNER_LEFT, _PARTNER_RIGHT, _NO_SLOT = 0, 1, 2
"""Values of _SIDE: a slot's token merges with its left or its right set; or the slot is empty and both sets give."""


@njit
def _offer(sites, site, token, numerator, denominator, side):
    """Keep a merge as the site's heaviest if it weighs more than the one kept so far."""
    # Weights are fractions of integers, compared crosswise: exact, where quotients would make ties by rounding.
    if numerator * sites[site, _DENOMINATOR] > sites[site, _NUMERATOR] * denominator:
        sites[site, _TOKEN] = token
        sites[site, _NUMERATOR] = numerator
        sites[site, _DENOMINATOR] = denominator
        sites[site, _SIDE] = side


@njit
def _clear(sites, site):
    sites[site, _TOKEN] = NO_TOKEN
    sites[site, _NUMERATOR] = 0
    sites[site, _DENOMINATOR] = 1


@njit
def _weigh_inside(sets, sizes, sites, i, rules, token_limit):
    """Find the heaviest merge of two tokens of set i."""
    rule_table, counts, first_token = rules
    _clear(sites, 2 * i)
    for p in range(sizes[i]):
        for q in range(p + 1, sizes[i]):
            token = merged_token(rule_table, sets[i, p], sets[i, q])
            if token != NO_TOKEN and token < token_limit:
                _offer(sites, 2 * i, token, 2 * counts[token - first_token], sizes[i], 0)


@njit
def _weigh_link(sets, sizes, slots, sites, i, rules, token_limit):
    """Find the heaviest merge between set i and set i + 1, or between either of them and the slot between them."""
    rule_table, counts, first_token = rules
    site = 2 * i + 1
    _clear(sites, site)
    if slots[i] == NO_TOKEN:
        for p in range(sizes[i]):
            for q in range(sizes[i + 1]):
                token = merged_token(rule_table, sets[i, p], sets[i + 1, q])
                if token != NO_TOKEN and token < token_limit:
                    _offer(sites, site, token, counts[token - first_token], sizes[i] * sizes[i + 1], _NO_SLOT)
        return
    for side in range(2):
        for p in range(sizes[i + side]):
            token = merged_token(rule_table, sets[i + side, p], slots[i])
            if token != NO_TOKEN and token < token_limit:
                _offer(sites, site, token, counts[token - first_token], sizes[i + side], side)


@njit
def _weigh(sets, sizes, slots, sites, first, last, num_sets, rules, token_limit):
    """Weigh anew all that sets first..last take part in."""
    for i in range(max(first, 0), min(last, num_sets - 1) + 1):
        _weigh_inside(sets, sizes, sites, i, rules, token_limit)
    for i in range(max(first - 1, 0), min(last, num_sets - 2) + 1):
        _weigh_link(sets, sizes, slots, sites, i, rules, token_limit)


@njit
def _take(sets, sizes, i, token):
    """Take a token out of set i, the others staying in order; says whether it was there."""
    for p in range(sizes[i]):
        if sets[i, p] == token:
            for q in range(p, sizes[i] - 1):
                sets[i, q] = sets[i, q + 1]
            sizes[i] -= 1
            return True
    return False


@njit
def _put_first(sets, sizes, i, token):
    for p in range(sizes[i], 0, -1):
        sets[i, p] = sets[i, p - 1]
    sets[i, 0] = token
    sizes[i] += 1


@njit
def _remove_set(sets, sizes, slots, sites, i, num_sets):
    """Drop an empty set with the empty slot behind it; the slot before it now leads to the next set."""
    for k in range(i, num_sets - 1):
        for p in range(sizes[k + 1]):
            sets[k, p] = sets[k + 1, p]
        sizes[k] = sizes[k + 1]
        slots[k] = slots[k + 1]
        sites[2 * k] = sites[2 * k + 2]
        sites[2 * k + 1] = sites[2 * k + 3]
    return num_sets - 1


@njit
def _fill_or_remove_empty(sets, sizes, slots, sites, first, last, num_sets):
    """Let emptied sets among first..last take over the slot before them, and drop those that stay empty."""
    i = first
    while i <= last:
        if sizes[i] == 0 and i > 0 and slots[i - 1] != NO_TOKEN:
            sets[i, 0] = slots[i - 1]
            sizes[i] = 1
            slots[i - 1] = NO_TOKEN
            # An empty set may have stood before that slot, kept only because the slot was full.
            if sizes[i - 1] == 0:
                num_sets = _remove_set(sets, sizes, slots, sites, i - 1, num_sets)
                i -= 1
                last -= 1
        elif sizes[i] == 0 and i < num_sets - 1 and slots[i] == NO_TOKEN:
            num_sets = _remove_set(sets, sizes, slots, sites, i, num_sets)
            i -= 1
            last -= 1
        i += 1
    return num_sets


@njit
def _heaviest_site(sites, num_sets):
    """The place of the heaviest merge, the first one if several weigh the same; -1 if nothing merges."""
    best = -1
    for site in range(2 * num_sets - 1):
        if sites[site, _TOKEN] != NO_TOKEN and (
            best < 0
            or sites[site, _NUMERATOR] * sites[best, _DENOMINATOR] > sites[best, _NUMERATOR] * sites[site, _DENOMINATOR]
        ):
            best = site
    return best


@njit
def _merge_at(sets, sizes, slots, sites, site, left, right):
    """Carry out the merge of left and right kept at `site`; returns the first and the last set that it changes."""
    token, side, i = np.int32(sites[site, _TOKEN]), sites[site, _SIDE], site // 2
    if site % 2 == 0:
        _take(sets, sizes, i, left)
        _take(sets, sizes, i, right)
        _put_first(sets, sizes, i, token)
        return i, i
    if side != _NO_SLOT:
        _take(sets, sizes, i + side, right if slots[i] == left else left)
        slots[i] = token
        return i + side, i + side
    slots[i] = token
    if _holds(sets, sizes, i, left) and _holds(sets, sizes, i + 1, right):
        _take(sets, sizes, i, left)
        _take(sets, sizes, i + 1, right)
    else:
        _take(sets, sizes, i, right)
        _take(sets, sizes, i + 1, left)
    return i, i + 1


@njit
def _holds(sets, sizes, i, token):
    for p in range(sizes[i]):
        if sets[i, p] == token:
            return True
    return False


@njit
def _merge_sets(sets, sizes, slots, sites, num_sets, rules, left, right, token_limits, merged):
    """Merge until nothing is left to merge; writes the tokens in order into `merged` and returns their number."""
    _, _, first_token = rules
    for token_limit in token_limits:
        _weigh(sets, sizes, slots, sites, 0, num_sets - 1, num_sets, rules, token_limit)
        while True:
            site = _heaviest_site(sites, num_sets)
            if site < 0:
                break
            rule = sites[site, _TOKEN] - first_token
            first, last = _merge_at(sets, sizes, slots, sites, site, left[rule], right[rule])
            spread = 0
            if sizes[first] == 0 or sizes[last] == 0:
                num_sets = _fill_or_remove_empty(sets, sizes, slots, sites, first, last, num_sets)
                # Up to two sets may have gone, and one before `first` with them: what is near has new neighbours.
                spread = 2
            _weigh(sets, sizes, slots, sites, first - spread, last + spread, num_sets, rules, token_limit)
    count = 0
    for i in range(num_sets):
        for p in range(sizes[i]):
            merged[count] = sets[i, p]
            count += 1
        if i < num_sets - 1 and slots[i] != NO_TOKEN:
            merged[count] = slots[i]
            count += 1
    return count


@kernel(_INT32_ROWS, _INT32_ROW, _INT64_ROW, _INT64_ROW, _INT64_ROW, _INT32_ROW, _INT32_ROW, types.int64, _INT64_ROW)
def encode_canonical(feature_tokens, items, offsets, rule_table, counts, left, right, first_token, token_limits):
    """Canonical tokens of every history; see `Tokenizer.encode_canonical`. Returns (ids, lengths)."""
    num_histories, num_categories = offsets.shape[0] - 1, feature_tokens.shape[1]
    rules = (rule_table, counts, first_token)
    longest_history = 0
    for history in range(num_histories):
        longest_history = max(longest_history, offsets[history + 1] - offsets[history])
    sets = np.empty((longest_history, num_categories), np.int32)
    sizes, slots = np.empty(longest_history, np.int32), np.empty(longest_history, np.int32)
    sites = np.empty((2 * longest_history, 4), np.int64)
    flat = np.empty(items.shape[0] * num_categories, np.int32)
    lengths = np.empty(num_histories, np.int32)
    for history in range(num_histories):
        num_sets = offsets[history + 1] - offsets[history]
        for i in range(num_sets):
            sizes[i] = num_categories
            slots[i] = NO_TOKEN
            for category in range(num_categories):
                sets[i, category] = feature_tokens[items[offsets[history] + i], category]
        lengths[history] = _merge_sets(
            sets,
            sizes,
            slots,
            sites,
            num_sets,
            rules,
            left,
            right,
            token_limits,
            flat[offsets[history] * num_categories :],
        )
    return padded(flat, offsets[:-1] * num_categories, lengths), lengths
