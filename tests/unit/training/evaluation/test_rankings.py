"""Rankings in both modes: worked by hand, against a slow reference, and through a file."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clairo_core.sequences import ItemSequences
from training.counts.popularity import Popularity
from training.evaluation.metrics import ranks_by_scores
from training.evaluation.rankings import SHOWN, first_places, load_rankings, rank_with_scores, save_rankings
from training.evaluation.slices import breadth_of, gini, slice_labels, user_slices
from training.evaluation.split import SEEN_ITEMS, EvaluationSplit


def split_of(histories: list[list[int]], targets: list[int]) -> EvaluationSplit:
    return EvaluationSplit(
        ItemSequences.from_lists(histories), np.array(targets, np.int32), np.arange(len(targets), dtype=np.int32)
    )


def rank_by_score(scores: np.ndarray, target: int, is_allowed: np.ndarray) -> int:
    """The slow reference: one user's target among the allowed items, every tie counted against it."""
    return int(np.count_nonzero(is_allowed & (scores >= scores[target]))) if is_allowed[target] else 0


@given(st.data())
def test_ranks_of_many_users_match_the_slow_reference(data: st.DataObject) -> None:
    histories = data.draw(st.lists(st.lists(st.integers(0, 6), max_size=5), min_size=1, max_size=6))
    targets = np.array([data.draw(st.integers(0, 6)) for _ in histories])
    scores = np.array([[data.draw(st.integers(0, 3)) for _ in range(7)] for _ in histories], dtype=float)
    allowed, masked = ranks_by_scores(scores, targets, ItemSequences.from_lists(histories))
    for user, history in enumerate(histories):
        is_allowed = np.ones(7, dtype=np.bool_)
        assert allowed[user] == rank_by_score(scores[user], targets[user], is_allowed)
        is_allowed[history] = False
        assert masked[user] == rank_by_score(scores[user], targets[user], is_allowed)


def test_ranks_and_first_places_match_the_slow_reference() -> None:
    random = np.random.default_rng(0)
    counts = random.integers(0, 9, size=40)
    split = split_of([random.integers(40, size=5).tolist() for _ in range(30)], random.integers(40, size=30).tolist())
    rankings = rank_with_scores(Popularity(counts), dict.fromkeys(SEEN_ITEMS, split), "")
    for user, target in enumerate(split.targets.tolist()):
        for seen_items in SEEN_ITEMS:
            is_allowed = np.ones(40, dtype=np.bool_)
            # Without a lift, weighing masks.
            if seen_items != "allowed":
                is_allowed[split.histories[user]] = False
            assert rankings[seen_items].ranks[user] == rank_by_score(counts, target, is_allowed)
            best = np.sort(counts[is_allowed])[::-1][:SHOWN]
            assert counts[rankings[seen_items].shown[user]].tolist() == best.tolist()


def test_weighed_scores_of_the_history_are_lifted_once_each_and_others_stay() -> None:
    targets = dict.fromkeys(SEEN_ITEMS, split_of([[0, 1, 0], [3]], [2, 3]))
    rankings = rank_with_scores(Popularity(np.array([5, 3, 4, 1])), targets, "", repeat_lift=-1.5)
    assert {mode: ranking.ranks.tolist() for mode, ranking in rankings.items()} == {
        "allowed": [2, 4],
        "weighed": [1, 4],
        "masked": [1, 0],
    }
    assert rankings["weighed"].shown[:, :4].tolist() == [[2, 0, 1, 3], [0, 2, 1, 3]]


def test_first_places_are_the_highest_scores_padded_with_no_item() -> None:
    scores = np.array([[1.0, 5.0, -np.inf, 5.0]])
    assert first_places(scores).tolist() == [[1, 3, 0] + [-1] * (SHOWN - 3)]


def test_rankings_survive_a_round_trip_through_a_file(tmp_path: Path) -> None:
    targets = dict.fromkeys(SEEN_ITEMS, split_of([[0], [1]], [2, 0]))
    rankings = rank_with_scores(Popularity(np.array([3, 1, 2])), targets, "")
    save_rankings(tmp_path / "rankings.npz", rankings)
    loaded = load_rankings(tmp_path / "rankings.npz")
    assert loaded["masked"].ranks.tolist() == rankings["masked"].ranks.tolist() == [1, 1]
    assert loaded["allowed"].shown.tolist() == rankings["allowed"].shown.tolist()


def several() -> EvaluationSplit:
    """Two users, the first with three targets."""
    return replace(split_of([[0], [1, 0]], [2, 0]), all_targets=ItemSequences.from_lists([[2, 3, 0], [0]]))


def test_all_targets_of_a_user_are_ranked_in_one_list_and_kept(tmp_path: Path) -> None:
    targets = {"allowed": several(), "masked": several()}
    rankings = rank_with_scores(Popularity(np.array([3, 1, 2, 4])), targets, "")
    save_rankings(tmp_path / "rankings.npz", rankings)
    loaded = load_rankings(tmp_path / "rankings.npz")
    for of_modes in (rankings, loaded):
        found = {mode: ranking.ranks for mode, ranking in of_modes.items()}
        assert found["allowed"].places.tolist() == [3, 1, 2, 2]
        assert found["masked"].places.tolist() == [2, 1, 0, 0]
        assert found["masked"].num_targets.tolist() == [3, 1]
        assert len(of_modes["masked"].shown) == 2


def test_several_targets_are_sliced_one_by_one_and_cold_ones_apart() -> None:
    slices = user_slices(several(), np.array([0, 9, 3, 7]))
    members = {(part.kind, part.label): np.flatnonzero(part.is_in).tolist() for part in slices}
    assert members == {
        ("all", "all"): [0, 1, 2, 3],
        ("training count", "0"): [2, 3],
        ("training count", "<5"): [0, 2, 3],
        ("training count", "5-9"): [1],
        ("training count", "<10"): [0, 1, 2, 3],
        ("history length", "<5"): [0, 1, 2, 3],
    }


def test_users_are_sliced_by_target_count_and_history_length() -> None:
    counts = np.array([0, 4, 5, 19, 50])
    slices = user_slices(split_of([[0] * 4, [0] * 5, [0] * 60, [0], [0]], [0, 2, 3, 4, 1]), counts)
    members = {(part.kind, part.label): np.flatnonzero(part.is_in).tolist() for part in slices}
    assert members == {
        ("all", "all"): [0, 1, 2, 3, 4],
        ("training count", "<5"): [0, 4],
        ("training count", "5-9"): [1],
        ("training count", "<10"): [0, 1, 4],
        ("training count", "10-19"): [2],
        ("training count", "50+"): [3],
        ("history length", "<5"): [0, 3, 4],
        ("history length", "5-9"): [1],
        ("history length", "50+"): [2],
    }
    assert len(slice_labels()) == 5


def test_breadth_worked_by_hand() -> None:
    # Item 0 twice, item 1 once, items 2 and 3 never; one place holds no item of the dataset.
    breadth = breadth_of(np.array([[0, 1], [0, -1]]), np.array([8, 2, 5, 5]))
    assert breadth.coverage == 0.5
    assert breadth.mean_popularity == 6.0
    # Sorted 0, 0, 1, 2: (-3*0 - 1*0 + 1*1 + 3*2) / (4 * 3).
    assert breadth.gini == pytest.approx(7 / 12)


@given(st.lists(st.integers(0, 20), min_size=1, max_size=12).map(np.array))
def test_gini_is_the_mean_difference_over_twice_the_mean(counts: np.ndarray) -> None:
    expected = np.abs(counts[:, None] - counts).mean() / (2 * counts.mean()) if counts.any() else 0.0
    assert gini(counts) == pytest.approx(expected)
