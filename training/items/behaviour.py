"""Turn training sequences into a vector per item. Items that follow one another are close.

Start at `behaviour_vectors`.

Source: Levy and Goldberg 2014, "Neural Word Embedding as Implicit Matrix Factorization": a truncated singular value
decomposition of shifted positive pointwise mutual information, here of items near one another in a history.
"""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from jaxtyping import Bool, Float, Float64, Int32
from scipy import sparse
from sklearn.utils.extmath import randomized_svd

from clairo_core.fusion.row_blocks import row_blocks
from clairo_core.sequences import ItemSequences
from training.engines.engine import IN_THIS_PROCESS, Engine
from training.engines.row_pieces import row_pieces

_CONTEXT_POWER = 0.75
"""As in word2vec: discounts rare neighbours."""
MOST_DOUBLE_ITEMS = 1 << 17
MOST_PAIRS = 16_000_000
"""Pairs of neighbours that are counted at once, unless one item has more: 300 MB."""


def behaviour_vectors(
    training: ItemSequences,
    num_items: int,
    *,
    dim: int,
    window: int,
    seed: int = 0,
    engine: Engine = IN_THIS_PROCESS,
) -> Float[np.ndarray, "item dim"]:
    """Vectors of length 1, zeros for items without neighbours. With fewer than `dim` directions, the rest are zeros.

    In double precision up to `MOST_DOUBLE_ITEMS` items, else in single precision, which halves memory and time.

    Args:
        training: sequences, oldest item first.
        num_items: rows of the result.
        dim: length of a vector.
        window: largest distance of two neighbours in a sequence.
        seed: of the decomposition.
        engine: where neighbours are counted.
    """
    information = positive_mutual_information(neighbour_counts(training, num_items, window, engine))
    is_double = num_items <= MOST_DOUBLE_ITEMS
    if not is_double:
        information = information.astype(np.float32)
    vectors = np.zeros((num_items, dim), information.dtype)
    rank = min(dim, num_items - 1)
    if rank < 1 or information.nnz == 0:
        return vectors
    left, singular_values, _ = randomized_svd(information, rank, n_iter=7, random_state=seed)
    vectors[:, :rank] = left * np.sqrt(singular_values)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    # The decomposition turns a row of zeros into rounding errors.
    least = 1e-9 if is_double else 1e-5
    return np.where(lengths > least, vectors / np.maximum(lengths, least), 0.0)


def has_neighbour(training: ItemSequences, num_items: int, window: int) -> Bool[np.ndarray, "item"]:
    """Items with any neighbour in `neighbour_counts`."""
    found = np.zeros(num_items, dtype=np.bool_)
    for earlier, later, _ in _neighbours(training, window):
        found[earlier] = True
        found[later] = True
    return found


def neighbour_counts(
    training: ItemSequences, num_items: int, window: int, engine: Engine = IN_THIS_PROCESS
) -> sparse.csr_matrix:
    """How often two items are neighbours, in either order; d places apart counts 1/d, times both weights."""
    occurrences = np.bincount(training.items, minlength=num_items)
    blocks = list(row_pieces(window * occurrences, MOST_PAIRS))
    counted = engine.map(partial(_followers, training, num_items, window), blocks)
    total = sparse.vstack([sparse.csr_matrix((0, num_items), dtype=np.float64), *counted], format="csr")
    both_ways: sparse.csr_matrix = (total + total.T).tocsr()
    return both_ways


def _followers(training: ItemSequences, num_items: int, window: int) -> Callable[[slice], sparse.csr_matrix]:
    """Some items -> how often each item is their neighbour later on. An item's sums depend on no other's."""

    def of_items(block: slice) -> sparse.csr_matrix:
        total = sparse.csr_matrix((block.stop - block.start, num_items), dtype=np.float64)
        for earlier, later, weights in _neighbours(training, window):
            is_of = (earlier >= block.start) & (earlier < block.stop)
            rows = earlier[is_of] - block.start
            total = total + sparse.csr_matrix((weights[is_of], (rows, later[is_of])), shape=total.shape)
        return total

    return of_items


def _neighbours(
    training: ItemSequences, window: int
) -> Iterator[tuple[Int32[np.ndarray, "pair"], Int32[np.ndarray, "pair"], Float64[np.ndarray, "pair"]]]:
    """For each distance, both items of every pair and its weight."""
    items, each_weight = training.items, training.each_weight
    sequence_of = np.repeat(np.arange(len(training), dtype=np.int32), training.lengths)
    for distance in range(1, min(window, len(items) - 1) + 1):
        # An item is not its own neighbour.
        is_pair = (sequence_of[:-distance] == sequence_of[distance:]) & (items[:-distance] != items[distance:])
        weights = (each_weight[:-distance] * each_weight[distance:])[is_pair] / distance
        yield items[:-distance][is_pair], items[distance:][is_pair], weights


def positive_mutual_information(pairs: sparse.csr_matrix) -> sparse.csr_matrix:
    """The logarithm of the ratio of each pair's count to chance, where it is positive."""
    if pairs.nnz == 0:
        return pairs
    totals = np.asarray(pairs.sum(axis=0)).ravel()
    contexts = totals**_CONTEXT_POWER
    contexts /= contexts.sum()
    information = pairs.copy()
    for rows in row_blocks(pairs.shape[0]):
        entries = slice(pairs.indptr[rows.start], pairs.indptr[rows.stop])
        row_of = np.repeat(np.arange(rows.start, rows.stop), np.diff(pairs.indptr[rows.start : rows.stop + 1]))
        by_chance = totals[row_of] * contexts[pairs.indices[entries]]
        information.data[entries] = np.maximum(np.log(pairs.data[entries] / by_chance), 0)
    information.eliminate_zeros()
    return information
