"""Items like a disliked one sink: similarities, lists with and without a joint ranking, and the saved strength."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from clairo_core.bundle.bundle import Bundle
from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.errors import RankingError
from clairo_core.items import Item, UserHistory
from clairo_core.ranking import (
    DenseHeads,
    DislikedNeighbours,
    JointRanking,
    disliked_neighbours,
    load_dislike_strength,
    save_dislike_strength,
)
from clairo_core.recommendation import Recommendation, RecommendationRequest
from clairo_core.recommender import Recommender
from tests.tiny import plain_sum, tiny_bundle
from tests.unit.clairo_core.ranking.test_dense_head import NUM_ITEMS, random_head
from tests.unit.clairo_core.ranking.test_joint_ranking import random_ranking

COUNTS = np.arange(NUM_ITEMS)
HISTORY = UserHistory(("item-3", "item-8", "item-20"))


def ranking_with_pairs(*pairs: tuple[int, int, float]) -> JointRanking:
    rows, columns, counts = zip(*pairs, strict=True)
    shape = (NUM_ITEMS, NUM_ITEMS)
    together = sparse.csr_matrix((np.float32(counts), (rows, columns)), shape=shape)
    return replace(random_ranking(), together=together, training_counts=COUNTS)


def test_similarities_worked_by_hand() -> None:
    embeddings = np.zeros((NUM_ITEMS, 2))
    embeddings[:4] = [[2.0, 0.0], [3.0, 4.0], [-5.0, 0.0], [0.0, 1.0]]
    neighbours = disliked_neighbours(2.0, embeddings)
    rows = np.arange(5)
    assert neighbours.similarities(np.array([0]), rows, None) == pytest.approx([1.0, 0.6, 0.0, 0.0, 0.0])
    assert neighbours.similarities(np.array([0, 3]), rows, None) == pytest.approx([1.0, 0.8, 0.0, 1.0, 0.0])
    # Items 3 and 4 share two users: 2 / sqrt(4 * 5).
    ranking = ranking_with_pairs((3, 4, 2.0), (3, 1, 0.1))
    together = neighbours.similarities(np.array([3]), rows, ranking)
    assert together == pytest.approx([0.0, 0.8, 0.0, 1.0, 2 / np.sqrt(20)])
    assert neighbours.penalty_of(np.array([3]), ranking)(rows) == pytest.approx(2.0 * together)
    # Posted items are past the counts' end.
    posted = neighbours.with_items(np.array([[0.0, 7.0]]), 1)
    assert posted.similarities(np.array([3, NUM_ITEMS]), np.array([3, 4, NUM_ITEMS]), ranking) == pytest.approx(
        [1.0, 2 / np.sqrt(20), 1.0]
    )


VECTORS = st.lists(st.tuples(*[st.floats(-9, 9, width=32)] * 2), min_size=NUM_ITEMS, max_size=NUM_ITEMS)
PAIRS = st.lists(
    st.tuples(st.integers(0, NUM_ITEMS - 1), st.integers(0, NUM_ITEMS - 1), st.integers(1, 30)),
    min_size=1,
    unique_by=lambda pair: pair[:2],
)
ROWS = st.lists(st.integers(0, NUM_ITEMS - 1), min_size=1, unique=True)


@given(vectors=VECTORS, pairs=PAIRS, disliked=ROWS, rows=ROWS)
def test_similarities_match_the_slow_reference(
    vectors: list[tuple[float, float]], pairs: list[tuple[int, int, float]], disliked: list[int], rows: list[int]
) -> None:
    def similarity(row: int) -> float:
        found = [0.0]
        for other in disliked:
            lengths = np.hypot(*vectors[row]) * np.hypot(*vectors[other])
            found.append(float(np.dot(vectors[row], vectors[other])) / lengths if lengths else 0.0)
            shared = {(first, second): count for first, second, count in pairs}.get((other, row), 0.0)
            found.append(shared / np.sqrt((COUNTS[other] + 1) * (COUNTS[row] + 1)))
        return min(max(found), 1.0)

    neighbours, ranking = disliked_neighbours(1.0, np.array(vectors)), ranking_with_pairs(*pairs)
    found = neighbours.similarities(np.array(disliked), np.array(rows), ranking)
    assert found == pytest.approx([similarity(row) for row in rows], abs=1e-5)


def test_a_whole_catalogue_is_compared_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    neighbours = disliked_neighbours(1.0, np.random.default_rng(0).normal(size=(NUM_ITEMS, 3)))
    ranking = ranking_with_pairs((1, 5, 3.0), (2, 19, 9.0))
    at_once = neighbours.similarities(np.array([1, 2]), COUNTS, ranking)
    monkeypatch.setattr("clairo_core.ranking.dislikes.ROWS_AT_ONCE", 7)
    assert neighbours.similarities(np.array([1, 2]), COUNTS, ranking) == pytest.approx(at_once)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load_bundle(tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny"))


@pytest.fixture(scope="module", params=["generator alone", "joint ranking"])
def plain(bundle: Bundle, request: pytest.FixtureRequest) -> Recommender:
    """As wide as the catalogue, so that every item is in the list. Nothing sinks."""
    recommender = bundle.recommender("cpu", num_views=1, num_beams=60)
    if request.param == "generator alone":
        return recommender
    head = random_head()
    vectors = np.random.default_rng(1).normal(size=(60, 8)).astype(np.float32)
    heads = DenseHeads((replace(head, vectors=type(head.vectors)(vectors)),))
    shared = sparse.csr_matrix((np.float32([20.0]), ([11], [12])), shape=(60, 60))
    ranking = JointRanking(heads, {}, plain_sum("generator", "dense"), np.full(60, 19), shared)
    return recommender.ranked_by(ranking)


@pytest.fixture(scope="module")
def sinking(bundle: Bundle, plain: Recommender) -> Recommender:
    """Item 11 has one neighbour by content, item 2; with a joint ranking item 12 by its users too."""
    embeddings = np.zeros((60, 60))
    np.fill_diagonal(embeddings, 1.0)
    embeddings[2] = embeddings[11]
    return plain.with_disliked_neighbours(disliked_neighbours(3.0, embeddings))


def asked(*disliked: str, history: UserHistory = HISTORY, limit: int = 60) -> RecommendationRequest:
    return RecommendationRequest(history=history, limit=limit, disliked=disliked)


def without_11(limit: int = 60) -> RecommendationRequest:
    """Item 11 is left out, but not disliked."""
    return replace(asked(limit=limit), exclude=("item-11",))


def by_id(recommender: Recommender, request: RecommendationRequest) -> dict[str, Recommendation]:
    return {item.item_id: item for item in recommender.recommend_batch([request])[0].items}


def test_a_disliked_items_neighbour_sinks_and_other_scores_stay(sinking: Recommender) -> None:
    before, after = by_id(sinking, without_11()), by_id(sinking, asked("item-11"))
    assert set(before) == set(after)
    assert after["item-2"].score == pytest.approx(before["item-2"].score - 3.0)
    assert after["item-2"].rank > before["item-2"].rank
    by_users = {"item-12"} if sinking.joint_ranking is not None else set()
    unrelated = set(after) - {"item-2"} - by_users
    assert {name: after[name].score for name in unrelated} == {name: before[name].score for name in unrelated}
    for name in by_users:
        assert after[name].score == pytest.approx(before[name].score - 3.0)
    scores = [item.score for item in after.values()]
    assert scores == sorted(scores, reverse=True)


def test_a_disliked_item_is_not_recommended_even_from_the_history(sinking: Recommender, plain: Recommender) -> None:
    for recommender in (sinking, plain):
        request = replace(asked("item-8", "nobody"), include_seen=True)
        assert set(by_id(recommender, request)) == {f"item-{row}" for row in range(60)} - {"item-8"}


def test_without_strength_a_dislike_only_leaves_the_item_out(plain: Recommender) -> None:
    assert plain.disliked_neighbours.strength == 0
    assert plain.recommend_batch([asked("item-11")]) == plain.recommend_batch([without_11()])


def test_without_dislikes_the_strength_changes_nothing(plain: Recommender, sinking: Recommender) -> None:
    requests = [asked(), asked("nobody"), asked(history=UserHistory(()))]
    assert sinking.recommend_batch(requests) == plain.recommend_batch(requests)


def test_the_neighbours_of_a_disliked_item_sink_in_the_popular_list_too(sinking: Recommender) -> None:
    nobody = UserHistory(())
    before, after = by_id(sinking, asked(history=nobody)), by_id(sinking, asked("item-11", history=nobody))
    assert after["item-2"].score == pytest.approx(before["item-2"].score - 3.0)
    assert after["item-5"].score == before["item-5"].score
    scores = [item.score for item in after.values()]
    assert scores == sorted(scores, reverse=True)
    assert set(after) == set(before) - {"item-11"}


def test_requests_with_and_without_dislikes_in_one_batch_are_answered_as_alone(sinking: Recommender) -> None:
    requests = [asked("item-11"), asked(), asked("item-30", "item-31"), asked("item-11", history=UserHistory(()))]
    for request, answer in zip(requests, sinking.recommend_batch(requests), strict=True):
        alone = sinking.recommend_batch([request])[0]
        assert [item.item_id for item in answer.items] == [item.item_id for item in alone.items]
        scores = [item.score for item in alone.items]
        assert [item.score for item in answer.items] == pytest.approx(scores, abs=1e-4)


def test_posted_and_changed_items_sink_by_their_own_content(bundle: Bundle) -> None:
    embeddings = np.eye(60)
    recommender = bundle.recommender("cpu", num_views=1, num_beams=100)
    recommender = recommender.with_disliked_neighbours(disliked_neighbours(1.0, embeddings))
    described = bundle.describe(Item(item_id="posted", texts={"title": "a green lamp"}), recommender.catalogue.taken)
    catalogue = recommender.catalogue.with_item("posted", described.feature_set, recommender.tokenizer)
    later = recommender.with_catalogue(catalogue, embeddings[11:12] * 4, changed_embeddings={7: embeddings[11]})
    before, after = by_id(later, without_11(limit=100)), by_id(later, asked("item-11", limit=100))
    assert {name for name in after if after[name].score < before[name].score} == {"posted", "item-7"}
    # The earlier version has the earlier content.
    earlier = by_id(recommender, asked("item-11"))
    assert earlier["item-7"].score == by_id(recommender, without_11())["item-7"].score
    # Where nothing is known of the content, the item is like no other.
    unknown = recommender.with_catalogue(catalogue)
    before, after = by_id(unknown, without_11(limit=100)), by_id(unknown, asked("item-11", limit=100))
    assert after["posted"].score == before["posted"].score


@given(strength=st.floats(0, 1e6))
def test_a_loaded_strength_equals_the_saved_one(strength: float, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("strength") / "dislikes.json"
    save_dislike_strength(path, strength)
    assert load_dislike_strength(path) == strength


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"strength": "much"}', '{"strength": -1}', '{"strength": NaN}'])
def test_a_damaged_strength_is_refused_by_name(text: str, tmp_path: Path) -> None:
    path = tmp_path / "dislikes.json"
    path.write_text(text)
    with pytest.raises(RankingError, match=r"dislikes\.json: (cannot be read|got strength)"):
        load_dislike_strength(path)


def test_without_embeddings_or_pair_counts_nothing_is_alike() -> None:
    neighbours = DislikedNeighbours(5.0).with_items(None, 2).with_embeddings({3: np.ones(2)})
    assert neighbours.similarities(np.array([1]), COUNTS, random_ranking()).tolist() == [0.0] * NUM_ITEMS
