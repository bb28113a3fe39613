"""The strength of dislikes: chosen on validation users who dislike something, else the preset's."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

from clairo_core.catalogue import build_catalogue
from clairo_core.progress import silent
from clairo_core.ranking import DislikedNeighbours
from clairo_core.recommendation import POPULAR, Recommendation, RecommendationList, RecommendationRequest
from clairo_core.recommender import Recommender
from clairo_core.sequences import ItemSequences
from clairo_core.tokens.tokenizer import Tokenizer
from tests.tiny import random_feature_sets, tiny_items, tiny_vocabulary
from training.config.load_preset import load_preset
from training.datasets.dataset import Dataset, build_dataset
from training.ranking.dislikes_stage import STRENGTHS, dislikes_stage, ndcgs_by_strength, users_with_dislikes
from training.workbench.stage_cache import StageCache
from training.workbench.workbench import Workbench

NUM_ITEMS, NUM_USERS = 40, 30
BLUE, RED = range(15), range(15, 40)
CATALOGUE = build_catalogue(
    [item.item_id for item in tiny_items(NUM_ITEMS)],
    random_feature_sets(NUM_ITEMS, (8, 8, 8)),
    Tokenizer(tiny_vocabulary()),
)
EMBEDDINGS = np.float32([[1, 0] if row in BLUE else [0, 1] for row in range(NUM_ITEMS)])


@dataclass
class BlueFirst:
    """Lists items in the order of their rows, the blue ones first."""

    joint_ranking = None
    catalogue = CATALOGUE
    source: str = "generative"
    num_requests: int = 0

    def recommend_batch(self, requests: Sequence[RecommendationRequest]) -> list[RecommendationList]:
        self.num_requests += len(requests)
        return [self.answer(request) for request in requests]

    def answer(self, request: RecommendationRequest) -> RecommendationList:
        left_out = {*request.history.item_ids, *request.disliked}
        kept = [(row, name) for row, name in enumerate(CATALOGUE.item_ids) if name not in left_out]
        return RecommendationList(
            tuple(Recommendation(name, rank, -0.25 * row, self.source) for rank, (row, name) in enumerate(kept, 1))
        )


def shop(validation_target: int, num_disliking: int = NUM_USERS) -> Dataset:
    """Everybody's next item is the same; the first `num_disliking` users dislike a blue one."""
    sequences = [[20 + user % 5, 26 + user % 7, validation_target, 39] for user in range(NUM_USERS)]
    users = tuple(f"user-{user}" for user in range(NUM_USERS))
    dataset = build_dataset("shop", tiny_items(NUM_ITEMS), users, ItemSequences.from_lists(sequences))
    dislikes = ItemSequences.from_lists([[14] if user < num_disliking else [] for user in range(NUM_USERS)])
    return replace(dataset, dislikes=dislikes, dislike_places=np.zeros(len(dislikes.items), dtype=np.int64))


def bench_of(dataset: Dataset, stages: Path, told: list[str], *overrides: str) -> Workbench:
    preset = load_preset("clairo", overrides)
    return Workbench(dataset, preset, 0, torch.device("cpu"), StageCache(stages), silent, told.append)


def chosen(bench: Workbench, recommender: BlueFirst) -> DislikedNeighbours:
    return dislikes_stage(bench, cast(Recommender, recommender), EMBEDDINGS, "a key")


@pytest.mark.parametrize(("target", "strength"), [(3, 0.0), (16, 4.0)])
def test_the_strength_with_the_best_validation_lists_is_chosen(target: int, strength: float, tmp_path: Path) -> None:
    told: list[str] = []
    recommender, bench = BlueFirst(), bench_of(shop(target), tmp_path, told)
    neighbours = chosen(bench, recommender)
    assert neighbours.strength == strength
    assert (neighbours.directions is None) == (strength == 0)
    assert f"sink by {strength:g} (NDCG@10" in told[-1]
    assert "chosen on 30 validation users" in told[-1]
    # A second run reads what the first one measured.
    assert chosen(bench, recommender).strength == strength
    assert recommender.num_requests == NUM_USERS
    other = replace(bench.dataset, dislikes=ItemSequences.from_lists([[13]] * NUM_USERS))
    chosen(bench_of(other, tmp_path, told), recommender)
    assert recommender.num_requests == 2 * NUM_USERS, "other dislikes, other key"


def test_of_equal_strengths_the_lowest_is_chosen(tmp_path: Path) -> None:
    # The target is the first item, and unlike the disliked one: nothing moves it.
    red = np.float32([[1, 0] if row == 14 else [0, 1] for row in range(NUM_ITEMS)])
    bench = bench_of(shop(0), tmp_path, [])
    assert dislikes_stage(bench, cast(Recommender, BlueFirst()), red, "a key").strength == 0.0


def test_too_few_validation_users_with_dislikes_leave_the_strength_to_the_preset(tmp_path: Path) -> None:
    told: list[str] = []
    for dataset in (shop(16, num_disliking=19), replace(shop(16), dislikes=None)):
        recommender = BlueFirst()
        neighbours = chosen(bench_of(dataset, tmp_path, told, "dislikes.strength=0.75"), recommender)
        assert neighbours.strength == 0.75
        assert neighbours.similarities(np.array([14]), np.array([0, 16]), None).tolist() == [1.0, 0.0]
        assert recommender.num_requests == 0
        assert told[-1].endswith("sink by 0.75, as in the preset")


def test_lists_match_those_of_a_recommender_that_lowers_them(tmp_path: Path) -> None:
    bench = bench_of(shop(16), tmp_path, [])
    users = users_with_dislikes(bench.validation)
    ndcgs = ndcgs_by_strength(cast(Any, BlueFirst()), EMBEDDINGS, bench.item_ids, users)
    # Before the target at row 16 are 14 blue items and item 15.
    for strength in STRENGTHS:
        lowered = [-0.25 * row - strength * (row in BLUE) for row in range(NUM_ITEMS)]
        rank = sum(lowered[row] >= lowered[16] for row in range(NUM_ITEMS) if row != 14)
        assert ndcgs[strength] == pytest.approx(1 / np.log2(1 + rank) if rank <= 10 else 0.0)


def test_popular_items_that_fill_a_list_up_are_not_moved(tmp_path: Path) -> None:
    users = users_with_dislikes(bench_of(shop(16), tmp_path, []).validation)
    filled_up = cast(Any, BlueFirst(source=POPULAR))
    assert set(ndcgs_by_strength(filled_up, EMBEDDINGS, CATALOGUE.item_ids, users).values()) == {0.0}
