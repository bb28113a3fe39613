"""Items are propagated over the user-item graph; those with users in common become close."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clairo_core.sequences import ItemSequences
from training.items.graph import collaborative_vectors, graph_vectors, normalized_graph, propagated

NUM_ITEMS = 6
histories = st.lists(st.lists(st.integers(0, NUM_ITEMS - 1), max_size=5), min_size=1, max_size=6)


def dense_propagation(sequences: list[list[int]], num_layers: int) -> np.ndarray:
    """The slow twin: a dense matrix, one edge after another."""
    weights = np.zeros((len(sequences), NUM_ITEMS))
    for user, items in enumerate(sequences):
        for item in items:
            weights[user, item] += 1
    graph = np.zeros_like(weights)
    for user, item in np.argwhere(weights):
        graph[user, item] = weights[user, item] / np.sqrt(weights[user].sum() * weights[:, item].sum())
    once = graph.T @ graph
    return np.asarray(sum(np.linalg.matrix_power(once, layer) for layer in range(1, num_layers + 1)) / num_layers)


def test_content_flows_to_items_of_the_same_users() -> None:
    # User 0 has items 0 and 1, user 1 has item 1: edges 1/sqrt(2*1), 1/sqrt(2*2), 1/sqrt(1*2).
    graph = normalized_graph(ItemSequences.from_lists([[0, 1], [1]]), 3)
    np.testing.assert_allclose(graph.toarray(), [[np.sqrt(1 / 2), 1 / 2, 0], [0, np.sqrt(1 / 2), 0]])
    once = propagated(graph, np.array([[1.0], [0.0], [0.0]]), num_layers=1)
    np.testing.assert_allclose(once, [[1 / 2], [np.sqrt(1 / 8)], [0]])


def test_an_edge_weighs_as_much_as_its_events() -> None:
    weighted = ItemSequences(np.array([0, 1]), np.array([0, 2]), weights=np.array([3.0, 1.0], np.float32))
    graph = normalized_graph(weighted, 2)
    np.testing.assert_allclose(graph.toarray(), [[3 / np.sqrt(4 * 3), 1 / np.sqrt(4 * 1)]])


@given(histories, st.integers(1, 4))
def test_propagation_matches_the_slow_twin(sequences: list[list[int]], num_layers: int) -> None:
    graph = normalized_graph(ItemSequences.from_lists(sequences), NUM_ITEMS)
    expected = dense_propagation(sequences, num_layers)
    np.testing.assert_allclose(propagated(graph, np.eye(NUM_ITEMS), num_layers), expected, atol=1e-12)


@given(histories, st.integers(1, 4))
def test_products_of_collaborative_vectors_are_the_propagation(sequences: list[list[int]], num_layers: int) -> None:
    graph = normalized_graph(ItemSequences.from_lists(sequences), NUM_ITEMS)
    vectors = collaborative_vectors(graph, NUM_ITEMS, num_layers, seed=0)
    np.testing.assert_allclose(vectors @ vectors.T, dense_propagation(sequences, num_layers), atol=1e-9)


def test_both_parts_have_length_one_and_items_without_users_are_zeros() -> None:
    content = np.random.default_rng(0).normal(size=(5, 3))
    vectors = graph_vectors(ItemSequences.from_lists([[0, 1, 2], [1, 3]]), content, dim=8, num_layers=2)
    assert vectors.shape == (5, 11)
    assert np.linalg.norm(vectors[:4, :8], axis=1) == pytest.approx(1.0)
    assert np.linalg.norm(vectors[:4, 8:], axis=1) == pytest.approx(1.0)
    assert not vectors[4].any()


def test_without_interactions_all_vectors_are_zeros() -> None:
    assert not graph_vectors(ItemSequences.from_lists([[]]), np.ones((3, 2)), dim=4, num_layers=2).any()
