"""Merge sets of tokens, and the slots between them, heaviest merge first: the deterministic encoding, compiled.

A history is a row of sets, one per item, with a slot between neighbours that holds at most one token and counts as a
set of one.

Source: Hou et al. 2025, "ActionPiece", and its published `encode(shuffle="none")`. We differ: weights are compared
exactly, and rules of a vocabulary's expansion are tried only where no older rule applies.
"""

import numpy as np
from numba import njit, types

from clairo_core.tokens.kernels.candidate_kernels import (
    BOTH,
    CANDIDATE_SIZE,
    CANDIDATES,
    FIRST,
    FOLLOWING,
    INSIDE,
    LEFT,
    LINK,
    NO_SET,
    PRECEDING,
    RIGHT,
    SECOND,
    SIDE,
    SIZE,
    SLOT,
    TOKEN,
    TOKENS,
    add_candidate,
    drop_candidates,
    heaviest_set,
    heaviest_site_of,
    list_inside,
    list_link,
    place_of,
    put_first,
    rule_below,
    start_tournament,
    take,
    unlink,
    weigh,
    weigh_again,
)
from clairo_core.tokens.kernels.compilation import kernel, read_only
from clairo_core.tokens.kernels.pair_kernels import NO_TOKEN
from clairo_core.tokens.kernels.tokenizer_kernels import padded

_INT32_ROW, _INT32_ROWS = read_only(types.int32, 1), read_only(types.int32, 2)
_INT64_ROW = read_only(types.int64, 1)


@njit(forceinline=True)
def _update_link(sets, i, column, gone, also_gone, added, rules, token_limit):
    """Weigh the link from set i again, after a change of the set on one side: the left one for FIRST."""
    after = sets[i, FOLLOWING]
    if after == NO_SET or sets[i, SLOT] != NO_TOKEN:
        list_link(sets, i, rules, token_limit)
    else:
        drop_candidates(sets, i, LINK, column, gone, also_gone)
        other = after if column == FIRST else i
        for p in range(TOKENS, TOKENS + (sets[other, SIZE] if added != NO_TOKEN else 0)):
            token, count = rule_below(rules, sets[other, p], added, token_limit)
            if column == FIRST:
                add_candidate(sets, i, LINK, added, sets[other, p], token, count, BOTH)
            else:
                add_candidate(sets, i, LINK, sets[other, p], added, token, count, BOTH)
    weigh_again(sets, i, LINK)


@njit(forceinline=True)
def _update_set(sets, i, gone, also_gone, added, rules, token_limit):
    """Weigh the sites of set i again, after it lost one or two tokens and gained `added`, unless NO_TOKEN."""
    drop_candidates(sets, i, INSIDE, FIRST, gone, also_gone)
    drop_candidates(sets, i, INSIDE, SECOND, gone, also_gone)
    for p in range(TOKENS + 1, TOKENS + (sets[i, SIZE] if added != NO_TOKEN else 0)):
        token, count = rule_below(rules, added, sets[i, p], token_limit)
        add_candidate(sets, i, INSIDE, added, sets[i, p], token, count, BOTH)
    weigh_again(sets, i, INSIDE)
    if sets[i, PRECEDING] != NO_SET:
        _update_link(sets, sets[i, PRECEDING], SECOND, gone, also_gone, added, rules, token_limit)
    _update_link(sets, i, FIRST, gone, also_gone, added, rules, token_limit)


@njit(forceinline=True)
def _fill_or_unlink(sets, i):
    """Let an empty set take over the slot before it; if that is empty, drop the set and an empty slot behind it.

    Returns the set whose links have changed, or NO_SET.
    """
    before, after = sets[i, PRECEDING], sets[i, FOLLOWING]
    if before != NO_SET and sets[before, SLOT] != NO_TOKEN:
        sets[i, TOKENS] = sets[before, SLOT]
        sets[i, SIZE] = 1
        sets[before, SLOT] = NO_TOKEN
        # The set before may be empty too, kept only because that slot was full.
        if sets[before, SIZE] == 0:
            unlink(sets, before)
        return i
    if after != NO_SET and sets[i, SLOT] == NO_TOKEN:
        unlink(sets, i)
        return after
    return NO_SET


@njit(forceinline=True)
def _renew_links(sets, i, rules, token_limit):
    """List and weigh again the links before and behind set i, unless it is NO_SET."""
    if i != NO_SET:
        for link in (i, sets[i, PRECEDING]):
            if link != NO_SET:
                list_link(sets, link, rules, token_limit)
                weigh_again(sets, link, LINK)


@njit(forceinline=True)
def _merge_sets(sets, num_sets, rules, left, right, first_token, token_limit):
    """Merge by the rules that make tokens below the limit, until none applies."""
    for i in range(num_sets):
        list_inside(sets, i, rules, token_limit)
        weigh(sets, i, INSIDE)
        list_link(sets, i, rules, token_limit)
        weigh(sets, i, LINK)
    start_tournament(sets, num_sets)
    i = heaviest_set(sets)
    while i != NO_SET:
        site = heaviest_site_of(sets, i)
        token, side, after = sets[i, site + TOKEN], sets[i, site + SIDE], sets[i, FOLLOWING]
        first, second = np.int64(left[token - first_token]), np.int64(right[token - first_token])
        if site == INSIDE:
            take(sets, i, first)
            take(sets, i, second)
            put_first(sets, i, token)
            _update_set(sets, i, first, second, token, rules, token_limit)
        else:
            if side != BOTH:
                first = second = second if sets[i, SLOT] == first else first
            elif place_of(sets, i, first) < 0 or place_of(sets, after, second) < 0:
                # The rule's left token comes from the left set if possible.
                first, second = second, first
            sets[i, SLOT] = token
            if side != RIGHT:
                take(sets, i, first)
                _update_set(sets, i, first, first, NO_TOKEN, rules, token_limit)
            if side != LEFT:
                take(sets, after, second)
                _update_set(sets, after, second, second, NO_TOKEN, rules, token_limit)
            for changed in (i, after):
                if sets[changed, SIZE] == 0:
                    _renew_links(sets, _fill_or_unlink(sets, changed), rules, token_limit)
        i = heaviest_set(sets)


@njit(forceinline=True)
def _link_sets(sets, feature_tokens, history):
    """Lay a history's items out as sets with empty slots between them."""
    num_categories = feature_tokens.shape[1]
    for i in range(history.shape[0]):
        sets[i, SIZE] = num_categories
        sets[i, SLOT] = NO_TOKEN
        sets[i, PRECEDING] = i - 1 if i > 0 else NO_SET
        sets[i, FOLLOWING] = i + 1 if i + 1 < history.shape[0] else NO_SET
        sets[i, INSIDE + CANDIDATES] = TOKENS + num_categories
        sets[i, LINK + CANDIDATES] = TOKENS + num_categories + CANDIDATE_SIZE * num_categories**2
        for category in range(num_categories):
            sets[i, TOKENS + category] = feature_tokens[history[i], category]


@njit(forceinline=True)
def _write_tokens(sets, num_sets, tokens):
    """Write the tokens of sets and slots in order; returns their number."""
    # The first set may be dropped; the last one never is.
    i = num_sets - 1
    while sets[i, PRECEDING] != NO_SET:
        i = sets[i, PRECEDING]
    count = 0
    while i != NO_SET:
        for p in range(TOKENS, TOKENS + sets[i, SIZE]):
            tokens[count] = sets[i, p]
            count += 1
        if sets[i, SLOT] != NO_TOKEN:
            tokens[count] = sets[i, SLOT]
            count += 1
        i = sets[i, FOLLOWING]
    return count


@kernel(_INT32_ROWS, _INT32_ROW, _INT64_ROW, _INT64_ROW, _INT32_ROW, _INT32_ROW, types.int64, _INT64_ROW)
def encode_canonical(feature_tokens, items, offsets, rules, left, right, first_token, token_limits):
    """Canonical tokens of every history; see `Tokenizer.encode_canonical`. Returns (ids, lengths)."""
    num_histories, num_categories = offsets.shape[0] - 1, feature_tokens.shape[1]
    longest = 1
    for h in range(num_histories):
        longest = max(longest, offsets[h + 1] - offsets[h])
    sets = np.empty((longest, TOKENS + num_categories + 2 * CANDIDATE_SIZE * num_categories**2), np.int64)
    flat = np.empty(items.shape[0] * num_categories, np.int32)
    lengths = np.zeros(num_histories, np.int32)
    for h in range(num_histories):
        history = items[offsets[h] : offsets[h + 1]]
        num_sets = history.shape[0]
        if num_sets == 0:
            continue
        _link_sets(sets, feature_tokens, history)
        for token_limit in token_limits:
            _merge_sets(sets, num_sets, rules, left, right, first_token, token_limit)
        lengths[h] = _write_tokens(sets, num_sets, flat[offsets[h] * num_categories :])
    return padded(flat, offsets[:-1] * num_categories, lengths), lengths
