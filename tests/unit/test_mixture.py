"""Mixing in item space: what is fitted helps, by hand where it can be, and a recommender joins as a scorer."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
from jaxtyping import Float

from clairo_core.errors import TrainingError
from clairo_core.recommender import Recommendation, RecommendationList
from clairo_core.sequences import ItemSequences
from training.baselines.choose_settings import masked_ndcg
from training.baselines.mixture import Mixture, fit_mixture, groups_of
from training.baselines.recommender_scorer import RecommenderScorer
from training.datasets.split import EvaluationSplit

NUM_ITEMS = 30
POPULAR = np.where(np.arange(NUM_ITEMS) < NUM_ITEMS // 2, 60, 2)
"""The first half of the items are bought often, the others hardly."""


@dataclass
class NextOf:
    """Knows what follows among some of the items, and says noise of the others."""

    is_known: np.ndarray

    def scores(self, histories: ItemSequences) -> Float[np.ndarray, "user item"]:
        noise = np.random.default_rng(7).random((len(histories), NUM_ITEMS))
        noise[:, self.is_known] = 0.0
        following = (np.array([history[-1] for history in histories]) + 1) % NUM_ITEMS
        for user, item in enumerate(following):
            if self.is_known[item]:
                noise[user, item] = 0.8
        return noise


def everybody() -> EvaluationSplit:
    """Users whose next item is the one behind their last."""
    last = np.arange(300) % NUM_ITEMS
    histories = ItemSequences.from_lists([[item] for item in last])
    return EvaluationSplit(histories, ((last + 1) % NUM_ITEMS).astype(np.int32), np.arange(300, dtype=np.int32))


def test_each_component_is_trusted_where_it_is_right() -> None:
    head, tail = NextOf(POPULAR == 60), NextOf(POPULAR == 2)
    mixture = fit_mixture((head, tail), POPULAR, everybody())
    alone = max(masked_ndcg(head, everybody()), masked_ndcg(tail, everybody()))
    assert masked_ndcg(mixture, everybody()) > alone + 0.2
    popular, rare = groups_of(np.array([60, 2]))
    assert mixture.by_popularity[0, popular] > mixture.by_popularity[1, popular]
    assert mixture.by_popularity[1, rare] > mixture.by_popularity[0, rare]


def test_the_mixture_of_a_case_worked_by_hand() -> None:
    by_group = np.zeros((1, 5))
    by_group[0, :2] = [1.0, 2.0]
    shortest = np.zeros((1, 5))
    shortest[0, 0] = 0.5

    class Fixed:
        def scores(self, histories: ItemSequences) -> Float[np.ndarray, "user item"]:
            return np.tile([3.0, 1.0, -4.0], (len(histories), 1))

    mixture = Mixture((Fixed(),), (1.0,), np.array([0, 1, 0]), by_group, shortest, np.array([0.0, 0.25, 0.0, 0.0, 0.0]))
    expected = [1.5 * math.log(4), 2.5 * math.log(2) + 0.25, 0.0]
    assert mixture.scores(ItemSequences.from_lists([[0]]))[0] == pytest.approx(expected)
    # A history of five items or more is in another group, of which nothing is added here.
    assert mixture.scores(ItemSequences.from_lists([[0] * 5]))[0, 0] == pytest.approx(math.log(4))


def test_nothing_to_fit_on_is_said_in_words() -> None:
    seen_again = EvaluationSplit(ItemSequences.from_lists([[1]]), np.array([1], np.int32), np.zeros(1, np.int32))
    with pytest.raises(TrainingError, match="nothing to weigh"):
        fit_mixture((NextOf(POPULAR == 60),), POPULAR, seen_again)


def test_a_recommenders_list_becomes_probabilities_of_items() -> None:
    class FixedRecommender:
        def recommend_many(self, histories: list, limit: int, *, include_seen: bool) -> list[RecommendationList]:
            listed = (
                Recommendation("b", 1, math.log(0.5), "generative"),
                Recommendation("posted", 2, math.log(0.3), "generative"),
                Recommendation("a", 3, math.log(0.2), "generative"),
            )
            return [RecommendationList(listed) for _ in histories]

    scorer = RecommenderScorer(FixedRecommender(), ("a", "b", "c"))
    expected = np.array([[0.2, 0.5, 0.0]] * 2)
    assert scorer.scores(ItemSequences.from_lists([[2, 0], [1]])) == pytest.approx(expected)
