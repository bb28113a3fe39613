"""Propagate items over the user-item graph: items with users in common become close. Start at `graph_vectors`.

Source: He et al. 2020, "LightGCN", whose propagation MMGRec (Liu et al. 2024) applies before it quantizes. We differ:
nothing is learned. In place of trained identity embeddings stand the leading eigenvectors of the propagation, to which
it is equal up to the number of dimensions. Layer 0, the item itself, is left out, as `align_items` adds own content.
"""

import numpy as np
from jaxtyping import Float, Float64
from scipy import sparse
from sklearn.utils.extmath import randomized_svd

from clairo_core.sequences import ItemSequences


def graph_vectors(
    training: ItemSequences, content: Float[np.ndarray, "item content"], *, dim: int, num_layers: int, seed: int = 0
) -> Float64[np.ndarray, "item collaborative+content"]:
    """Collaborative vectors of length `dim`, beside content propagated over the graph; both parts of length 1.

    Rows of items without users are zeros. With fewer than `dim` directions, the rest are zeros.

    Args:
        training: one sequence per user.
        content: by item row; rows of zeros propagate nothing.
        dim: length of the collaborative part.
        num_layers: steps from items to users and back; the vectors are means over the layers.
        seed: of the decomposition.
    """
    graph = normalized_graph(training, len(content))
    parts = (collaborative_vectors(graph, dim, num_layers, seed), propagated(graph, content, num_layers))
    return np.hstack([_of_length_one(part) for part in parts])


def normalized_graph(training: ItemSequences, num_items: int) -> sparse.csr_matrix:
    """Users by items: the weight of their interactions, over the root of the user's and of the item's whole weight."""
    user_of = np.repeat(np.arange(len(training)), training.lengths)
    weights = sparse.csr_matrix((training.each_weight, (user_of, training.items)), shape=(len(training), num_items))
    of_users, of_items = (np.asarray(weights.sum(axis=axis)).ravel() for axis in (1, 0))
    scaled: sparse.csr_matrix = sparse.diags(_inverse_root(of_users)) @ weights @ sparse.diags(_inverse_root(of_items))
    return scaled


def propagated(
    graph: sparse.csr_matrix, start: Float[np.ndarray, "item dim"], num_layers: int
) -> Float64[np.ndarray, "item dim"]:
    """The mean over layers 1 to `num_layers` of `start` propagated from items to users and back, layer times."""
    layer = start.astype(np.float64)
    total = np.zeros_like(layer)
    for _ in range(num_layers):
        layer = graph.T @ (graph @ layer)
        total += layer
    return total / num_layers


def collaborative_vectors(
    graph: sparse.csr_matrix, dim: int, num_layers: int, seed: int
) -> Float64[np.ndarray, "item dim"]:
    """Vectors whose products are closest to the propagation itself, as a matrix of items by items."""
    vectors = np.zeros((graph.shape[1], dim))
    rank = min(dim, *graph.shape)
    if graph.nnz:
        _, singular_values, axes = randomized_svd(graph, rank, n_iter=7, random_state=seed)
        powers = np.mean([singular_values ** (2 * layer) for layer in range(1, num_layers + 1)], axis=0)
        vectors[:, :rank] = axes.T * np.sqrt(powers)
    return vectors


def _inverse_root(weights: Float64[np.ndarray, "node"]) -> Float64[np.ndarray, "node"]:
    return np.where(weights > 0, 1 / np.sqrt(np.where(weights > 0, weights, 1.0)), 0.0)


def _of_length_one(vectors: Float64[np.ndarray, "item dim"]) -> Float64[np.ndarray, "item dim"]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    # Decomposing a row of zeros leaves rounding errors.
    return np.where(lengths > 1e-9, vectors / np.maximum(lengths, 1e-9), 0.0)
