"""Evaluation: every seen-item mode, misses, popularity, and the printed table."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from clairo_core.errors import TrainingError
from clairo_core.items import Item, UserHistory
from clairo_core.progress import silent
from clairo_core.ranking import NO_LIFTS, RepeatLifts
from clairo_core.recommendation import Recommendation, RecommendationList, RecommendationRequest
from clairo_core.sequences import ItemSequences
from training.counts.popularity import Popularity
from training.evaluation.rankings import generated_ranks, rank_with_recommender, rank_with_scores
from training.evaluation.slices import breadth_of
from training.evaluation.split import MASKED, SEEN_ITEMS, EvaluationSplit, HeldOut, some_users
from training.evaluation.split_description import LEAVE_LAST_OUT, SplitDescription
from training.pipeline.evaluate import Evaluation, evaluate, table_of


@dataclass
class FakeDataset:
    name: str = "fake"
    items: tuple[Item, ...] = field(default_factory=lambda: tuple(Item(item_id=name) for name in "abcdef"))


@dataclass
class FixedRecommender:
    """Scores the items 0, -1, -2, ... for everybody, with seen items lifted, or masked on request."""

    best_first: str
    catalogue: str = "abcdef"
    joint_ranking: None = None
    repeat_lifts: RepeatLifts = NO_LIFTS

    def with_repeat_lifts(self, repeat_lifts: RepeatLifts) -> "FixedRecommender":
        return replace(self, repeat_lifts=repeat_lifts)

    def recommend_many(
        self, histories: Sequence[UserHistory], limit: int, *, include_seen: bool
    ) -> list[RecommendationList]:
        return self.recommend_batch(
            [RecommendationRequest(history=history, limit=limit, include_seen=include_seen) for history in histories]
        )

    def recommend_batch(self, requests: Sequence[RecommendationRequest]) -> list[RecommendationList]:
        answers = []
        for request in requests:
            seen = request.history.item_ids
            scores = {
                name: self.repeat_lifts.together * (name in seen) - place
                for place, name in enumerate(self.best_first)
                if name not in request.disliked and (request.include_seen or name not in seen)
            }
            chosen = sorted(scores.items(), key=lambda scored: -scored[1])[: request.limit]
            answers.append(
                RecommendationList(
                    tuple(
                        Recommendation(name, rank, float(score), "generative")
                        for rank, (name, score) in enumerate(chosen, 1)
                    )
                )
            )
        return answers


def split_of(histories: Sequence[Sequence[int]], targets: Sequence[int]) -> EvaluationSplit:
    return EvaluationSplit(
        ItemSequences.from_lists(histories), np.array(targets, np.int32), np.arange(len(targets), dtype=np.int32)
    )


def in_every_mode(split: EvaluationSplit) -> HeldOut:
    return dict.fromkeys(SEEN_ITEMS, split)


NOBODY = split_of([], [])


def measured(
    recommender: FixedRecommender,
    targets: HeldOut,
    lift_users: EvaluationSplit = NOBODY,
    *,
    counts: Sequence[int] = (1, 1, 0, 0, 0, 0),
    split_name: str = "test",
    max_users: int = 0,
    held_out: SplitDescription = LEAVE_LAST_OUT,
) -> Evaluation:
    return evaluate(
        recommender,
        FakeDataset(),
        np.array(counts),
        np.array(counts),
        targets,
        lift_users,
        split_name=split_name,
        max_users=max_users,
        num_resamples=10,
        held_out=held_out,
    )


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
    targets = in_every_mode(split_of([[0]], [1]))
    rankings = rank_with_recommender(FixedRecommender("xb"), list("abcdef"), targets, "", silent)
    assert breadth_of(rankings["allowed"].shown, np.zeros(6, np.int64)).coverage == pytest.approx(1 / 6)


def test_popularity_counts_ties_against_the_target() -> None:
    popularity = np.array([5, 3, 3, 0, 0, 0])
    targets = in_every_mode(split_of([[0], [0]], [1, 3]))
    ranking = rank_with_scores(Popularity(popularity), targets, "")["masked"]
    assert ranking.ranks.tolist() == [2, 5]
    assert ranking.shown[0].tolist()[:2] == [1, 2]


def test_a_target_outside_the_catalogue_is_a_miss_and_is_counted() -> None:
    result = measured(FixedRecommender("abcde", catalogue="abcde"), in_every_mode(split_of([[0], [1]], [5, 2])))
    assert result.num_missing_targets == 1
    assert {row.seen_items for row in result.rows} == {"allowed", "weighed", "masked"}
    table = table_of(result)
    assert "not in the bundle's catalogue, counted as misses: 1 target\n" in table
    assert "popularity" in table


def test_a_sample_of_users_is_seeded_and_named_in_the_table() -> None:
    split = split_of([[0]] * 10, list(range(5)) * 2)
    assert some_users(split, 3, seed=1).user_rows.tolist() == some_users(split, 3, seed=1).user_rows.tolist()
    result = measured(FixedRecommender("abcdef"), in_every_mode(split), max_users=3)
    assert "3 of 10 users (seeded sample)" in table_of(result)


def test_a_split_without_users_is_refused() -> None:
    with pytest.raises(TrainingError, match="no user has enough items"):
        measured(FixedRecommender("a"), in_every_mode(NOBODY))


def test_each_mode_says_on_how_many_users_it_rests() -> None:
    targets = {"allowed": split_of([[0], [1], [2]], [0, 2, 5]), "masked": split_of([[1], [2]], [2, 5])}
    result = measured(FixedRecommender("abcdef"), targets)
    assert [(row.seen_items, row.num_users) for row in result.rows if row.ranker == "clairo"] == [
        ("allowed", 3),
        ("masked", 2),
    ]
    assert "seen masked, 2 users" in table_of(result)


def test_a_mode_without_targets_is_left_out_of_the_table() -> None:
    result = measured(FixedRecommender("abcdef"), {"allowed": split_of([[0]], [0]), "masked": NOBODY})
    assert {row.seen_items for row in result.rows} == {"allowed"}
    assert not any(line.startswith("masked") for line in table_of(result).splitlines())


def test_a_recommenders_own_lifts_count_in_no_mode() -> None:
    targets = in_every_mode(split_of([[0]], [0]))
    lifted = FixedRecommender("bac", repeat_lifts=RepeatLifts(9.0, 9.0))
    rankings = rank_with_recommender(lifted, list("abcdef"), targets, "", silent, repeat_lift=-2.0)
    assert [rankings[mode].ranks.tolist() for mode in SEEN_ITEMS] == [[2], [3], [0]]


def test_disliked_items_are_masked_for_every_ranker() -> None:
    masked = replace(split_of([[0], [1]], [3, 2]), disliked=ItemSequences.from_lists([[1, 5], [0, 2]]))
    targets = {**in_every_mode(split_of([[0], [1]], [3, 2])), MASKED: masked}
    by_recommender = rank_with_recommender(FixedRecommender("abcdef"), list("abcdef"), targets, "", silent)
    by_scorer = rank_with_scores(Popularity(np.array([9, 8, 7, 6, 5, 4])), targets, "")
    for rankings in (by_recommender, by_scorer):
        assert rankings["allowed"].ranks.tolist() == [4, 3]
        # The second user dislikes the target.
        assert rankings["masked"].ranks.tolist() == [2, 0]
        assert rankings["weighed"].ranks.tolist() == [3, 2], "without repeats seen items are masked, dislikes are not"
        assert rankings["masked"].shown[:, :4].tolist() == [[2, 3, 4, -1], [3, 4, 5, -1]]


def test_the_same_rule_weighs_repeats_of_every_ranker() -> None:
    # Everybody buys the same again; the recommender and popularity rank what they have last.
    again = split_of([[4], [5]] * 20, [4, 5] * 20)
    result = measured(FixedRecommender("abcdef"), in_every_mode(again), again, counts=(9, 8, 7, 6, 1, 0))
    for ranker in ("clairo", "popularity"):
        recall = {mode: result.row(ranker, mode).metrics[4].value for mode in SEEN_ITEMS}
        assert recall["allowed"] < recall["weighed"] == 1.0
        assert recall["masked"] == 0.0
        assert result.repeat_lifts[ranker] > 0
    without = measured(
        FixedRecommender("abcdef"), in_every_mode(again), split_of([[4]] * 20, [5] * 20), counts=(9, 8, 7, 6, 1, 0)
    )
    assert without.repeat_lifts == {"clairo": None, "popularity": None}
    assert "seen items where weighed, chosen on validation: clairo masked, popularity masked" in table_of(without)


def test_the_table_names_the_preset_and_the_figures_keep_one_name() -> None:
    result = measured(FixedRecommender("abcdef"), in_every_mode(split_of([[0]], [1])))
    lines = table_of(result, "a_preset_of_mine").splitlines()
    rankers = [line.split()[1] for line in lines if line.startswith("masked")]
    assert rankers == ["a_preset_of_mine", "popularity"]
    assert "clairo " not in "\n".join(lines)
    assert [row.ranker for row in result.rows][:2] == ["clairo", "popularity"]
    columns = [line.find("recall@5") + len("recall@5") for line in lines if "recall@5" in line]
    figures = [line for line in lines if line.startswith("allowed")]
    assert all(line[: columns[0]].endswith(f"{result.rows[0].metrics[0].value:.4f}") for line in figures[:1])


def test_a_table_by_time_says_so_and_counts_a_user_once_with_all_targets() -> None:
    several = replace(split_of([[0], [1]], [2, 5]), all_targets=ItemSequences.from_lists([[2, 3], [5]]))
    rule = SplitDescription("split by time, test from 2026-01-10 00:00 UTC", 3, 1)
    result = measured(FixedRecommender("abcde", catalogue="abcde"), in_every_mode(several), held_out=rule)
    assert (result.num_users, result.num_missing_targets) == (2, 1)
    # Places 3 and 4 of the first, and none of the second.
    recalls = {metric.name: metric.value for metric in result.row("clairo", "allowed").metrics}
    assert (recalls["recall@5"], recalls["recall@10"]) == (0.5, 0.5)
    best = 1 + 1 / np.log2(3)
    assert recalls["ndcg@5"] == pytest.approx((1 / np.log2(4) + 1 / np.log2(5)) / best / 2)
    assert f"{rule.rule}: 3 targets, 1 of them items that training lacks" in table_of(result)
    assert result.as_dict()["held_out"]["rule"] == rule.rule
    assert "\nleave-last-out\n" in table_of(measured(FixedRecommender("abcdef"), in_every_mode(split_of([[0]], [1]))))


def test_each_ranker_is_measured_by_training_count_and_by_history_length() -> None:
    split = split_of([[0], [1], [0, 1, 2, 3, 4]], [1, 0, 5])
    result = measured(FixedRecommender("abcdef"), in_every_mode(split), counts=(30, 7, 0, 0, 0, 0))
    found = {
        (row.kind, row.label): (row.num_users, row.ndcg_at_10.value)
        for row in result.slices
        if (row.ranker, row.seen_items) == ("clairo", MASKED)
    }
    # Seen items masked, the targets stand in places 1, 1 and 1.
    assert found == {
        ("training count", "<5"): (1, 1.0),
        ("training count", "5-9"): (1, 1.0),
        ("training count", "<10"): (2, 1.0),
        ("training count", "20-49"): (1, 1.0),
        ("history length", "<5"): (2, 1.0),
        ("history length", "5-9"): (1, 1.0),
    }
    assert {row.ranker for row in result.slices} == {"clairo", "popularity"}


def test_a_table_on_validation_says_what_was_chosen_on_its_users() -> None:
    for split_name in ("validation", "test"):
        result = measured(FixedRecommender("abcdef"), in_every_mode(split_of([[0]], [1])), split_name=split_name)
        assert ("chosen on these users" in table_of(result)) == (split_name == "validation")
