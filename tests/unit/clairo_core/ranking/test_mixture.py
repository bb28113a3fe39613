"""Mixtures: fitted weights help, worked examples, and a recommender as a component."""

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from jaxtyping import Float
from safetensors.numpy import load, save

from clairo_core.errors import MixtureError
from clairo_core.ranking import Mixture, load_mixture
from clairo_core.ranking.candidate_features import candidate_features, num_features
from clairo_core.recommendation import Recommendation, RecommendationList
from clairo_core.sequences import ItemSequences
from tests.tiny import plain_sum
from training.baselines.scorer_mixture import fit_scorer_mixture
from training.comparison.recommender_scorer import RecommenderScorer
from training.evaluation.choose_settings import masked_ndcg
from training.evaluation.split import EvaluationSplit

NUM_ITEMS = 30
POPULAR = np.where(np.arange(NUM_ITEMS) < NUM_ITEMS // 2, 60, 2)
"""The first half of the items are popular, the others rare."""


@dataclass
class NextOf:
    """Predicts the next item among some items, and scores the others by noise."""

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
    """Users whose next item is the one after their last."""
    last = np.arange(300) % NUM_ITEMS
    histories = ItemSequences.from_lists([[item] for item in last])
    return EvaluationSplit(histories, ((last + 1) % NUM_ITEMS).astype(np.int32), np.arange(300, dtype=np.int32))


def nothing_known(num_items: int) -> Float[np.ndarray, "item kind"]:
    return np.zeros((num_items, 0), dtype=np.float32)


def test_each_component_is_weighted_where_it_is_right() -> None:
    head, tail = NextOf(POPULAR == 60), NextOf(POPULAR == 2)
    fitted = fit_scorer_mixture((head, tail), POPULAR, everybody())
    alone = max(masked_ndcg(head, everybody()), masked_ndcg(tail, everybody()))
    assert masked_ndcg(fitted, everybody()) > alone + 0.2


def test_an_untrained_mixture_is_a_sum_of_logarithms() -> None:
    scores, counts = np.array([[3.0, 0.0], [1.0, 7.0], [-4.0, 0.0]]), np.array([1, 7, 1])
    totals = plain_sum("one", "other", weights=(2.0, 1.0)).totals(
        scores, nothing_known(3), counts, 1, np.ones(3, dtype=np.bool_)
    )
    assert totals == pytest.approx([2 * math.log(4), 2 * math.log(2) + math.log(8), 0.0], rel=1e-6)


def test_a_candidate_is_compared_with_unseen_items() -> None:
    scores = np.array([[0.5, 0.0], [0.2, 1.0], [0.8, 3.0], [0.2, 0.0]])
    is_reference = np.array([True, True, False, True])
    evidence = np.array([[0.5], [0.0], [9.0], [1.0]], dtype=np.float32)
    features = candidate_features(scores, evidence, np.array([0, 1, 2, 3]), 4, is_reference, np.array([0.1, 1.0]))
    assert features.shape == (4, num_features(2, 1))
    assert features[:, 0] == pytest.approx(np.log1p([5, 2, 8, 2]))
    assert features[:, 1] == pytest.approx(np.log1p([0, 1, 0, 1]))
    assert features[:, 2] == pytest.approx([1.0, 0.4, 1.0, 0.4])
    assert features[:, 4] == pytest.approx(np.log1p([1, 0, 0, 1]))
    assert features[:, 6] == pytest.approx([0.5, 0.0, 9.0, 1.0])
    assert features[:, -2] == pytest.approx(np.log1p([0, 1, 2, 3]))
    assert features[:, -1] == pytest.approx(np.log(5.0))


def test_without_reference_items_features_are_finite() -> None:
    nothing = np.zeros(2, dtype=np.bool_)
    features = candidate_features(
        np.array([[1.0], [2.0]]), nothing_known(2), np.array([0, 0]), 1, nothing, np.array([1.0])
    )
    assert np.isfinite(features).all()


def random_mixture() -> Mixture:
    random = np.random.default_rng(0)
    width = num_features(2, 1)
    layers = [random.normal(size=shape).astype(np.float32) for shape in ((5, width), (5,), (1, 5), (1,))]
    return Mixture(
        ("one", "other"),
        ("cosine last",),
        np.array([0.1, 2.0]),
        np.array([1.0, 0.5], dtype=np.float32),
        random.normal(size=width).astype(np.float32),
        np.ones(width, dtype=np.float32),
        ((layers[0], layers[1]), (layers[2], layers[3])),
        -0.5,
    )


def test_a_loaded_mixture_equals_the_saved_one(tmp_path: Path) -> None:
    mixture = random_mixture()
    mixture.save(tmp_path)
    again = load_mixture(tmp_path)
    assert (again.components, again.evidence, again.new_item_lift) == (("one", "other"), ("cosine last",), -0.5)
    evidence = np.random.default_rng(2).random((4, 1)).astype(np.float32)
    arguments = (np.random.default_rng(1).random((4, 2)), evidence, np.arange(4), 3, np.ones(4, dtype=np.bool_))
    assert np.array_equal(again.totals(*arguments), mixture.totals(*arguments))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"floors": np.array([0.0, 1.0])}, "above 0"),
        ({"scales": np.zeros(9, dtype=np.float32)}, "above 0"),
        ({"floors": np.array([1.0])}, r"expected float64 \(2,\)"),
        ({"matrix_1": np.zeros((1, 4), dtype=np.float32)}, "matrix_1"),
        ({"new_item_lift": np.array([np.nan])}, "new_item_lift"),
    ],
)
def test_a_damaged_mixture_is_refused(tmp_path: Path, change: dict[str, np.ndarray], words: str) -> None:
    random_mixture().save(tmp_path)
    path = tmp_path / "arrays.safetensors"
    path.write_bytes(save(load(path.read_bytes()) | change))
    with pytest.raises(MixtureError, match=words):
        load_mixture(tmp_path)


def test_a_mixture_of_before_reads_no_pair_evidence(tmp_path: Path) -> None:
    plain_sum("one", "other").save(tmp_path)
    header = json.loads((tmp_path / "mixture.json").read_text())
    del header["evidence"]
    (tmp_path / "mixture.json").write_text(json.dumps(header))
    assert load_mixture(tmp_path).evidence == ()


def test_a_mixture_without_layers_is_refused(tmp_path: Path) -> None:
    random_mixture().save(tmp_path)
    header = json.loads((tmp_path / "mixture.json").read_text())
    (tmp_path / "mixture.json").write_text(json.dumps(header | {"num_layers": 0}))
    with pytest.raises(MixtureError, match="num_layers is 0"):
        load_mixture(tmp_path)
    (tmp_path / "mixture.json").write_text("{")
    with pytest.raises(MixtureError, match="copy the folder again"):
        load_mixture(tmp_path)


def test_fitting_is_deterministic() -> None:
    head, tail = NextOf(POPULAR == 60), NextOf(POPULAR == 2)
    once, twice = (fit_scorer_mixture((head, tail), POPULAR, everybody()).scores(everybody().histories) for _ in "ab")
    assert np.array_equal(once, twice)


@pytest.mark.parametrize("histories", [[], [[1]], [list(range(NUM_ITEMS))]])
def test_without_a_target_to_find_all_components_weigh_the_same(histories: list[list[int]]) -> None:
    seen_again = EvaluationSplit(
        ItemSequences.from_lists(histories), np.ones(len(histories), np.int32), np.zeros(len(histories), np.int32)
    )
    components = (NextOf(POPULAR == 60), NextOf(POPULAR == 2))
    mixture = fit_scorer_mixture(components, POPULAR, seen_again).mixture
    assert mixture.score_weights.tolist() == [0.5, 0.5]
    plain = replace(plain_sum("0", "1", weights=(0.5, 0.5)), floors=mixture.floors)
    scores = np.random.default_rng(0).random((9, 2))
    arguments = (scores, nothing_known(9), np.ones(9, np.int64), 3, np.ones(9, np.bool_))
    assert np.allclose(mixture.totals(*arguments), plain.totals(*arguments))
    assert np.isfinite(mixture.floors).all()


def test_a_mixture_that_could_not_be_fitted_is_saved_and_loaded(tmp_path: Path) -> None:
    nobody = EvaluationSplit(ItemSequences.from_lists([]), np.zeros(0, np.int32), np.zeros(0, np.int32))
    fit_scorer_mixture((NextOf(POPULAR == 60),), POPULAR, nobody).mixture.save(tmp_path)
    assert load_mixture(tmp_path).score_weights.tolist() == [1.0]


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
