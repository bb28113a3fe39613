"""Mixing in item space: what is fitted helps, by hand where it can be, and a recommender joins as a scorer."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from jaxtyping import Float

from clairo_core.errors import MixtureError, TrainingError
from clairo_core.ranking.mixture import COUNT_EDGES, LENGTH_EDGES, Mixture, groups_of, load_mixture
from clairo_core.recommendation import Recommendation, RecommendationList
from clairo_core.sequences import ItemSequences
from training.baselines.choose_settings import masked_ndcg
from training.baselines.mixture import fit_scorer_mixture
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
    fitted = fit_scorer_mixture((head, tail), POPULAR, everybody())
    alone = max(masked_ndcg(head, everybody()), masked_ndcg(tail, everybody()))
    assert masked_ndcg(fitted, everybody()) > alone + 0.2
    popular, rare = groups_of(np.array([60, 2]), COUNT_EDGES)
    by_count = fitted.mixture.by_count
    assert by_count[0, popular] > by_count[1, popular]
    assert by_count[1, rare] > by_count[0, rare]


def by_hand() -> Mixture:
    by_count, by_length = np.zeros((1, len(COUNT_EDGES))), np.zeros((1, len(LENGTH_EDGES)))
    by_count[0, :3] = [0.5, 1.0, 2.0]
    by_length[0, 0] = 0.5
    offsets = np.zeros(len(COUNT_EDGES))
    offsets[2] = 0.25
    return Mixture(("only",), np.array([1.0]), by_count, by_length, offsets)


def test_the_mixture_of_a_case_worked_by_hand() -> None:
    scores, counts = np.array([[3.0], [1.0], [-4.0], [3.0]]), np.array([1, 7, 1, 0])
    parts = by_hand().parts(scores, counts, 1)
    expected = [1.5 * math.log(4), 2.5 * math.log(2) + 0.25, 0.0, 1.0 * math.log(4)]
    assert by_hand().totals(parts, counts) == pytest.approx(expected)
    # A history of five items or more is in another group, of which nothing is added here.
    assert by_hand().parts(scores, counts, 5)[0, 0] == pytest.approx(math.log(4))


def test_a_mixture_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    by_hand().save(tmp_path / "mixture.json")
    again = load_mixture(tmp_path / "mixture.json")
    assert again.components == ("only",)
    for name in ("floors", "by_count", "by_length", "offsets"):
        assert np.array_equal(getattr(again, name), getattr(by_hand(), name))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"floors": [0.0]}, "above 0"),
        ({"floors": [1.0, 2.0]}, "other shapes"),
        ({"offsets": "many"}, "cannot be read"),
        ({"count_edges": [0, 7]}, "train it anew"),
        ({"by_length": None}, "cannot be read|other shapes"),
    ],
)
def test_a_damaged_mixture_is_refused(tmp_path: Path, change: dict[str, object], says: str) -> None:
    path = tmp_path / "mixture.json"
    by_hand().save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(MixtureError, match=says):
        load_mixture(path)
    path.write_text("{")
    with pytest.raises(MixtureError, match="copy the bundle again"):
        load_mixture(path)


def test_nothing_to_fit_on_is_said_in_words() -> None:
    seen_again = EvaluationSplit(ItemSequences.from_lists([[1]]), np.array([1], np.int32), np.zeros(1, np.int32))
    with pytest.raises(TrainingError, match="nothing to weigh"):
        fit_scorer_mixture((NextOf(POPULAR == 60),), POPULAR, seen_again)


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
