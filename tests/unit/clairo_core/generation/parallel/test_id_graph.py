"""Items found by a walk along similar semantic ids: worked by hand, against all items scored, with posted items."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from clairo_core.errors import GeneratorError
from clairo_core.generation.parallel.graph_kernels import walk
from clairo_core.generation.parallel.id_graph import Links, code_similarity, fit_links
from clairo_core.generation.parallel.network import ParallelNetwork
from clairo_core.generation.parallel.parallel_checkpoint import load_links, save_network
from clairo_core.generation.parallel.parallel_generator import ParallelGenerator, code_rows, parallel_generator
from clairo_core.ranking import Generated
from clairo_core.ranking.allowed_items import allowed_by
from tests.unit.clairo_core.generation.parallel.test_parallel_generator import (
    FEATURE_SETS,
    HISTORIES,
    NUM_ITEMS,
    TOKENIZER,
    catalogue_of,
    random_network,
)


def links_of(network: ParallelNetwork, degree: int, num_items: int = NUM_ITEMS) -> Links:
    codes = code_rows(FEATURE_SETS[:num_items], network.sizes)
    return fit_links(codes, code_similarity(network.vectors_by_codebook), degree, num_steps=3)


def graph_generator(degree: int = 4) -> ParallelGenerator:
    network = random_network()
    return parallel_generator(network, catalogue_of(), links_of(network, degree))


def generate(
    generator: ParallelGenerator, num_beams: int, is_allowed: np.ndarray | None = None, seed: int = 0
) -> list[Generated]:
    return generator.generate(
        HISTORIES, [seed] * len(HISTORIES), 1, num_beams, None if is_allowed is None else allowed_by(is_allowed)
    )


def test_a_walk_expands_the_best_nodes_so_far() -> None:
    #      0 -> 1 -> 3    node 2 scores more than node 1, so a single beam goes on there;
    #        -> 2 -> 4    node 5 has no edge to it
    scores = np.array([0.0, 1.0, 2.0, 9.0, 3.0, 8.0], dtype=np.float32)
    codes = np.arange(6, dtype=np.int32)[:, None]
    neighbours = np.array([[1, 2], [3, 0], [4, 0], [1, 0], [2, 0], [0, 1]], dtype=np.int32)
    starts = np.array([0])
    for num_beams, num_steps, expected in ((1, 1, [0, 1, 2]), (1, 2, [0, 1, 2, 4]), (2, 2, [0, 1, 2, 4, 3])):
        visited, of_visited = walk(scores, codes, neighbours, starts, num_beams, num_steps)
        assert visited.tolist() == expected
        assert of_visited.tolist() == scores[expected].tolist()


def test_a_walk_ends_where_nothing_is_new() -> None:
    neighbours = np.array([[1], [0]], dtype=np.int32)
    visited, _ = walk(np.ones(2, np.float32), np.array([[0], [1]], np.int32), neighbours, np.array([0]), 1, 100)
    assert visited.tolist() == [0, 1]


def test_a_node_leads_to_the_others_whose_codes_are_the_most_similar() -> None:
    network = random_network()
    vectors = network.vectors_by_codebook.detach().numpy().astype(np.float64)
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
    nodes = np.unique(FEATURE_SETS[:NUM_ITEMS, :3], axis=0)
    slow = np.array(
        [[sum(vectors[c, a[c]] @ vectors[c, b[c]] for c in range(3)) for b in nodes.tolist()] for a in nodes.tolist()]
    )
    np.fill_diagonal(slow, -np.inf)
    assert links_of(network, 4).neighbours.tolist() == np.argsort(-slow, axis=1)[:, :4].tolist()


def test_with_fewer_others_than_the_degree_a_node_has_loops() -> None:
    assert links_of(random_network(), 4, num_items=2).neighbours.tolist() == [[1, 0, 0, 0], [0, 1, 1, 1]]


def test_beams_that_cover_the_catalogue_find_the_exact_items_in_order() -> None:
    searched = graph_generator()
    exact = replace(searched, graph=None)
    for found, expected in zip(generate(searched, 20), generate(exact, 20), strict=True):
        assert found.item_rows.tolist() == expected.item_rows.tolist()
        np.testing.assert_allclose(found.log_probabilities, expected.log_probabilities, atol=1e-4)


def test_few_beams_visit_some_items_equal_ones_for_equal_seeds() -> None:
    searched = graph_generator(degree=1)
    for seed in range(5):
        for found, again in zip(generate(searched, 1, seed=seed), generate(searched, 1, seed=seed), strict=True):
            assert 1 <= len(found.item_rows) <= 4
            assert found.item_rows.tolist() == again.item_rows.tolist()
            assert np.exp(found.log_probabilities).sum() == pytest.approx(1.0)
    starts = {tuple(sorted(generate(searched, 1, seed=seed)[0].item_rows.tolist())) for seed in range(20)}
    assert len(starts) > 1


def test_a_filter_removes_items_and_changes_no_score_of_a_visited_one() -> None:
    searched = graph_generator()
    is_allowed = np.random.default_rng(0).random((len(HISTORIES), NUM_ITEMS)) < 0.4
    for allowed, of_all, of_some in zip(
        is_allowed, generate(searched, 20), generate(searched, 20, is_allowed), strict=True
    ):
        kept = allowed[of_all.item_rows]
        assert of_some.item_rows.tolist() == of_all.item_rows[kept].tolist()
        np.testing.assert_allclose(of_some.log_probabilities, of_all.log_probabilities[kept], atol=1e-5)


def test_the_only_allowed_items_come_back_although_no_walk_reaches_them() -> None:
    searched = graph_generator(degree=1)
    is_allowed = np.zeros((len(HISTORIES), NUM_ITEMS), dtype=np.bool_)
    is_allowed[:, [6, 13]] = True
    for found in generate(searched, 1, is_allowed):
        assert sorted(found.item_rows.tolist()) == [6, 13]
        assert np.all(found.log_probabilities <= 0)


def test_a_retired_item_is_passed_and_never_comes_back() -> None:
    searched = graph_generator()
    later = searched.with_catalogue(searched.catalogue.without_item("item-4"))
    for found in generate(later, 20):
        assert sorted(found.item_rows.tolist()) == [row for row in range(NUM_ITEMS) if row != 4]
        assert np.exp(found.log_probabilities).sum() == pytest.approx(1.0, abs=1e-5)


def test_a_posted_item_is_linked_both_ways_at_once() -> None:
    searched = graph_generator()
    new = tuple(FEATURE_SETS[NUM_ITEMS].tolist())
    later = searched.with_catalogue(searched.catalogue.with_item("posted", new, TOKENIZER))
    before, after = searched.graph, later.graph
    assert before is not None
    assert after is not None
    assert len(after.neighbours.rows) == len(before.neighbours.rows) + 1
    nearest = after.neighbours.rows[-1, 0]
    assert len(before.neighbours.rows) in after.neighbours.rows[nearest]
    exact = replace(later, graph=None)
    for found, expected in zip(generate(later, 20), generate(exact, 20), strict=True):
        assert NUM_ITEMS in found.item_rows
        assert found.item_rows.tolist() == expected.item_rows.tolist()
    assert all(NUM_ITEMS not in found.item_rows for found in generate(searched, 20)), "the earlier version is unchanged"


def test_a_posted_item_with_the_codes_of_another_shares_its_node() -> None:
    searched = graph_generator()
    codes, taken = FEATURE_SETS[7, :3].tolist(), searched.catalogue.taken
    twin = next((*codes, index) for index in range(3) if (*codes, index) not in taken)
    later = searched.with_catalogue(searched.catalogue.with_item("twin", twin, TOKENIZER))
    assert later.graph is not None
    assert searched.graph is not None
    assert len(later.graph.codes.rows) == len(searched.graph.codes.rows)
    for found in generate(later, 20):
        score_of = dict(zip(found.item_rows.tolist(), found.log_probabilities.tolist(), strict=True))
        assert score_of[NUM_ITEMS] == score_of[7]


def test_a_posted_item_with_new_content_moves_to_its_new_codes() -> None:
    searched = graph_generator()
    first, second = (tuple(FEATURE_SETS[row].tolist()) for row in (NUM_ITEMS, NUM_ITEMS + 1))
    posted = searched.with_catalogue(searched.catalogue.with_item("posted", first, TOKENIZER))
    changed = posted.with_catalogue(posted.catalogue.with_feature_sets([NUM_ITEMS], [second], TOKENIZER))
    exact = replace(changed, graph=None)
    for found, expected in zip(generate(changed, 20), generate(exact, 20), strict=True):
        assert found.item_rows.tolist() == expected.item_rows.tolist()
        np.testing.assert_allclose(found.log_probabilities, expected.log_probabilities, atol=1e-4)


def test_a_checkpoint_keeps_the_graph(tmp_path: Path) -> None:
    network = random_network()
    save_network(network, tmp_path / "exact")
    assert load_links(tmp_path / "exact") is None
    links = links_of(network, 4)
    save_network(network, tmp_path / "graph", links)
    loaded = load_links(tmp_path / "graph")
    assert loaded is not None
    assert loaded.num_steps == links.num_steps
    assert loaded.neighbours.tolist() == links.neighbours.tolist()
    with pytest.raises(GeneratorError, match="expected the catalogue's 10; use the catalogue"):
        parallel_generator(network, catalogue_of(10), loaded)
    header = tmp_path / "graph" / "generator.json"
    header.write_text(header.read_text(encoding="utf-8").replace('"graph_steps": 3', '"graph_steps": 0'))
    with pytest.raises(GeneratorError, match="graph_steps is 0, expected 1 or more"):
        load_links(tmp_path / "graph")
