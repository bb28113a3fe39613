"""Baselines that count or solve a closed form: each against a case worked by hand and a slow twin."""

from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from clairo_core.errors import TrainingError
from clairo_core.items import Item
from clairo_core.progress import silent
from clairo_core.sequences import ItemSequences
from training.baselines import counting_baselines
from training.baselines.counting_baselines import COUNTING_BASELINES, check_catalogue, fit_ease_of
from training.baselines.decayed_pairs import following_products, next_item_products, source_products
from training.baselines.item_graph import ItemGraphSettings, choose_item_graph, content_terms, fit_item_graph
from training.baselines.slist import SlistSettings, choose_slist, fit_slist
from training.baselines.tale import TaleSettings, choose_tale, fit_tale
from training.baselines.vsknn import VsknnSettings, choose_vsknn, fit_vsknn
from training.counts import strongest_entries
from training.datasets.dataset import build_dataset
from training.evaluation.split import EvaluationSplit

NUM_ITEMS = 5
NO_TERMS = sparse.csr_matrix((NUM_ITEMS, 1))

events = st.tuples(st.integers(0, NUM_ITEMS - 1), st.sampled_from([0.25, 0.5, 1.0]))
weighted_sequences = st.lists(st.lists(events, max_size=9), min_size=1, max_size=6)


def weighted(sequences: list[list[tuple[int, float]]]) -> ItemSequences:
    plain = ItemSequences.from_lists([[item for item, _ in sequence] for sequence in sequences])
    return replace(plain, weights=np.float32([weight for sequence in sequences for _, weight in sequence]))


def plain(*sequences: list[int]) -> ItemSequences:
    return ItemSequences.from_lists(sequences)


def parts(sequences: list[list[tuple[int, float]]], decay: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sources, next items and all following items of every cut, row by row."""
    sources, nexts, followings = [], [], []
    for sequence in sequences:
        for cut in range(1, len(sequence)):
            source, following = np.zeros(NUM_ITEMS), np.zeros(NUM_ITEMS)
            for age, (item, weight) in enumerate(sequence[:cut][::-1]):
                source[item] += weight * decay**age
            for place, (item, weight) in enumerate(sequence[cut:]):
                following[item] += weight * decay**place
            sources.append(source)
            followings.append(following)
            nexts.append(np.eye(NUM_ITEMS)[sequence[cut][0]] * sequence[cut][1])
    return tuple(np.array(rows).reshape(-1, NUM_ITEMS) for rows in (sources, nexts, followings))  # type: ignore[return-value]


@given(weighted_sequences, st.sampled_from([0.3, 0.8]))
def test_products_of_sources_and_targets_are_those_of_the_matrices_themselves(
    sequences: list[list[tuple[int, float]]], decay: float
) -> None:
    training = weighted(sequences)
    sources, nexts, followings = parts(sequences, decay)
    assert source_products(training, NUM_ITEMS, decay).toarray() == pytest.approx(sources.T @ sources, abs=1e-3)
    assert next_item_products(training, NUM_ITEMS, decay).toarray() == pytest.approx(sources.T @ nexts, abs=1e-3)
    assert following_products(training, NUM_ITEMS, decay).toarray() == pytest.approx(sources.T @ followings, abs=1e-3)


@given(weighted_sequences, st.sampled_from([0.5, 10.0]), st.sampled_from([0.0, 0.25]))
def test_tale_solves_ridge_regression_of_the_next_item(
    sequences: list[list[tuple[int, float]]], regularization: float, damping: float
) -> None:
    fitted = fit_tale(weighted(sequences), NUM_ITEMS, TaleSettings(regularization, 0.8, damping, 0.5))
    popularity = np.zeros(NUM_ITEMS)
    for item, weight in (event for sequence in sequences for event in sequence):
        popularity[item] += weight
    damped = (1 + popularity) ** -damping
    sources, nexts, _ = parts(sequences, 0.8)
    sources, nexts = sources * damped, nexts * damped
    gram = sources.T @ sources + regularization * np.eye(NUM_ITEMS)
    assert fitted.weights == pytest.approx(damped[:, None] * np.linalg.solve(gram, sources.T @ nexts), abs=1e-3)


def test_tale_scores_a_case_worked_by_hand() -> None:
    # Sources are item 0 twice, targets items 1 and 2: S'S = 2 and S'T = 1 each, with lambda 2.
    fitted = fit_tale(plain([0, 1], [0, 2]), 3, TaleSettings(2.0, 0.5, 0.0, 0.5))
    assert fitted.scores(plain([0], [0, 1])) == pytest.approx(np.array([[0, 0.25, 0.25], [0, 0.125, 0.125]]))


@given(weighted_sequences, st.sampled_from([0.0, 0.4, 1.0]))
def test_slist_minimizes_its_loss(sequences: list[list[tuple[int, float]]], similarity: float) -> None:
    fitted = fit_slist(weighted(sequences), NUM_ITEMS, SlistSettings(2.0, similarity, 0.7, 0.5))
    sources, _, followings = parts(sequences, 0.7)
    whole = np.zeros((len(sequences), NUM_ITEMS))
    for user, (item, weight) in ((user, event) for user, sequence in enumerate(sequences) for event in sequence):
        whole[user, item] = max(whole[user, item], weight)
    # Stacked, both losses are one ridge regression.
    inputs = np.vstack([similarity**0.5 * whole, (1 - similarity) ** 0.5 * sources])
    outputs = np.vstack([similarity**0.5 * whole, (1 - similarity) ** 0.5 * followings])
    expected = np.linalg.solve(inputs.T @ inputs + 2.0 * np.eye(NUM_ITEMS), inputs.T @ outputs)
    assert fitted.weights == pytest.approx(expected, abs=1e-3)


def test_slist_scores_a_case_worked_by_hand() -> None:
    # X'X = [[1, 1], [1, 1]], S'S = [[1, 0], [0, 0]], S'T = [[0, 1], [0, 0]]; half of each, and lambda 1.
    fitted = fit_slist(plain([0, 1]), 2, SlistSettings(1.0, 0.5, 0.5, 0.5))
    expected = np.linalg.solve([[2.0, 0.5], [0.5, 1.5]], [[0.5, 1.0], [0.5, 0.5]])
    assert fitted.scores(plain([0], [1, 0])) == pytest.approx(
        np.array([expected[0], 0.5 * expected[1] + expected[0]]), abs=1e-6
    )


def test_vsknn_scores_a_case_worked_by_hand() -> None:
    # After [0, 1], users [1, 2], [0, 3] and [0, 1, 4, 2] are similar by 1/sqrt 2, .5/sqrt 2 and 1.5/2.
    fitted = fit_vsknn(plain([1, 2], [0, 3], [0, 1, 4, 2]), NUM_ITEMS, VsknnSettings(2, 0.5, 0.0))
    assert fitted.scores(plain([0, 1]))[0] == pytest.approx(
        [0.75, 0.75 + 0.5**0.5, 0.75 + 0.5**0.5, 0.0, 0.75], abs=1e-6
    )
    rarely = fit_vsknn(plain([1, 2], [0, 3], [0, 1, 4, 2]), NUM_ITEMS, VsknnSettings(2, 0.5, 1.0))
    assert rarely.scores(plain([0, 1]))[0, 4] == pytest.approx(0.75 * np.log(3), abs=1e-6)


@given(weighted_sequences, weighted_sequences, st.integers(1, 3))
def test_vsknn_agrees_with_comparing_users_one_by_one(
    sequences: list[list[tuple[int, float]]], histories: list[list[tuple[int, float]]], num_neighbours: int
) -> None:
    has = np.zeros((len(sequences), NUM_ITEMS))
    for user, (item, weight) in ((user, event) for user, sequence in enumerate(sequences) for event in sequence):
        has[user, item] = max(has[user, item], weight)
    expected = np.zeros((len(histories), NUM_ITEMS))
    for row, history in enumerate(histories):
        recent = np.zeros(NUM_ITEMS)
        for age, (item, _) in enumerate(history[::-1]):
            recent[item] += 0.5**age
        similarities = has @ recent / np.sqrt(np.maximum(has.sum(axis=1), 1e-9))
        if num_neighbours < len(similarities):
            last = np.sort(similarities)[-num_neighbours]
            similarities[similarities < last - 1e-9] = 0.0
        expected[row] = similarities @ has
    fitted = fit_vsknn(weighted(sequences), NUM_ITEMS, VsknnSettings(num_neighbours, 0.5, 0.0))
    scores = fitted.scores(plain(*([item for item, _ in history] for history in histories)))
    assert scores == pytest.approx(expected, abs=1e-6)


def test_vsknn_scores_in_blocks_of_any_size_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    sequences = [random.integers(NUM_ITEMS, size=random.integers(1, 6)).tolist() for _ in range(40)]
    fitted, histories = fit_vsknn(plain(*sequences), NUM_ITEMS, VsknnSettings(5, 0.5, 1.0)), plain(*sequences, [])
    whole = fitted.scores(histories)
    for most_entries in (1, 30, 200):
        monkeypatch.setattr(strongest_entries, "MOST_ENTRIES", most_entries)
        assert np.array_equal(fitted.scores(histories), whole)
    assert fitted.scores(plain()).shape == (0, NUM_ITEMS)


def test_the_graph_scores_hops_and_content_of_a_case_worked_by_hand() -> None:
    # 0 leads to 1 twice and to 2 once, at half the weight from two places on: 2 and .5 of 2.5. 1 leads to 2 alone.
    training = plain([0, 1, 2], [0, 1])
    settings = ItemGraphSettings(2, 0.5, 0.0, 0.5, 0.0, 0.1)
    terms = sparse.csr_matrix(np.array([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]]))
    scores = fit_item_graph(training, terms, settings).scores(plain([0], [1, 0]))
    assert scores[0] == pytest.approx([0.1, 0.8 + 0.06, 0.2 + 0.5 * 0.8], abs=1e-6)
    assert scores[1] == pytest.approx(
        [0.1 + 0.5 * 0.06, 0.8 + 0.06 + 0.5 * 0.1, 0.2 + 0.5 * 0.8 + 0.5 * (1 + 0.08)], abs=1e-6
    )
    against = fit_item_graph(training, terms, replace(settings, backward=1.0, second_hop=0.0, content=0.0))
    assert against.scores(plain([2]))[0] == pytest.approx([1 / 3, 2 / 3, 0], abs=1e-6)
    shrunk = fit_item_graph(training, terms, replace(settings, shrinkage=2.5, second_hop=0.0, content=0.0))
    assert shrunk.scores(plain([0]))[0] == pytest.approx([0, 2 / 5, 0.5 / 5], abs=1e-6)


def test_an_item_out_of_reach_is_ranked_by_popularity() -> None:
    fitted = fit_item_graph(plain([0, 1], [2, 3], [3]), NO_TERMS, ItemGraphSettings(3, 0.5, 0.5, 0.3, 2.0, 0.1))
    scores = fitted.scores(plain([0]))[0]
    assert scores[1] > scores[3] > scores[2] > scores[4] == 0


def test_content_is_words_and_codes_and_needs_none() -> None:
    items = tuple(
        Item(item_id=str(row), texts={"title": title}) for row, title in enumerate(["red mug", "mug", "", ""])
    )
    dataset = build_dataset("shop", items, ("u",), plain([0, 1, 2, 3]))
    cosines = content_terms(dataset, dataset.sequences)
    cosines = (cosines @ cosines.T).toarray()
    assert cosines.diagonal() == pytest.approx([1, 1, 0, 0])
    assert 0 < cosines[0, 1] < 1
    coded = replace(dataset, semantic_ids=np.int32([[0, 1], [1, 1], [1, 0], [1, 0]]))
    terms = content_terms(coded, dataset.sequences)
    assert (terms[2] @ terms[3].T).toarray() == pytest.approx(1.0)
    assert content_terms(dataset, plain([2, 3])).nnz == 0


def test_validation_chooses_the_settings_of_every_counting_baseline() -> None:
    # What came last decides; 3 and 4 are more frequent.
    training = plain(*[[0, 1]] * 3, *[[2, 3]] * 3, *[[2, 4]] * 4)
    histories, targets = plain([2, 0], [0, 2]), np.int32([1, 4])
    validation = EvaluationSplit(histories, targets, np.int32([0, 1]))
    items = tuple(Item(item_id=str(row)) for row in range(NUM_ITEMS))
    dataset = build_dataset("shop", items, ("u",), training)
    graphs = (ItemGraphSettings(2, 2.0, 0.0, 0.0, 0.0, 0.0), ItemGraphSettings(1, 1.0, 0.0, 0.0, 0.0, 0.0))
    assert choose_item_graph(dataset, training, validation, grid=graphs).settings == graphs[1]
    neighbours = (VsknnSettings(9, 2.0, 0.0), VsknnSettings(9, 0.1, 0.0))
    assert choose_vsknn(training, NUM_ITEMS, validation, grid=neighbours).settings == neighbours[1]
    linear = (TaleSettings(1.0, 0.5, 0.0, 2.0), TaleSettings(1.0, 0.5, 0.0, 0.1))
    assert choose_tale(training, NUM_ITEMS, validation, grid=linear).settings == linear[1]
    both = (SlistSettings(1.0, 0.1, 0.5, 2.0), SlistSettings(1.0, 0.1, 0.5, 0.1))
    assert choose_slist(training, NUM_ITEMS, validation, grid=both).settings == both[1]


def test_ease_of_a_large_catalogue_is_sparse_and_fitted_again_from_its_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    training = plain([0, 1], [0])
    dataset = build_dataset("shop", [Item(item_id=str(row)) for row in range(2)], ("u", "v"), training)
    monkeypatch.setattr(counting_baselines, "MAX_DENSE_ITEMS", 1)
    validation = EvaluationSplit(plain([0]), np.int32([1]), np.int32([0]))
    chosen = COUNTING_BASELINES["ease"].choose(dataset, training, validation, silent)
    assert chosen.settings.num_pairs > 1
    scores = chosen.scorer.scores(plain([1, 0]))
    again = fit_ease_of(asdict(chosen.settings), training, 2)
    exact = fit_ease_of({name: asdict(chosen.settings)[name] for name in ("regularization", "decay")}, training, 2)
    assert again.scores(plain([1, 0])).tolist() == scores.tolist()
    assert exact.scores(plain([1, 0])) == pytest.approx(scores, abs=1e-6)


def test_a_catalogue_too_large_for_dense_matrices_is_refused_before_anything_is_fitted() -> None:
    check_catalogue(tuple(COUNTING_BASELINES), 20_000)
    check_catalogue(("popularity", "markov", "sasrec"), 20_001)
    with pytest.raises(TrainingError, match=r"tale: .* 20,001 items, expected at most 20,000.*leave it out"):
        check_catalogue(("markov", "tale"), 20_001)
