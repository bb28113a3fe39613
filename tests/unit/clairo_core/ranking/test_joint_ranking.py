"""Joint ranking: candidates, the place of new items, and the source of each item."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from clairo_core.errors import MixtureError
from clairo_core.ranking import (
    CountIncrements,
    DenseHeads,
    Generated,
    ItemWeights,
    JointRanking,
    Mixture,
    RowScale,
    UserActions,
    increments_of,
    load_item_weights,
    load_joint_ranking,
)
from clairo_core.ranking.allowed_items import AllowedItems, all_but, allowed_by
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


def everything(num_items: int = NUM_ITEMS) -> list[AllowedItems]:
    return allowed_by(np.ones((1, num_items), dtype=np.bool_))


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
    found = [Generated(np.array([19]), np.log([0.09]), of_all.__getitem__)]
    (candidates,) = random_ranking().candidates([HISTORY], found, everything())
    # Item 0 was never seen in training.
    assert candidates.scores[:, 0] == pytest.approx(np.where(candidates.item_rows == 0, 0, np.exp(of_all)))
    assert candidates.item_rows[candidates.is_proposed_by[:, 0]].tolist() == [19]


def test_only_allowed_items_are_listed_and_every_place_is_filled() -> None:
    odd = allowed_by(np.arange(NUM_ITEMS)[None] % 2 == 1)
    (ranked,) = random_ranking().rank([HISTORY], generated(7, 5), odd, [100])
    assert sorted(ranked.item_rows.tolist()) == list(range(1, NUM_ITEMS, 2))
    assert np.all(np.diff(ranked.scores) <= 0)
    (of_all,) = random_ranking().rank([HISTORY], generated(7, 5), everything(), [100])
    assert np.exp(of_all.scores).sum() == pytest.approx(1.0)
    # Filtering others out does not raise probabilities.
    score_of = dict(zip(of_all.item_rows.tolist(), of_all.scores.tolist(), strict=True))
    for row, score in zip(ranked.item_rows.tolist(), ranked.scores.tolist(), strict=True):
        assert score == pytest.approx(score_of[row])


def test_an_item_unseen_in_training_is_scored_by_the_dense_head_alone() -> None:
    ranking = random_ranking()
    (with_it,) = ranking.rank([HISTORY], generated(0, 7), everything(), [NUM_ITEMS])
    (without,) = ranking.rank([HISTORY], generated(7), everything(), [NUM_ITEMS])
    place = with_it.item_rows.tolist().index(0)
    assert with_it.is_dense[place]
    (alone,) = ranking.candidates([HISTORY], generated(0), everything())
    assert alone.scores[0, 0] == 0.0
    assert set(with_it.item_rows.tolist()) == set(without.item_rows.tolist())


def test_a_new_item_is_placed_where_the_dense_head_ranks_it() -> None:
    ranking = random_ranking((5.0, 0.2, 3.0))
    (ranked,) = ranking.rank([HISTORY], generated(7, 5), everything(), [NUM_ITEMS])
    dense = ranking.dense_heads.log_probabilities([HISTORY])[0]
    place = ranked.item_rows.tolist().index(0)
    unseen = ~np.isin(ranked.item_rows, HISTORY)
    assert unseen[:place].sum() == (dense[ranked.item_rows[unseen]] > dense[0]).sum()
    assert ranking.mixture is not None
    lifted = replace(ranking, mixture=replace(ranking.mixture, new_item_lift=50.0))
    (ranked,) = lifted.rank([HISTORY], generated(7, 5), everything(), [NUM_ITEMS])
    assert ranked.item_rows[0] == 0


def test_a_filter_of_new_items_alone_gives_a_list() -> None:
    only_new = allowed_by(np.arange(NUM_ITEMS)[None] == 0)
    (ranked,) = random_ranking().rank([HISTORY], generated(), only_new, [3])
    assert ranked.item_rows.tolist() == [0]
    assert ranked.scores[0] < 0


def test_the_source_is_the_model_that_scored_an_item_higher() -> None:
    dense = random_ranking().dense_heads.log_probabilities([HISTORY])[0]
    above = [Generated(np.array([5, 7]), dense[[5, 7]].astype(np.float64) + 0.1)]
    (by_generator,) = random_ranking((9.0, 0.1, 0.0)).rank([HISTORY], above, everything(), [2])
    assert sorted(by_generator.item_rows.tolist()) == [5, 7]
    assert not by_generator.is_dense.any()
    (by_head,) = random_ranking((0.1, 9.0, 0.0)).rank([HISTORY], generated(7, 5), everything(), [2])
    assert by_head.is_dense.all()


def test_posted_items_are_ranked_at_once() -> None:
    ranking = random_ranking()
    like_the_best = ranking.dense_heads.heads[0].encoder
    assert like_the_best is ranking.with_items(np.zeros((1, 3))).dense_heads.heads[0].encoder
    later = ranking.with_items(np.full((2, 3), 0.1, dtype=np.float32))
    (ranked,) = later.rank([HISTORY], generated(7), everything(NUM_ITEMS + 2), [NUM_ITEMS + 2])
    assert {NUM_ITEMS, NUM_ITEMS + 1} <= set(ranked.item_rows.tolist())


def test_a_loaded_ranking_equals_the_saved_one(tmp_path: Path) -> None:
    ranking = random_ranking()
    ranking.save(tmp_path / "ranking")
    again = load_joint_ranking(tmp_path / "ranking", COUNTS)
    (before,) = ranking.rank([HISTORY], generated(7, 5), everything(), [10])
    (after,) = again.rank([HISTORY], generated(7, 5), everything(), [10])
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
    (candidates,) = paired.candidates([HISTORY], generated(7, 5), everything(), [2])
    by_followers = paired.item_weights["followers"].scores([HISTORY], NUM_ITEMS)[0]
    best_dense = np.argsort(-paired.dense_heads.log_probabilities([HISTORY])[0])[:2]
    assert set(candidates.item_rows) == {5, 7, *best_dense, *np.flatnonzero(by_followers > 0)}
    by_name = dict(zip(paired.components, candidates.is_proposed_by.T, strict=True))
    assert candidates.item_rows[by_name["generator"]].tolist() == [5, 7]
    assert set(candidates.item_rows[by_name["dense"]]) == set(best_dense)


def test_pair_evidence_changes_the_order_and_survives_a_round_trip(tmp_path: Path) -> None:
    paired = with_pairs(random_ranking())
    (plainly,) = random_ranking().rank([HISTORY], generated(7, 5), everything(), [NUM_ITEMS])
    (before,) = paired.rank([HISTORY], generated(7, 5), everything(), [NUM_ITEMS])
    assert before.item_rows.tolist() != plainly.item_rows.tolist()
    paired.save(tmp_path)
    (after,) = load_joint_ranking(tmp_path, COUNTS).rank([HISTORY], generated(7, 5), everything(), [NUM_ITEMS])
    assert before.item_rows.tolist() == after.item_rows.tolist()
    assert np.array_equal(before.scores, after.scores)


def test_without_generating_the_second_mixture_ranks() -> None:
    paired = with_pairs(random_ranking())
    paired = replace(paired, mixture_without_generator=replace(plain_sum("dense", "followers")))
    (ranked,) = replace(paired, together=None, content=None).rank([HISTORY], None, everything(), [NUM_ITEMS])
    alone = replace(random_ranking((0.0, 1.0, 1.0)), training_counts=COUNTS)
    (same,) = alone.rank([HISTORY], generated(), everything(), [NUM_ITEMS])
    assert ranked.item_rows.tolist() == same.item_rows.tolist()
    assert ranked.is_dense.all()
    with pytest.raises(MixtureError, match="the mixture without generator is not fitted"):
        random_ranking().rank([HISTORY], None, everything(), [3])


@pytest.mark.parametrize("is_indexed", [False, True])
def test_no_list_depends_on_the_other_lists_of_a_batch(is_indexed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clairo_core.ranking.joint_ranking.NUM_DENSE_CANDIDATES", 2)
    ranking = random_ranking((1.0, 0.2, 3.0))
    if is_indexed:
        ranking = replace(ranking, dense_heads=ranking.dense_heads.indexed())
    histories, allowed = [HISTORY, np.arange(5, 15)], [all_but(HISTORY, NUM_ITEMS), *everything()]
    together = ranking.rank(histories, generated(7, 5) * 2, allowed, [2, NUM_ITEMS])
    for place, num_places in enumerate([2, NUM_ITEMS]):
        (alone,) = ranking.rank([histories[place]], generated(7, 5), [allowed[place]], [num_places])
        assert together[place].item_rows.tolist() == alone.item_rows.tolist()
        assert together[place].scores == pytest.approx(alone.scores, abs=1e-6)


def test_a_mixture_that_reads_other_evidence_is_refused(tmp_path: Path) -> None:
    paired = with_pairs(random_ranking())
    paired.save(tmp_path)
    shutil.rmtree(tmp_path / "together")
    with pytest.raises(MixtureError, match="expected some of generator, dense, followers and no pair evidence"):
        load_joint_ranking(tmp_path, COUNTS)


def test_a_ranking_without_a_mixture_is_refused(tmp_path: Path) -> None:
    unfitted = replace(random_ranking(), mixture=None)
    with pytest.raises(MixtureError, match="the mixture is not fitted"):
        unfitted.rank([HISTORY], generated(7), everything(), [3])
    with pytest.raises(MixtureError, match="the mixture is not fitted"):
        unfitted.save(tmp_path)


def test_a_lifted_item_competes_although_the_dense_head_would_not_propose_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clairo_core.ranking.joint_ranking.NUM_DENSE_CANDIDATES", 2)
    ranking = random_ranking()
    dense = ranking.dense_heads.log_probabilities([HISTORY])[0]
    last = int(np.argmin(dense))
    lifts = np.zeros(NUM_ITEMS)
    lifts[last] = 50.0
    (plain,) = ranking.rank([HISTORY], generated(), everything(), [2])
    (lifted,) = ranking.rank([HISTORY], generated(), everything(), [2], [lambda rows: -lifts[rows]], [lifts])
    assert last not in plain.item_rows
    assert lifted.item_rows[0] == last


def bought_after(earlier: int, bought: int, num_users: int = 10) -> CountIncrements:
    """Users who had one item buy another."""
    rows, ones = np.array([earlier, bought]), np.ones(2)
    return increments_of([UserActions(rows, ones, ones > 0, 1)] * num_users, NUM_ITEMS + 1)


def with_followers() -> JointRanking:
    """A ranking whose follower counts can grow, and an item posted since training."""
    ranking = random_ranking((1.0, 1.0, 5.0))
    followers = replace(ranking.item_weights["followers"], scale=RowScale(np.full(NUM_ITEMS, 2.0), 1.0, 0.5))
    pairs = sparse.csr_matrix((NUM_ITEMS, NUM_ITEMS), dtype=np.float32)
    posted = replace(ranking, item_weights={"followers": followers}, together=pairs)
    return posted.with_items(np.zeros((1, ranking.dense_heads.heads[0].content_map.shape[0])))


def test_a_posted_item_rises_for_users_of_the_items_that_its_buyers_had() -> None:
    ranking, posted, is_allowed = with_followers(), NUM_ITEMS, 2 * everything(NUM_ITEMS + 1)
    counted = ranking.with_counts(bought_after(earlier=4, bought=posted))
    histories = [HISTORY, np.array([2, 5])]

    def places(of: JointRanking) -> list[int]:
        ranked = of.rank(histories, None, is_allowed, [NUM_ITEMS + 1] * len(histories))
        return [one.item_rows.tolist().index(posted) for one in ranked]

    ranking, counted = (replace(one, mixture_without_generator=one.mixture) for one in (ranking, counted))
    before, after = places(ranking), places(counted)
    assert after[0] < before[0]
    assert after[1] == before[1]
    assert counted.counts_of(np.array([posted])).tolist() == [10]


def test_counts_of_training_stay_where_an_item_has_no_new_event() -> None:
    ranking = with_followers()
    counted = ranking.with_counts(bought_after(earlier=4, bought=NUM_ITEMS))
    assert counted.training_counts[:NUM_ITEMS].tolist() == COUNTS.tolist()
    before, after = (one.item_weights["followers"].matrix.toarray() for one in (ranking, counted))
    others = [row for row in range(NUM_ITEMS) if row != 4]
    assert np.allclose(after[others, :NUM_ITEMS], before[others])
    # Item 4 now has 12 followers instead of 2.
    assert np.allclose(after[4, :NUM_ITEMS], before[4] * np.sqrt(3 / 13), atol=1e-6)
    assert after[4, NUM_ITEMS] == pytest.approx(10 / np.sqrt(13))


def test_weights_of_a_bundle_of_before_stay_those_of_training() -> None:
    ranking = random_ranking()
    counted = ranking.with_counts(bought_after(earlier=4, bought=5))
    assert counted.item_weights["followers"] is ranking.item_weights["followers"]
    assert counted.training_counts[5] == COUNTS[5] + 10


def test_counts_after_saving_and_loading_grow_alike(tmp_path: Path) -> None:
    followers = with_followers().item_weights["followers"]
    followers.save(tmp_path)
    again, counts = load_item_weights(tmp_path), bought_after(earlier=4, bought=5).followers
    totals = np.asarray(counts.sum(axis=1)).ravel()
    grown, grown_again = followers.with_counts(counts, totals), again.with_counts(counts, totals)
    assert np.allclose(grown.matrix.toarray(), grown_again.matrix.toarray())
