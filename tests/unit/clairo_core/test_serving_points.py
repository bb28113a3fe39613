"""The search behind each quality: what the manifest may hold, and what the recommender makes of it."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clairo_core.build_recommender import build_recommender
from clairo_core.catalogue import Catalogue, build_catalogue
from clairo_core.errors import MixtureError, SettingsError
from clairo_core.generation.t5.generator import load_generator
from clairo_core.items import UserHistory
from clairo_core.ranking import DenseHead, DenseHeads, Generated, JointRanking, RepeatLifts
from clairo_core.ranking.allowed_items import AllowedItems, all_but
from clairo_core.ranking.history_encoder import RecurrentHistoryEncoder
from clairo_core.recommendation import RecommendationList, RecommendationRequest
from clairo_core.recommender import Recommender
from clairo_core.serving_points import (
    QUALITIES,
    WITHOUT_GENERATOR,
    Points,
    Quality,
    ServingPoint,
    read_points,
    same_for_all,
)
from clairo_core.storage.growing_rows import GrowingRows
from clairo_core.tokens.tokenizer import Tokenizer
from tests.tiny import plain_sum, random_feature_sets, tiny_vocabulary, write_random_t5

NUM_ITEMS = 60
IDS = [f"item-{row}" for row in range(NUM_ITEMS)]
HISTORY = UserHistory(("item-3", "item-1", "item-4"))
POINTS: Points = {"fast": WITHOUT_GENERATOR, "balanced": ServingPoint(1, 5), "best": ServingPoint(3, 20)}


class RecordingGenerator:
    """Generates the same items for every history, and remembers how far it was asked to search."""

    device, dtype, max_history_items = torch.device("cpu"), torch.float32, 10

    def __init__(self) -> None:
        self.asked: list[tuple[int, int, int]] = []

    def generate(
        self,
        histories: Sequence[np.ndarray],
        seeds: Sequence[int],
        num_views: int,
        num_beams: int,
        is_allowed: Sequence[AllowedItems] | None = None,
    ) -> list[Generated]:
        self.asked.append((len(histories), num_views, num_beams))
        return [Generated(np.array([7, 9]), np.log([0.5, 0.25])) for _ in histories]

    def with_catalogue(self, catalogue: Catalogue, *_embeddings: object) -> "RecordingGenerator":
        return self


@pytest.fixture(scope="module")
def generated_alone(tmp_path_factory: pytest.TempPathFactory) -> Recommender:
    tokenizer = Tokenizer(tiny_vocabulary((8, 8, 4)))
    folder = write_random_t5(tmp_path_factory.mktemp("t5"), tokenizer.vocabulary.size)
    catalogue = build_catalogue(IDS, random_feature_sets(NUM_ITEMS, (8, 8, 4)), tokenizer)
    return build_recommender(catalogue, tokenizer, load_generator(folder, "cpu"), np.ones(NUM_ITEMS)).with_points(
        POINTS
    )


@pytest.fixture(scope="module")
def together(generated_alone: Recommender) -> Recommender:
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    vectors = random.normal(size=(NUM_ITEMS, 8)).astype(np.float32)
    head = DenseHead(
        RecurrentHistoryEncoder(8, width=10, max_history_items=6).eval(),
        GrowingRows(vectors),
        np.zeros((3, 8), dtype=np.float32),
    )
    ranking = JointRanking(DenseHeads((head,)), {}, plain_sum("generator", "dense"), np.ones(NUM_ITEMS, dtype=np.int64))
    return generated_alone.ranked_by(dataclasses.replace(ranking, mixture_without_generator=plain_sum("dense")))


def ids_of(answer: RecommendationList) -> list[str]:
    return [item.item_id for item in answer.items]


def asked(quality: Quality, limit: int = 4, **further: Any) -> RecommendationRequest:
    return RecommendationRequest(history=HISTORY, limit=limit, quality=quality, **further)


def test_each_quality_searches_as_its_point_says_and_fast_may_leave_the_generator_out(together: Recommender) -> None:
    generator = RecordingGenerator()
    spied = dataclasses.replace(together, generator=generator)
    answers = spied.recommend_batch([asked(quality) for quality in (*QUALITIES, "balanced")])
    assert generator.asked == [(2, 1, 5), (1, 3, 20)]
    assert {item.source for item in answers[0].items} == {"dense"}
    assert ids_of(answers[1]) == ids_of(answers[3]) == ids_of(spied.recommend(HISTORY, 4))


def test_without_generator_the_second_mixture_ranks_and_must_be_there(together: Recommender) -> None:
    assert together.joint_ranking is not None
    allowed = all_but(np.array([3, 1, 4]), NUM_ITEMS)
    (expected,) = together.joint_ranking.rank([np.array([3, 1, 4])], None, [allowed], [10])
    assert ids_of(together.recommend_batch([asked("fast", 10)])[0]) == [f"item-{row}" for row in expected.item_rows]
    before = dataclasses.replace(together.joint_ranking, mixture_without_generator=None)
    with pytest.raises(MixtureError, match="the mixture without generator is not fitted"):
        together.ranked_by(before).recommend_batch([asked("fast")])


@pytest.mark.parametrize("quality", QUALITIES)
def test_a_longer_list_begins_with_the_shorter_one(together: Recommender, quality: Quality) -> None:
    whole = ids_of(together.recommend_batch([asked(quality, NUM_ITEMS)])[0])
    assert len(whole) == NUM_ITEMS - 3
    for limit in (1, 5, 20, 40):
        assert ids_of(together.recommend_batch([asked(quality, limit)])[0]) == whole[:limit]


def test_the_search_reaches_every_listed_item_where_only_the_generator_can(
    together: Recommender, generated_alone: Recommender
) -> None:
    assert generated_alone.point_of(asked("balanced", 30)) == ServingPoint(1, 30)
    assert generated_alone.point_of(asked("fast", 3)) == ServingPoint(1, 5), "nothing else ranks"
    assert together.point_of(asked("balanced", 30)) == ServingPoint(1, 5)
    few = np.arange(NUM_ITEMS) < 8
    assert together.point_of(asked("balanced", 7, is_allowed=few)) == ServingPoint(1, 5)
    assert together.point_of(asked("balanced", 8, is_allowed=few)) == ServingPoint(1, 8)
    assert together.point_of(asked("fast", 8, is_allowed=few)) == WITHOUT_GENERATOR


def test_items_of_the_history_are_lifted_as_far_as_the_ranking_without_generator_needs(together: Recommender) -> None:
    lifted = together.with_repeat_lifts(RepeatLifts(together=-50.0, without_generator=50.0))
    fast, balanced = lifted.recommend_batch(
        [asked(quality, NUM_ITEMS, include_seen=True) for quality in ("fast", "balanced")]
    )
    assert set(ids_of(fast)[:3]) == set(HISTORY.item_ids)
    assert set(ids_of(balanced)[-3:]) == set(HISTORY.item_ids)


@given(st.lists(st.tuples(st.integers(1, 64), st.integers(1, 1000)), min_size=3, max_size=3), st.booleans())
def test_points_survive_json(numbers: list[tuple[int, int]], is_fast_without: bool) -> None:
    points = {quality: ServingPoint(*of_one) for quality, of_one in zip(QUALITIES, numbers, strict=True)}
    if is_fast_without:
        points["fast"] = WITHOUT_GENERATOR
    saved = {quality: dataclasses.asdict(point) for quality, point in points.items()}
    assert read_points(saved) == points


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"best": None}, "best is None, expected num_views and num_beams"),
        ({"fast": {"num_views": 3}}, "fast is {'num_views': 3}"),
        ({"fast": {"num_views": "3", "num_beams": 5}}, "fast is"),
        ({"best": {"num_views": 0, "num_beams": 5}}, "both above 0 or both 0"),
        ({"balanced": {"num_views": 0, "num_beams": 0}}, "balanced is .* expected views and beams"),
    ],
)
def test_points_that_cannot_be_served_are_refused_by_name(change: dict[str, Any], message: str) -> None:
    saved = {quality: dataclasses.asdict(point) for quality, point in same_for_all(ServingPoint(1, 20)).items()}
    with pytest.raises(SettingsError, match=message):
        read_points(saved | change)


def test_points_are_ordered_by_the_work_they_take() -> None:
    points = [ServingPoint(3, 50), ServingPoint(1, 60), WITHOUT_GENERATOR, ServingPoint(3, 20), ServingPoint(1, 10)]
    by_cost = sorted(points, key=lambda point: point.cost)
    assert [str(point) for point in by_cost] == ["without generator", "1 x 10", "1 x 60", "3 x 20", "3 x 50"]


def test_the_search_is_as_wide_as_the_list_where_the_dense_head_only_reranks(together: Recommender) -> None:
    assert together.joint_ranking is not None
    reranked = together.ranked_by(dataclasses.replace(together.joint_ranking, mixture=None, reranks_densely=True))
    assert reranked.point_of(asked("balanced", 40)).num_beams == 40
    answer = reranked.recommend_batch([asked("balanced", 40)])[0]
    dense = together.joint_ranking.dense_heads.log_probabilities([np.array([3, 1, 4])])[0]
    generated = [item for item in answer.items if item.source == "generative"]
    assert len(generated) == len(answer.items) == 40
    assert [item.score for item in generated] == sorted((item.score for item in generated), reverse=True)
    assert generated[0].score == pytest.approx(dense[IDS.index(generated[0].item_id)])
