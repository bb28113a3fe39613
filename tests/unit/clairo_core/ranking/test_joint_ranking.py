"""Joint ranking: candidates, the place of new items, and the source of each item."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from clairo_core.errors import MixtureError
from clairo_core.ranking import DenseHeads, Generated, ItemWeights, JointRanking, Mixture, load_joint_ranking
from clairo_core.ranking.candidate_features import num_features
from tests.tiny import plain_sum
from tests.unit.clairo_core.ranking.test_dense_head import NUM_ITEMS, random_head

COUNTS = np.arange(NUM_ITEMS)
"""Item 0 was never seen in training."""
HISTORY = np.array([3, 1, 4])


def random_ranking(weights: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> JointRanking:
    matrix = sparse.random(NUM_ITEMS, NUM_ITEMS, density=0.3, random_state=0, dtype=np.float32, format="csr")
    mixture = plain_sum("generator", "dense", "followers", weights=weights)
    return JointRanking(
        DenseHeads((random_head(),)), {"followers": ItemWeights(matrix, np.array([1.0, 0.5]))}, mixture, COUNTS
    )


def generated(*rows: int) -> list[Generated]:
    return [Generated(np.array(rows, dtype=np.int64), np.log(np.linspace(0.5, 0.1, len(rows))))]


def everything() -> np.ndarray:
    return np.ones((1, NUM_ITEMS), dtype=np.bool_)


def test_generated_items_and_the_dense_heads_best_compete() -> None:
    ranking = random_ranking()
    (candidates,) = ranking.candidates([HISTORY], generated(7, 5), everything())
    dense = ranking.dense_heads.log_probabilities([HISTORY])[0]
    # In so small a catalogue every item is a reference.
    assert candidates.item_rows.tolist() == list(range(NUM_ITEMS))
    assert candidates.is_reference.tolist() == [row not in {0, *HISTORY} for row in range(NUM_ITEMS)]
    place = candidates.item_rows.tolist().index(7)
    assert candidates.scores[place, :2] == pytest.approx([0.5, np.exp(dense[7])])


def test_a_generator_that_scores_all_items_scores_every_candidate() -> None:
    of_all = np.log(np.linspace(0.01, 0.09, NUM_ITEMS)).astype(np.float32)
    found = [Generated(np.array([19]), np.log([0.09]), of_all)]
    (candidates,) = random_ranking().candidates([HISTORY], found, everything())
    # Item 0 was never seen in training.
    assert candidates.scores[:, 0] == pytest.approx(np.where(candidates.item_rows == 0, 0, np.exp(of_all)))
    assert candidates.item_rows[candidates.is_proposed_by[:, 0]].tolist() == [19]


def test_only_allowed_items_are_listed_and_every_place_is_filled() -> None:
    is_allowed = everything()
    is_allowed[0, ::2] = False
    (ranked,) = random_ranking().rank([HISTORY], generated(7, 5), is_allowed, 100)
    assert sorted(ranked.item_rows.tolist()) == list(range(1, NUM_ITEMS, 2))
    assert np.all(np.diff(ranked.scores) <= 0)
    (of_all,) = random_ranking().rank([HISTORY], generated(7, 5), everything(), 100)
    assert np.exp(of_all.scores).sum() == pytest.approx(1.0)
    # Filtering others out does not raise probabilities.
    score_of = dict(zip(of_all.item_rows.tolist(), of_all.scores.tolist(), strict=True))
    for row, score in zip(ranked.item_rows.tolist(), ranked.scores.tolist(), strict=True):
        assert score == pytest.approx(score_of[row])


def test_an_item_unseen_in_training_is_scored_by_the_dense_head_alone() -> None:
    ranking = random_ranking()
    (with_it,) = ranking.rank([HISTORY], generated(0, 7), everything(), NUM_ITEMS)
    (without,) = ranking.rank([HISTORY], generated(7), everything(), NUM_ITEMS)
    place = with_it.item_rows.tolist().index(0)
    assert with_it.is_dense[place]
    (alone,) = ranking.candidates([HISTORY], generated(0), everything())
    assert alone.scores[0, 0] == 0.0
    assert set(with_it.item_rows.tolist()) == set(without.item_rows.tolist())


def test_a_new_item_is_placed_where_the_dense_head_ranks_it() -> None:
    ranking = random_ranking((5.0, 0.2, 3.0))
    (ranked,) = ranking.rank([HISTORY], generated(7, 5), everything(), NUM_ITEMS)
    dense = ranking.dense_heads.log_probabilities([HISTORY])[0]
    place = ranked.item_rows.tolist().index(0)
    unseen = ~np.isin(ranked.item_rows, HISTORY)
    assert unseen[:place].sum() == (dense[ranked.item_rows[unseen]] > dense[0]).sum()
    assert ranking.mixture is not None
    lifted = replace(ranking, mixture=replace(ranking.mixture, new_item_lift=50.0))
    (ranked,) = lifted.rank([HISTORY], generated(7, 5), everything(), NUM_ITEMS)
    assert ranked.item_rows[0] == 0


def test_a_filter_of_new_items_alone_gives_a_list() -> None:
    only_new = ~everything()
    only_new[0, 0] = True
    (ranked,) = random_ranking().rank([HISTORY], generated(), only_new, 3)
    assert ranked.item_rows.tolist() == [0]
    assert ranked.scores[0] < 0


def test_the_source_is_the_model_that_scored_an_item_higher() -> None:
    dense = random_ranking().dense_heads.log_probabilities([HISTORY])[0]
    above = [Generated(np.array([5, 7]), dense[[5, 7]].astype(np.float64) + 0.1)]
    (by_generator,) = random_ranking((9.0, 0.1, 0.0)).rank([HISTORY], above, everything(), 2)
    assert sorted(by_generator.item_rows.tolist()) == [5, 7]
    assert not by_generator.is_dense.any()
    (by_head,) = random_ranking((0.1, 9.0, 0.0)).rank([HISTORY], generated(7, 5), everything(), 2)
    assert by_head.is_dense.all()


def test_posted_items_are_ranked_at_once() -> None:
    ranking = random_ranking()
    like_the_best = ranking.dense_heads.heads[0].encoder
    assert like_the_best is ranking.with_items(np.zeros((1, 3))).dense_heads.heads[0].encoder
    later = ranking.with_items(np.full((2, 3), 0.1, dtype=np.float32))
    (ranked,) = later.rank([HISTORY], generated(7), np.ones((1, NUM_ITEMS + 2), dtype=np.bool_), NUM_ITEMS + 2)
    assert {NUM_ITEMS, NUM_ITEMS + 1} <= set(ranked.item_rows.tolist())


def test_a_loaded_ranking_equals_the_saved_one(tmp_path: Path) -> None:
    ranking = random_ranking()
    ranking.save(tmp_path / "ranking")
    again = load_joint_ranking(tmp_path / "ranking", COUNTS)
    (before,) = ranking.rank([HISTORY], generated(7, 5), everything(), 10)
    (after,) = again.rank([HISTORY], generated(7, 5), everything(), 10)
    assert np.array_equal(before.item_rows, after.item_rows)
    assert np.array_equal(before.scores, after.scores)


def test_parts_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    ranking = random_ranking()
    ranking.save(tmp_path)
    with pytest.raises(MixtureError, match="19 items"):
        load_joint_ranking(tmp_path, COUNTS[:-1])
    assert ranking.mixture is not None
    replace(ranking.mixture, components=("generator", "dense", "stars")).save(tmp_path / "mixture")
    with pytest.raises(MixtureError, match="component 'stars', expected one of"):
        load_joint_ranking(tmp_path, COUNTS)


def with_pairs(ranking: JointRanking) -> JointRanking:
    together = sparse.random(NUM_ITEMS, NUM_ITEMS, density=0.4, random_state=1, dtype=np.float32, format="csr")
    content = np.eye(NUM_ITEMS, 3, dtype=np.float32)
    paired = replace(ranking, together=(together + together.T).tocsr(), content=content)
    layers = ((np.zeros((1, num_features(3, len(paired.evidence))), np.float32), np.zeros(1, np.float32)),)
    width = layers[0][0].shape[1]
    layers[0][0][0, 9:-2] = 1.0
    mixture = Mixture(
        paired.components,
        paired.evidence,
        np.ones(3),
        np.ones(3, dtype=np.float32),
        np.zeros(width, dtype=np.float32),
        np.ones(width, dtype=np.float32),
        layers,
    )
    return replace(paired, mixture=mixture, mixture_without_generator=plain_sum("dense", "followers"))


def test_item_weights_propose_what_the_dense_head_has_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clairo_core.ranking.joint_ranking.NUM_DENSE_CANDIDATES", 2)
    paired = with_pairs(random_ranking())
    (candidates,) = paired.candidates([HISTORY], generated(7, 5), everything(), 2)
    by_followers = paired.item_weights["followers"].scores([HISTORY], NUM_ITEMS)[0]
    best_dense = np.argsort(-paired.dense_heads.log_probabilities([HISTORY])[0])[:2]
    assert set(candidates.item_rows) == {5, 7, *best_dense, *np.flatnonzero(by_followers > 0)}
    by_name = dict(zip(paired.components, candidates.is_proposed_by.T, strict=True))
    assert candidates.item_rows[by_name["generator"]].tolist() == [5, 7]
    assert set(candidates.item_rows[by_name["dense"]]) == set(best_dense)


def test_pair_evidence_changes_the_order_and_survives_a_round_trip(tmp_path: Path) -> None:
    paired = with_pairs(random_ranking())
    (plainly,) = random_ranking().rank([HISTORY], generated(7, 5), everything(), NUM_ITEMS)
    (before,) = paired.rank([HISTORY], generated(7, 5), everything(), NUM_ITEMS)
    assert before.item_rows.tolist() != plainly.item_rows.tolist()
    paired.save(tmp_path)
    (after,) = load_joint_ranking(tmp_path, COUNTS).rank([HISTORY], generated(7, 5), everything(), NUM_ITEMS)
    assert before.item_rows.tolist() == after.item_rows.tolist()
    assert np.array_equal(before.scores, after.scores)


def test_without_generating_the_second_mixture_ranks() -> None:
    paired = with_pairs(random_ranking())
    paired = replace(paired, mixture_without_generator=replace(plain_sum("dense", "followers")))
    (ranked,) = replace(paired, together=None, content=None).rank([HISTORY], None, everything(), NUM_ITEMS)
    alone = replace(random_ranking((0.0, 1.0, 1.0)), training_counts=COUNTS)
    (same,) = alone.rank([HISTORY], generated(), everything(), NUM_ITEMS)
    assert ranked.item_rows.tolist() == same.item_rows.tolist()
    assert ranked.is_dense.all()
    with pytest.raises(MixtureError, match="the mixture without generator is not fitted"):
        random_ranking().rank([HISTORY], None, everything(), 3)


def test_a_mixture_that_reads_other_evidence_is_refused(tmp_path: Path) -> None:
    paired = with_pairs(random_ranking())
    paired.save(tmp_path)
    shutil.rmtree(tmp_path / "together")
    with pytest.raises(MixtureError, match="expected some of generator, dense, followers and no pair evidence"):
        load_joint_ranking(tmp_path, COUNTS)


def test_a_ranking_without_a_mixture_is_refused(tmp_path: Path) -> None:
    unfitted = replace(random_ranking(), mixture=None)
    with pytest.raises(MixtureError, match="the mixture is not fitted"):
        unfitted.rank([HISTORY], generated(7), everything(), 3)
    with pytest.raises(MixtureError, match="the mixture is not fitted"):
        unfitted.save(tmp_path)


def test_a_lifted_item_competes_although_the_dense_head_would_not_propose_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clairo_core.ranking.joint_ranking.NUM_DENSE_CANDIDATES", 2)
    ranking = random_ranking()
    dense = ranking.dense_heads.log_probabilities([HISTORY])[0]
    last = int(np.argmin(dense))
    lifts = np.zeros(NUM_ITEMS)
    lifts[last] = 50.0
    (plain,) = ranking.rank([HISTORY], generated(), everything(), 2)
    (lifted,) = ranking.rank([HISTORY], generated(), everything(), 2, [lambda rows: -lifts[rows]], [lifts])
    assert last not in plain.item_rows
    assert lifted.item_rows[0] == last
