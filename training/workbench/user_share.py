"""Keep one user from being most of an epoch: a bot with 10^5 events would take 99% of the examples of a young shop.

Who has far more examples than the others takes part with a fresh sample per epoch (`drawn_rows`), and counts take the
newest of the sequence (`newest_of_each`).
"""

import numpy as np
from jaxtyping import Int, Int64

from clairo_core.sequences import ItemSequences

TIMES_THE_MEDIAN = 20
"""Where long histories are the rule, as in film ratings, the limit hardly binds."""


def most_per_user(counts: Int[np.ndarray, "user"], limit: int) -> int:
    """Most examples of one user per epoch: `limit`, or 20 times the median user's if that is more; 0 is no limit.

    >>> most_per_user(np.array([0, 5, 6, 7, 100_000]), 100), most_per_user(np.array([90, 100, 2300]), 100)
    (130, 2000)
    """
    largest = int(counts.max(initial=0))
    if limit == 0 or largest <= limit:
        return largest
    return min(largest, max(limit, int(TIMES_THE_MEDIAN * np.median(counts[counts > 0]))))


def drawn_rows(counts: Int[np.ndarray, "user"], most: int, random: np.random.Generator) -> Int64[np.ndarray, "row"]:
    """Rows of a table that holds `counts` rows per user, one user after another: at most `most` random ones of each.

    All rows, and nothing is drawn, if no user has more.
    """
    ends = np.cumsum(counts)
    is_drawn = np.ones(int(ends[-1]) if len(ends) else 0, dtype=np.bool_)
    for user in np.flatnonzero(counts > most):
        of_user = is_drawn[ends[user] - counts[user] : ends[user]]
        of_user[:] = False
        of_user[random.choice(len(of_user), size=most, replace=False)] = True
    return np.flatnonzero(is_drawn)


def newest_of_each(sequences: ItemSequences, most: int) -> ItemSequences:
    """The newest `most` items of each sequence.

    >>> [items.tolist() for items in newest_of_each(ItemSequences.from_lists([[1, 2, 3], [4]]), 2)]
    [[2, 3], [4]]
    """
    lengths = sequences.lengths
    if not (lengths > most).any():
        return sequences
    from_the_end = np.repeat(sequences.offsets[1:], lengths) - np.arange(len(sequences.items))
    return sequences.where(from_the_end <= most)
