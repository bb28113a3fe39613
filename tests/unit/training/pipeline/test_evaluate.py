"""Evaluation: both seen-item modes, misses, popularity, and the printed table."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from clairo_core.errors import TrainingError
from clairo_core.items import Item, UserHistory
from clairo_core.progress import silent
from clairo_core.recommendation import Recommendation, RecommendationList
from clairo_core.sequences import ItemSequences
from training.counts.popularity import Popularity
from training.evaluation.rankings import generated_ranks, rank_with_recommender, rank_with_scores
from training.evaluation.slices import breadth_of
from training.evaluation.split import SEEN_ITEMS, EvaluationSplit, HeldOut, some_users
from training.pipeline.evaluate import evaluate, table_of


@dataclass
class FakeDataset:
    name: str = "fake"
    items: tuple[Item, ...] = field(default_factory=lambda: tuple(Item(item_id=name) for name in "abcdef"))


@dataclass
class FixedRecommender:
    """Recommends the same items to everybody, with seen items masked on request."""

    best_first: str
    catalogue: str = "abcdef"
    joint_ranking: None = None

    def recommend_many(
        self, histories: Sequence[UserHistory], limit: int, *, include_seen: bool
    ) -> list[RecommendationList]:
        answers = []
        for history in histories:
            chosen = [name for name in self.best_first if include_seen or name not in history.item_ids][:limit]
            answers.append(
                RecommendationList(
                    tuple(Recommendation(name, rank, -float(rank), "generative") for rank, name in enumerate(chosen, 1))
                )
            )
        return answers


def split_of(histories: Sequence[Sequence[int]], targets: Sequence[int]) -> EvaluationSplit:
    return EvaluationSplit(
        ItemSequences.from_lists(histories), np.array(targets, np.int32), np.arange(len(targets), dtype=np.int32)
    )


def in_both_modes(split: EvaluationSplit) -> HeldOut:
    return dict.fromkeys(SEEN_ITEMS, split)


def test_the_rank_is_the_place_in_the_list_in_each_mode() -> None:
    split = split_of([[0], [1, 0], [2]], [3, 2, 5])
    recommender = FixedRecommender("abcd")
    allowed, _ = generated_ranks(recommender, list("abcdef"), split, True, "")
    masked, lists = generated_ranks(recommender, list("abcdef"), split, False, "")
    assert allowed.tolist() == [4, 3, 0]
    assert masked.tolist() == [3, 1, 0]
    assert lists[1].tolist() == [2, 3]


def test_an_item_posted_since_training_keeps_its_place_in_the_list() -> None:
    ranks, lists = generated_ranks(FixedRecommender("xb"), list("abcdef"), split_of([[0]], [1]), True, "")
    assert ranks.tolist() == [2]
    assert lists[0].tolist() == [-1, 1]
    targets = in_both_modes(split_of([[0]], [1]))
    rankings = rank_with_recommender(FixedRecommender("xb"), list("abcdef"), targets, "", silent)
    assert breadth_of(rankings["allowed"].shown, np.zeros(6, np.int64)).coverage == pytest.approx(1 / 6)


def test_popularity_counts_ties_against_the_target() -> None:
    popularity = np.array([5, 3, 3, 0, 0, 0])
    targets = in_both_modes(split_of([[0], [0]], [1, 3]))
    ranking = rank_with_scores(Popularity(popularity), targets, "")["masked"]
    assert ranking.ranks.tolist() == [2, 5]
    assert ranking.shown[0].tolist()[:2] == [1, 2]


def test_a_target_outside_the_catalogue_is_a_miss_and_is_counted() -> None:
    result = evaluate(
        FixedRecommender("abcde", catalogue="abcde"),
        FakeDataset(),
        np.array([2, 1, 0, 0, 0, 0]),
        in_both_modes(split_of([[0], [1]], [5, 2])),
        split_name="test",
        max_users=0,
        num_resamples=50,
    )
    assert result.num_missing_targets == 1
    assert {row.seen_items for row in result.rows} == {"allowed", "masked"}
    table = table_of(result)
    assert "1 targets are not in the bundle's catalogue" in table
    assert "popularity" in table


def test_a_sample_of_users_is_seeded_and_named_in_the_table() -> None:
    split = split_of([[0]] * 10, list(range(5)) * 2)
    assert some_users(split, 3, seed=1).user_rows.tolist() == some_users(split, 3, seed=1).user_rows.tolist()
    result = evaluate(
        FixedRecommender("abcdef"),
        FakeDataset(),
        np.array([1, 1, 0, 0, 0, 0]),
        in_both_modes(split),
        split_name="test",
        max_users=3,
        num_resamples=50,
    )
    assert "3 of 10 users (seeded sample)" in table_of(result)


def test_a_split_without_users_is_refused() -> None:
    with pytest.raises(TrainingError, match="no user has enough items"):
        evaluate(
            FixedRecommender("a"),
            FakeDataset(),
            np.array([1, 0, 0, 0, 0, 0]),
            in_both_modes(split_of([], [])),
            split_name="test",
            max_users=0,
            num_resamples=10,
        )


def test_each_mode_says_on_how_many_users_it_rests() -> None:
    targets = {"allowed": split_of([[0], [1], [2]], [0, 2, 5]), "masked": split_of([[1], [2]], [2, 5])}
    result = evaluate(
        FixedRecommender("abcdef"),
        FakeDataset(),
        np.array([1, 1, 0, 0, 0, 0]),
        targets,
        split_name="test",
        max_users=0,
        num_resamples=10,
    )
    assert [(row.seen_items, row.num_users) for row in result.rows if row.ranker == "clairo"] == [
        ("allowed", 3),
        ("masked", 2),
    ]
    assert "seen masked, 2 users" in table_of(result)


def test_a_mode_without_targets_is_left_out_of_the_table() -> None:
    result = evaluate(
        FixedRecommender("abcdef"),
        FakeDataset(),
        np.array([1, 1, 0, 0, 0, 0]),
        {"allowed": split_of([[0]], [0]), "masked": split_of([], [])},
        split_name="test",
        max_users=0,
        num_resamples=10,
    )
    assert {row.seen_items for row in result.rows} == {"allowed"}
    assert "masked" not in table_of(result)
