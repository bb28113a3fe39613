"""Products of source and target matrices of partial sequences, without ever building one. Start at `source_products`.

A source row holds the items before a cut of a sequence, an item of age a with weight decay^a; SLIST and TALE map it to
what came after. With n cuts per sequence the rows have n^2 entries, but the products depend on distances alone: two
items d places apart, with m cuts after the later one, meet in m rows, where they weigh
decay^d (1 + decay^2 + ... + decay^(2m - 2)) in all. Event weights multiply.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float64, Int64
from scipy import sparse

from clairo_core.sequences import ItemSequences

LEAST_WEIGHT = 1e-4
"""Distances of a smaller weight are left out."""


def source_products(training: ItemSequences, num_items: int, decay: float) -> sparse.csr_matrix:
    """Sources times sources: symmetric, items by items. Cuts lie before every item but a sequence's first; decay < 1.

    >>> source_products(ItemSequences.from_lists([[0, 1, 2]]), 3, 0.5).toarray().tolist()
    [[1.25, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 0.0]]
    """

    def weight(distance: int, num_after: Int64[np.ndarray, "pair"]) -> Float64[np.ndarray, "pair"]:
        return decay**distance * (1.0 - decay ** (2.0 * num_after)) / (1.0 - decay**2)

    above = _pairs_by_distance(training, num_items, reach(decay), weight)
    with_itself = _pairs_by_distance(training, num_items, 0, weight, nearest=0)
    return (above + above.T + with_itself).tocsr()


def next_item_products(training: ItemSequences, num_items: int, decay: float) -> sparse.csr_matrix:
    """Sources times the one item that came next; rows are sources.

    >>> next_item_products(ItemSequences.from_lists([[0, 1, 2]]), 3, 0.5).toarray().tolist()
    [[0.0, 1.0, 0.5], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]
    """
    return _pairs_by_distance(
        training, num_items, reach(decay) + 1, lambda distance, after: np.full(len(after), decay ** (distance - 1))
    )


def following_products(training: ItemSequences, num_items: int, decay: float) -> sparse.csr_matrix:
    """Sources times all items that came after, those p places later with weight decay^(p - 1); rows are sources.

    >>> following_products(ItemSequences.from_lists([[0, 1, 2]]), 3, 0.5).toarray().tolist()
    [[0.0, 1.0, 1.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]
    """
    return _pairs_by_distance(
        training,
        num_items,
        2 * reach(decay),
        lambda distance, after: np.full(len(after), distance * decay ** (distance - 1)),
    )


def reach(decay: float) -> int:
    """The largest distance at which decay^distance is at least `LEAST_WEIGHT`.

    >>> reach(0.5)
    13
    """
    return int(np.log(LEAST_WEIGHT) / np.log(decay))


def _pairs_by_distance(
    training: ItemSequences,
    num_items: int,
    farthest: int,
    weight: Callable[[int, Int64[np.ndarray, "pair"]], Float64[np.ndarray, "pair"]],
    nearest: int = 1,
) -> sparse.csr_matrix:
    """Sum over pairs of a sequence: the distance and the number of items after the later one -> weight."""
    items, weights, lengths = training.items, training.each_weight, training.lengths
    sequence_of = np.repeat(np.arange(len(training)), lengths)
    num_after = np.repeat(training.offsets[1:], lengths) - 1 - np.arange(len(items))
    total = sparse.csr_matrix((num_items, num_items), dtype=np.float64)
    for distance in range(nearest, min(farthest, int(lengths.max(initial=0)) - 1) + 1):
        last = len(items) - distance
        is_pair = sequence_of[:last] == sequence_of[distance:]
        earlier, later = items[:last][is_pair], items[distance:][is_pair]
        summands = weight(distance, num_after[distance:][is_pair]) * (weights[:last] * weights[distance:])[is_pair]
        total = total + sparse.csr_matrix((summands, (earlier, later)), shape=total.shape)
    return total.tocsr()
