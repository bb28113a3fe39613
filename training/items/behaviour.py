"""Turn training sequences into a vector per item. Items that follow one another are close.

Start at `behaviour_vectors`.

Source: Levy and Goldberg 2014, "Neural Word Embedding as Implicit Matrix Factorization": a truncated singular value
decomposition of shifted positive pointwise mutual information, here of items near one another in a history.
"""

import numpy as np
from jaxtyping import Float64
from scipy import sparse
from sklearn.utils.extmath import randomized_svd

from clairo_core.sequences import ItemSequences

_CONTEXT_POWER = 0.75
"""As in word2vec: discounts rare neighbours."""


def behaviour_vectors(
    training: ItemSequences, num_items: int, *, dim: int, window: int, seed: int = 0
) -> Float64[np.ndarray, "item dim"]:
    """Vectors of length 1, zeros for items without neighbours. With fewer than `dim` directions, the rest are zeros.

    Args:
        training: sequences, oldest item first.
        num_items: rows of the result.
        dim: length of a vector.
        window: largest distance of two neighbours in a sequence.
        seed: of the decomposition.
    """
    pairs = neighbour_counts(training, num_items, window)
    information = positive_mutual_information(pairs)
    vectors = np.zeros((num_items, dim))
    rank = min(dim, num_items - 1)
    if rank < 1 or information.nnz == 0:
        return vectors
    left, singular_values, _ = randomized_svd(information, rank, n_iter=7, random_state=seed)
    vectors[:, :rank] = left * np.sqrt(singular_values)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    # The decomposition turns a row of zeros into rounding errors.
    return np.where(lengths > 1e-9, vectors / np.maximum(lengths, 1e-9), 0.0)


def neighbour_counts(training: ItemSequences, num_items: int, window: int) -> sparse.csr_matrix:
    """How often two items are neighbours, in either order; d places apart counts 1/d, times both weights."""
    items, offsets, each_weight = np.asarray(training.items), np.asarray(training.offsets), training.each_weight
    sequence_of = np.repeat(np.arange(len(training)), np.diff(offsets))
    total = sparse.csr_matrix((num_items, num_items), dtype=np.float64)
    for distance in range(1, min(window, len(items) - 1) + 1):
        is_pair = sequence_of[:-distance] == sequence_of[distance:]
        earlier, later = items[:-distance][is_pair], items[distance:][is_pair]
        # An item is not its own neighbour.
        differ = earlier != later
        weights = (each_weight[:-distance] * each_weight[distance:])[is_pair][differ] / distance
        total = total + sparse.csr_matrix((weights, (earlier[differ], later[differ])), shape=total.shape)
    both_ways: sparse.csr_matrix = (total + total.T).tocsr()
    return both_ways


def positive_mutual_information(pairs: sparse.csr_matrix) -> sparse.csr_matrix:
    """The logarithm of the ratio of each pair's count to chance, where it is positive."""
    entries = pairs.tocoo()
    if entries.nnz == 0:
        return pairs
    totals = np.asarray(pairs.sum(axis=0)).ravel()
    contexts = totals**_CONTEXT_POWER
    contexts /= contexts.sum()
    by_chance = totals[entries.row] * contexts[entries.col]
    information = np.log(entries.data / by_chance)
    is_more = information > 0
    return sparse.csr_matrix((information[is_more], (entries.row[is_more], entries.col[is_more])), shape=pairs.shape)
