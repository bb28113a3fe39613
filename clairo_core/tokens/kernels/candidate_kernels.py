"""A history as sets of tokens with slots between them, and its candidate merges, compiled.

`canonical_kernels.py` applies the merges and updates the candidates.
"""

from numba import njit

from clairo_core.tokens.kernels.pair_kernels import NO_TOKEN, rule_of

# All state is in one array, `sets`, one row per set: numba counts references to every array argument, and with several
# the counting takes longer than the work. The most frequent calls are inlined for the same reason: encoding became a
# quarter faster.
SIZE = 0
SLOT = 1  # the token between this set and the one that follows, or NO_TOKEN
PRECEDING, FOLLOWING = 2, 3  # rows of the neighbours, or NO_SET; dropped sets are skipped
INSIDE, LINK = 4, 10  # two sites of merges per set: inside it, and on the link to the next set
HEAVIEST = 16  # node k of a tournament over all sets: its winner; row 0 holds the number of sets
TOKENS = 17  # the set's tokens in order, then the candidates of both sites

NO_SET = -1

# Columns of a site, counted from INSIDE or LINK: its heaviest merge, whose weight is a fraction of integers, 0/1 if
# nothing merges; and its candidates.
TOKEN, NUMERATOR, DENOMINATOR, SIDE, NUM_CANDIDATES, CANDIDATES = 0, 1, 2, 3, 4, 5

LEFT, RIGHT, BOTH = 0, 1, 2
"""Source of a merge's tokens: a full slot and the set to its left or right; or one set, or both sets."""

# Columns of a candidate, from CANDIDATES on: two tokens, for a link the left set's first; their merged token; the count
# of their rule; and their side. Rule lookups are the costly part, so candidates are kept across merges.
FIRST, SECOND, MERGED, COUNT, FROM, CANDIDATE_SIZE = 0, 1, 2, 3, 4, 5


# ---- Sets ------------------------------------------------------------------------------------------------------


@njit(forceinline=True)
def place_of(sets, i, token):
    """Index of a token in set i, or -1."""
    for p in range(sets[i, SIZE]):
        if sets[i, TOKENS + p] == token:
            return p
    return -1


@njit(forceinline=True)
def take(sets, i, token):
    """Remove a token from set i; the others stay in order."""
    for p in range(TOKENS + place_of(sets, i, token), TOKENS + sets[i, SIZE] - 1):
        sets[i, p] = sets[i, p + 1]
    sets[i, SIZE] -= 1


@njit
def put_first(sets, i, token):
    """Insert a token before the others of set i."""
    for p in range(TOKENS + sets[i, SIZE], TOKENS, -1):
        sets[i, p] = sets[i, p - 1]
    sets[i, TOKENS] = token
    sets[i, SIZE] += 1


@njit
def unlink(sets, i):
    """Drop an empty set and the empty slot behind it; the slot before it then links to the next set."""
    before, after = sets[i, PRECEDING], sets[i, FOLLOWING]
    if before != NO_SET:
        sets[before, FOLLOWING] = after
    sets[after, PRECEDING] = before
    for site in (INSIDE, LINK):
        sets[i, site + NUM_CANDIDATES] = 0
        set_heaviest(sets, i, site, NO_TOKEN, 0, 1, BOTH)
    renew_tournament(sets, i)


# ---- Candidates ------------------------------------------------------------------------------------------------


@njit(forceinline=True)
def rule_below(rules, first, second, token_limit):
    """The token that two tokens merge into, and its rule's count; NO_TOKEN and 0 unless below the limit."""
    token, count = rule_of(rules, first, second)
    return (token, count) if token < token_limit else (NO_TOKEN, 0)


@njit(forceinline=True)
def add_candidate(sets, i, site, first, second, token, count, side):
    """Add a merge of two tokens at a site of set i, if a rule exists."""
    if token != NO_TOKEN:
        c = sets[i, site + CANDIDATES] + CANDIDATE_SIZE * sets[i, site + NUM_CANDIDATES]
        sets[i, c + FIRST] = first
        sets[i, c + SECOND] = second
        sets[i, c + MERGED] = token
        sets[i, c + COUNT] = count
        sets[i, c + FROM] = side
        sets[i, site + NUM_CANDIDATES] += 1


@njit(forceinline=True)
def drop_candidates(sets, i, site, column, gone, also_gone):
    """Drop the candidates whose token in a column is gone."""
    kept = c = sets[i, site + CANDIDATES]
    end = c + CANDIDATE_SIZE * sets[i, site + NUM_CANDIDATES]
    while c < end:
        if sets[i, c + column] != gone and sets[i, c + column] != also_gone:
            if kept != c:
                for k in range(CANDIDATE_SIZE):
                    sets[i, kept + k] = sets[i, c + k]
            kept += CANDIDATE_SIZE
        c += CANDIDATE_SIZE
    sets[i, site + NUM_CANDIDATES] -= (end - kept) // CANDIDATE_SIZE


@njit
def list_inside(sets, i, rules, token_limit):
    """List the candidates inside set i again."""
    sets[i, INSIDE + NUM_CANDIDATES] = 0
    end = TOKENS + sets[i, SIZE]
    for p in range(TOKENS, end):
        for q in range(p + 1, end):
            token, count = rule_below(rules, sets[i, p], sets[i, q], token_limit)
            add_candidate(sets, i, INSIDE, sets[i, p], sets[i, q], token, count, BOTH)


@njit
def list_empty_slot(sets, i, rules, token_limit):
    """List the candidates between set i and the next set again."""
    after = sets[i, FOLLOWING]
    for p in range(TOKENS, TOKENS + sets[i, SIZE]):
        for q in range(TOKENS, TOKENS + sets[after, SIZE]):
            token, count = rule_below(rules, sets[i, p], sets[after, q], token_limit)
            add_candidate(sets, i, LINK, sets[i, p], sets[after, q], token, count, BOTH)


@njit
def list_full_slot(sets, i, rules, token_limit):
    """List the candidates of the token in set i's slot with the sets on both sides again."""
    for side in range(2):
        neighbour = i if side == LEFT else sets[i, FOLLOWING]
        for p in range(TOKENS, TOKENS + sets[neighbour, SIZE]):
            token, count = rule_below(rules, sets[neighbour, p], sets[i, SLOT], token_limit)
            add_candidate(sets, i, LINK, sets[neighbour, p], sets[i, SLOT], token, count, side)


@njit
def list_link(sets, i, rules, token_limit):
    """List the candidates on the link from set i again."""
    sets[i, LINK + NUM_CANDIDATES] = 0
    if sets[i, FOLLOWING] != NO_SET:
        if sets[i, SLOT] == NO_TOKEN:
            list_empty_slot(sets, i, rules, token_limit)
        else:
            list_full_slot(sets, i, rules, token_limit)


# ---- Heaviest merges ---------------------------------------------------------------------------------------------


@njit(forceinline=True)
def set_heaviest(sets, i, site, token, numerator, denominator, side):
    """Set the heaviest merge of a site; its weight is numerator / denominator."""
    sets[i, site + TOKEN] = token
    sets[i, site + NUMERATOR] = numerator
    sets[i, site + DENOMINATOR] = denominator
    sets[i, site + SIDE] = side


@njit
def order_of(sets, i, j, candidate):
    """Rank of a candidate by the order of its tokens in set i and set j."""
    first = place_of(sets, i, sets[i, candidate + FIRST])
    second = place_of(sets, j, sets[i, candidate + SECOND])
    if i == j and first > second:
        first, second = second, first
    return first * sets[j, SIZE] + second


@njit(forceinline=True)
def weigh(sets, i, site):
    """Find the heaviest merge among the candidates at a site of set i."""
    j = i if site == INSIDE else sets[i, FOLLOWING]
    times, heaviest = 2 if site == INSIDE else 1, 0
    set_heaviest(sets, i, site, NO_TOKEN, 0, 1, BOTH)
    c = sets[i, site + CANDIDATES]
    for _ in range(sets[i, site + NUM_CANDIDATES]):
        side = sets[i, c + FROM]
        if site == INSIDE or side == LEFT:
            divisor = sets[i, SIZE]
        else:
            divisor = sets[j, SIZE] if side == RIGHT else sets[i, SIZE] * sets[j, SIZE]
        # Cross-multiplied fractions are exact; quotients would tie by rounding.
        more = times * sets[i, c + COUNT] * sets[i, site + DENOMINATOR] - sets[i, site + NUMERATOR] * divisor
        # A full slot's candidates are in order; others lose their order as new ones are added.
        if more > 0 or (more == 0 and side == BOTH and order_of(sets, i, j, c) < order_of(sets, i, j, heaviest)):
            heaviest = c
            set_heaviest(sets, i, site, sets[i, c + MERGED], times * sets[i, c + COUNT], divisor, side)
        c += CANDIDATE_SIZE


@njit(forceinline=True)
def weigh_again(sets, i, site):
    """Find the heaviest merge at a site of set i, and of all sites, after the site's candidates have changed."""
    weigh(sets, i, site)
    renew_tournament(sets, i)


# ---- Which site weighs most: a tournament, so that a merge in a history of n sets takes log n, not n ----------------


@njit(forceinline=True)
def heaviest_site_of(sets, i):
    """The site of set i with the heavier merge, the inside of equals."""
    inside = sets[i, INSIDE + NUMERATOR] * sets[i, LINK + DENOMINATOR]
    return LINK if sets[i, LINK + NUMERATOR] * sets[i, INSIDE + DENOMINATOR] > inside else INSIDE


@njit
def _play(sets, node, num_sets):
    """Let the winners of both nodes below a node meet: the heavier merge wins, the set further left of equals."""
    left, right = 2 * node, 2 * node + 1
    i = left - num_sets if left >= num_sets else sets[left, HEAVIEST]
    j = right - num_sets if right >= num_sets else sets[right, HEAVIEST]
    first, second = heaviest_site_of(sets, i), heaviest_site_of(sets, j)
    ahead = (
        sets[i, first + NUMERATOR] * sets[j, second + DENOMINATOR]
        - sets[j, second + NUMERATOR] * sets[i, first + DENOMINATOR]
    )
    sets[node, HEAVIEST] = i if ahead > 0 or (ahead == 0 and i < j) else j


@njit
def start_tournament(sets, num_sets):
    """Play all matches among the first `num_sets` sets."""
    sets[0, HEAVIEST] = num_sets
    for node in range(num_sets - 1, 0, -1):
        _play(sets, node, num_sets)


@njit
def renew_tournament(sets, i):
    """Play set i's matches again, up to the final."""
    num_sets = sets[0, HEAVIEST]
    node = (i + num_sets) >> 1
    while node > 0:
        _play(sets, node, num_sets)
        node >>= 1


@njit(forceinline=True)
def heaviest_set(sets):
    """The set with the heaviest merge, the first of equals; NO_SET if nothing merges."""
    i = sets[1, HEAVIEST] if sets[0, HEAVIEST] > 1 else 0
    return i if sets[i, heaviest_site_of(sets, i) + NUMERATOR] > 0 else NO_SET
