"""The lift of items of the history: worked by hand, by law, and against ranking everything again."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clairo_core.items import Item
from clairo_core.sequences import ItemSequences
from tests.unit.training.pipeline.test_evaluate import FixedRecommender, split_of
from training.datasets.dataset import build_dataset
from training.evaluation.metrics import ndcg_at, ranks_by_scores
from training.evaluation.rankings import with_lift
from training.evaluation.repeat_lift import (
    CUTOFF,
    MASKS,
    examples_of_scores,
    lift_of_recommender,
    lift_of_scorer,
    lift_users,
    repeats_in,
)
from training.evaluation.split import EvaluationSplit

NUM_ITEMS = 14


@dataclass
class FixedScorer:
    rows: Sequence[Sequence[float]]

    def scores(self, histories: ItemSequences) -> np.ndarray:
        return np.array(self.rows[: len(histories)], dtype=np.float32)


def ndcg_with(scores: np.ndarray, split: EvaluationSplit, lift: float) -> float:
    """The slow reference: lift, and rank all items again."""
    lifted = with_lift(scores, split.histories, lift)
    allowed, masked = ranks_by_scores(lifted, split.targets, split.histories)
    return float(ndcg_at(masked if lift == MASKS else allowed, CUTOFF).mean())


users = st.lists(
    st.tuples(
        st.lists(st.integers(0, NUM_ITEMS - 1), min_size=1, max_size=4),
        st.integers(0, NUM_ITEMS - 1),
        st.lists(st.integers(-9, 9), min_size=NUM_ITEMS, max_size=NUM_ITEMS),
    ),
    min_size=1,
    max_size=6,
)


@given(users)
def test_no_other_lift_ranks_the_users_better(drawn: list[tuple[list[int], int, list[int]]]) -> None:
    histories, targets, rows = (list(column) for column in zip(*drawn, strict=True))
    split, scores = split_of(histories, targets), np.array(rows, dtype=np.float64)
    chosen = ndcg_with(scores, split, lift_of_scorer(FixedScorer(rows), split))
    others = [MASKS, *np.arange(-20, 20, 0.25).tolist()]
    assert chosen >= max(ndcg_with(scores, split, lift) for lift in others) - 1e-12


@given(users, st.sampled_from([MASKS, -4.0, 0.0, 2.5]))
def test_ranks_of_the_first_places_are_those_among_all_items(
    drawn: list[tuple[list[int], int, list[int]]], lift: float
) -> None:
    histories, targets, rows = (list(column) for column in zip(*drawn, strict=True))
    split, scores = split_of(histories, targets), np.array(rows, dtype=np.float64)
    found = examples_of_scores(scores, split.targets, split.histories).ranks(lift)
    assert float(ndcg_at(found, CUTOFF).mean()) == pytest.approx(ndcg_with(scores, split, lift))


def test_where_nobody_repeats_seen_items_are_masked_and_nothing_is_scored() -> None:
    class Unasked:
        def scores(self, histories: ItemSequences) -> np.ndarray:
            raise AssertionError

    new_to_everybody = split_of([[0, 1], [2], []], [2, 0, 1])
    assert lift_of_scorer(Unasked(), new_to_everybody) == MASKS
    assert lift_of_scorer(Unasked(), split_of([], [])) == MASKS
    assert repeats_in(split_of([[0, 1, 1], [2], [1]], [1, 0, 1])).tolist() == [True, False, True]


def test_a_recommender_and_a_scorer_of_the_same_scores_get_the_same_lift() -> None:
    # Three of four users buy again what stands third; the fourth something new.
    split = split_of([[2, 0], [2], [2], [1]], [2, 2, 2, 0])
    places = -np.arange(6.0)
    of_scorer = lift_of_scorer(FixedScorer([places] * 4), split)
    assert lift_of_recommender(FixedRecommender("abcdef"), list("abcdef"), split) == of_scorer
    assert of_scorer > 2.0


def test_a_list_without_the_target_is_a_miss_at_any_lift() -> None:
    split = split_of([[5], [1]], [5, 1])
    assert np.isfinite(lift_of_recommender(FixedRecommender("abc"), list("abcdef"), split))


def test_the_lift_is_chosen_on_validation_targets() -> None:
    items = tuple(Item(item_id=str(row), texts={"title": f"item {row}"}) for row in range(4))
    dataset = build_dataset("made up", items, ("a", "b"), ItemSequences.from_lists([[0, 1, 0, 2], [3, 2, 1, 0]]))
    users_of_lift = lift_users(dataset)
    assert users_of_lift.targets.tolist() == [0, 1]
    assert repeats_in(users_of_lift).tolist() == [True, False]
