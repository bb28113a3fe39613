"""Count models: each against a case worked by hand and a slow twin."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clairo_core.errors import TrainingError
from clairo_core.sequences import ItemSequences
from tests.repository import SHARED
from training.counts import strongest_entries
from training.counts.ease import ROWS_AT_ONCE, EaseSettings, choose_ease, count_together, ease_weights, fit_ease
from training.counts.fit_item_weights import pair_counts, strongest
from training.counts.markov import MarkovSettings, choose_markov, count_followers, fit_markov
from training.counts.popularity import HALF_LIFE_DAYS, Popularity, count_popularity, user_popularity
from training.datasets import load_dataset
from training.datasets.user_sequences import UnreadEvents
from training.evaluation import choose_settings
from training.evaluation.choose_settings import best_on_validation, masked_ndcg
from training.evaluation.few_scores import FewScores
from training.evaluation.item_scorer import ItemScorer
from training.evaluation.metrics import ndcg_at, ranks_by_scores, recall_at
from training.evaluation.split import EvaluationSplit, test_split, training_sequences
from training.items.behaviour import neighbour_counts

INSTRUMENTS = SHARED / "data" / "amazon2018_instruments_mql"
MOVIELENS = SHARED / "data" / "movielens_small_posters"

sequences_of_items = st.lists(st.lists(st.integers(0, 5), max_size=14), min_size=1, max_size=8)


def split_of(histories: list[list[int]], targets: list[int]) -> EvaluationSplit:
    return EvaluationSplit(
        ItemSequences.from_lists(histories), np.array(targets, np.int32), np.arange(len(targets), dtype=np.int32)
    )


def test_popularity_is_the_training_count_for_everybody() -> None:
    popularity = Popularity(count_popularity(ItemSequences.from_lists([[0, 1], [1]]), 3))
    assert popularity.scores(ItemSequences.from_lists([[0], []])).tolist() == [[1, 2, 0], [1, 2, 0]]


def test_markov_counts_what_follows_by_distance() -> None:
    followers = count_followers(ItemSequences.from_lists([[0, 1, 2], [0, 1]]), 3).toarray()
    assert followers.tolist() == [[0, 2, 0.5], [0, 0, 1], [0, 0, 0]]


def test_markov_scores_a_case_worked_by_hand() -> None:
    # 0 is followed by 1 twice and by 2 at distance two: 2.5 in all. 1 is followed by 2 once.
    training = ItemSequences.from_lists([[0, 1, 2], [0, 1]])
    markov = fit_markov(training, 3, MarkovSettings(num_recent=3, shrinkage=1.0, power=1.0))
    scores = markov.scores(ItemSequences.from_lists([[0, 1], [1, 0], [2]]))
    assert scores[0] == pytest.approx([0, 0.5 * 2 / 3.5, 1 / 2 + 0.5 * 0.5 / 3.5], abs=1e-6)
    assert scores[1] == pytest.approx([0, 2 / 3.5, 0.5 / 3.5 + 0.5 * 1 / 2], abs=1e-6)
    # Item 2 has no followers, so popularity decides: two each of 0 and 1.
    assert scores[2, 0] == scores[2, 1] > scores[2, 2] > 0


def test_markov_ignores_items_older_than_its_recent_ones() -> None:
    training = ItemSequences.from_lists([[0, 1], [2, 3]])
    markov = fit_markov(training, 4, MarkovSettings(num_recent=1, shrinkage=0.0, power=0.0))
    scores = markov.scores(ItemSequences.from_lists([[0, 2]]))
    assert scores[0].round(3).tolist() == [0, 0, 0, 1]


@given(sequences_of_items, sequences_of_items, st.sampled_from([0.0, 0.5, 1.0]), st.integers(1, 4))
def test_markov_agrees_with_a_slow_reading_of_its_definition(
    training: list[list[int]], histories: list[list[int]], power: float, num_recent: int
) -> None:
    counts = np.zeros((6, 6))
    for sequence in training:
        for i, earlier in enumerate(sequence):
            for distance, later in enumerate(sequence[i + 1 : i + 11], 1):
                counts[earlier, later] += 1 / distance
    expected = np.zeros((len(histories), 6))
    for user, history in enumerate(histories):
        for age, item in enumerate(history[::-1][:num_recent]):
            expected[user] += counts[item] / (counts[item].sum() + 2.0) ** power / (1 + age)
    settings = MarkovSettings(num_recent=num_recent, shrinkage=2.0, power=power)
    markov = fit_markov(ItemSequences.from_lists(training), 6, settings)
    assert markov.scores(ItemSequences.from_lists(histories)) == pytest.approx(expected, abs=1e-6)


def test_ease_solves_a_case_worked_by_hand() -> None:
    # G = [[2, 1], [1, 1]], lambda 1: (G + I)^-1 = [[2, -1], [-1, 3]] / 5, so B[0, 1] = 1/3 and B[1, 0] = 1/2.
    together = count_together(ItemSequences.from_lists([[0, 1], [0]]), 2).toarray()
    assert together.tolist() == [[2, 1], [1, 1]]
    assert ease_weights(together, 1.0) == pytest.approx(np.array([[0, 1 / 3], [1 / 2, 0]]), abs=1e-6)


def test_ease_weighs_old_items_less() -> None:
    ease = fit_ease(ItemSequences.from_lists([[0, 1], [0]]), 2, EaseSettings(regularization=1.0, decay=0.5))
    # In [1, 0] the last item is 0 with weight 1, and 1 has weight a half.
    assert ease.scores(ItemSequences.from_lists([[1, 0]])) == pytest.approx(np.array([[0.25, 1 / 3]]), abs=1e-6)


def test_an_item_bought_twice_by_one_user_counts_once_in_ease() -> None:
    assert count_together(ItemSequences.from_lists([[0, 0, 1]]), 2).toarray().tolist() == [[1, 1], [1, 1]]


@given(sequences_of_items, st.sampled_from([0.5, 10.0]))
def test_ease_solves_ridge_regression(training: list[list[int]], regularization: float) -> None:
    """Column j solves ridge regression of item j on the other items."""
    has = np.zeros((len(training), 6))
    for user, sequence in enumerate(training):
        has[user, sequence] = 1
    weights = ease_weights(count_together(ItemSequences.from_lists(training), 6).toarray(), regularization)
    for item in range(6):
        others = np.arange(6) != item
        gram = has[:, others].T @ has[:, others] + regularization * np.eye(5)
        expected = np.linalg.solve(gram, has[:, others].T @ has[:, item])
        assert weights[others, item] == pytest.approx(expected, abs=1e-3)


def test_validation_chooses_the_settings_that_rank_best() -> None:
    # The followers of 3 are so frequent that 3 drowns 0, unless only the last item counts.
    training = ItemSequences.from_lists([[0, 1]] * 2 + [[3, 2]] * 5)
    validation = split_of([[3, 0], [0, 3]], [1, 2])
    grid = (MarkovSettings(30, 0.0, 0.0), MarkovSettings(1, 0.0, 0.0))
    choice = choose_markov(training, 4, validation, grid=grid)
    assert choice.settings == grid[1]
    assert [settings for settings, _ in choice.tried] == list(grid)
    assert choice.tried[1][1] == 1.0
    assert masked_ndcg(choice.scorer, validation) == 1.0


def test_settings_are_chosen_on_a_sample_of_many_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose_settings, "MOST_USERS", 3)
    ranked = []

    class Counted(Popularity):
        def few_scores(self, histories: ItemSequences) -> FewScores:
            ranked.append(len(histories))
            return super().few_scores(histories)

    users = split_of([[0]] * 9, [1] * 9)
    choice = best_on_validation([("only", Counted(np.array([2, 1])))], 1, users, "popularity")
    assert choice.tried == (("only", 1.0),)
    assert ranked[-1] == 3


def test_the_first_of_equal_candidates_is_chosen() -> None:
    training, validation = ItemSequences.from_lists([[0, 1]]), split_of([[0]], [1])
    grid = (EaseSettings(5.0, 0.9), EaseSettings(1.0, 0.9))
    assert choose_ease(training, 2, validation, grid=grid).settings == grid[0]


def test_choosing_from_an_empty_grid_is_refused() -> None:
    with pytest.raises(TrainingError, match="no settings"):
        best_on_validation([], 0, split_of([[0]], [1]), "ease")


def measured(scorer: ItemScorer, split: EvaluationSplit) -> list[float]:
    """R@10 and N@10 allowed, then masked."""
    ranks: list[list[np.ndarray]] = [[], []]
    for start in range(0, len(split.targets), 512):
        users = np.arange(start, min(start + 512, len(split.targets)))
        histories = split.histories.select(users)
        both = ranks_by_scores(scorer.scores(histories), split.targets[users], histories)
        for mode, of_mode in zip(ranks, both, strict=True):
            mode.append(of_mode)
    return [float(metric(np.concatenate(mode), 10).mean()) for mode in ranks for metric in (recall_at, ndcg_at)]


def is_here(folder: Path) -> bool:
    """Skip the test unless the benchmark's data lie beside the checkout."""
    if not folder.is_dir():
        print(f"no data at {folder}: the protocol's figures were NOT compared")
    return folder.is_dir()


@pytest.mark.parametrize(
    ("folder", "shrinkage", "figures"),
    [
        (INSTRUMENTS, 10.0, [0.1175, 0.0893, 0.1207, 0.0994]),
        (MOVIELENS, 1.0, [0.1174, 0.0659, 0.1354, 0.0767]),
    ],
    ids=["instruments", "movielens"],
)
def test_markov_reaches_the_protocols_figures_on_real_data(
    folder: Path, shrinkage: float, figures: list[float]
) -> None:
    if is_here(folder):
        dataset = load_dataset(folder)
        markov = fit_markov(training_sequences(dataset), len(dataset.items), MarkovSettings(3, shrinkage, 1.0))
        assert measured(markov, test_split(dataset)) == pytest.approx(figures, abs=1e-3)


def test_ease_reaches_the_protocols_figures_on_real_data() -> None:
    if is_here(INSTRUMENTS):
        dataset = load_dataset(INSTRUMENTS)
        ease = fit_ease(training_sequences(dataset), len(dataset.items), EaseSettings(100.0, 0.9))
        figures = [0.1390, 0.1021, 0.1521, 0.1197]
        assert measured(ease, test_split(dataset)) == pytest.approx(figures, abs=1e-3)


def weighted(sequences: list[list[tuple[int, float]]]) -> ItemSequences:
    """Sequences of item and weight."""
    plain = ItemSequences.from_lists([[item for item, _ in sequence] for sequence in sequences])
    return ItemSequences(plain.items, plain.offsets, np.float32([one for each in sequences for _, one in each]))


@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 5), st.sampled_from([0.25, 0.5, 1.0])), max_size=14), min_size=1, max_size=8
    )
)
def test_weighted_counts_agree_with_counting_one_by_one(sequences: list[list[tuple[int, float]]]) -> None:
    training = weighted(sequences)
    popularity, followers, neighbours = np.zeros(6), np.zeros((6, 6)), np.zeros((6, 6))
    together, users = np.zeros((6, 6)), np.zeros(6)
    for sequence in sequences:
        heaviest = np.zeros(6)
        for place, (item, weight) in enumerate(sequence):
            popularity[item] += weight
            heaviest[item] = max(heaviest[item], weight)
            for distance, (later, other) in enumerate(sequence[place + 1 : place + 11], 1):
                followers[item, later] += weight * other / distance
                if item != later and distance <= 3:
                    neighbours[item, later] += weight * other / distance
        together += np.outer(heaviest, heaviest)
        users += heaviest
    assert count_popularity(training, 6) == pytest.approx(popularity)
    assert count_followers(training, 6).toarray() == pytest.approx(followers)
    assert neighbour_counts(training, 6, 3).toarray() == pytest.approx(neighbours + neighbours.T)
    assert count_together(training, 6).toarray() == pytest.approx(together)
    assert user_popularity(training, 6, training, None, TODAY) == pytest.approx(users)


def test_events_that_are_not_read_count_for_popularity_unless_held_out() -> None:
    whole, training = ItemSequences.from_lists([[0, 1], [2]]), ItemSequences.from_lists([[0], [2]])
    days = np.float32([TODAY, TODAY, TODAY])
    # User 0 wishes for an item of his, for the held-out one and for another; a user without a sequence for 2.
    wishes = weighted([[(0, 0.5), (1, 0.5), (3, 0.5)], [], [(2, 0.5)]])
    unread = UnreadEvents(wishes, np.float32([TODAY, TODAY, TODAY - HALF_LIFE_DAYS, TODAY]))
    assert user_popularity(training, 4, whole, days, TODAY, unread).tolist() == [1, 0, 1.5, 0.25]


TODAY = 20_000.0


def test_one_visitor_counts_as_one_user_for_any_number_of_views() -> None:
    sequences = ItemSequences.from_lists([[0] * 500, [1, 2], [1], [1, 1, 2]])
    assert user_popularity(sequences, 4, sequences, None, TODAY).tolist() == [1, 3, 2, 0]


def test_a_user_counts_half_a_half_life_later() -> None:
    whole = ItemSequences.from_lists([[0, 0, 1], [0, 2]])
    days = np.float32([0, TODAY - HALF_LIFE_DAYS, TODAY - 2 * HALF_LIFE_DAYS, TODAY, TODAY])
    assert user_popularity(whole, 3, whole, days, TODAY).tolist() == [1.5, 0.25, 1]
    # Items that are held out count nothing, and the newest time stays the scale.
    training = ItemSequences.from_lists([[0, 0, 1], [0]])
    assert user_popularity(training, 3, whole, days, TODAY).tolist() == [1.5, 0.25, 0]


def test_an_event_years_ahead_makes_no_other_event_old() -> None:
    whole = ItemSequences.from_lists([[0], [1], [2]])
    days = np.float32([TODAY - 1, TODAY - 1, TODAY + 3 * 365])
    assert user_popularity(whole, 3, whole, days, TODAY).tolist() == [1, 1, 1]
    assert user_popularity(whole, 3, whole, days + 9999, TODAY).max() == 1


@given(
    st.lists(st.lists(st.tuples(st.integers(0, 4), st.integers(19_000, 20_500)), max_size=6), min_size=1, max_size=6)
)
def test_user_popularity_agrees_with_counting_one_by_one(logs: list[list[tuple[int, int]]]) -> None:
    logs = [sorted(log, key=lambda event: event[1]) for log in logs]
    whole = ItemSequences.from_lists([[item for item, _ in log] for log in logs])
    days = np.float32([day for log in logs for _, day in log])
    past = [day for log in logs for _, day in log if day <= TODAY] or [day for log in logs for _, day in log]
    expected = np.zeros(5)
    for log in logs:
        for item, day in dict(log).items():
            expected[item] += 0.5 ** (max(max(past) - day, 0) / HALF_LIFE_DAYS)
    if len(days):
        np.testing.assert_allclose(user_popularity(whole, 5, whole, days, TODAY), expected, rtol=1e-6)


@given(st.lists(st.lists(st.integers(0, 9), max_size=6), max_size=12), st.integers(1, 10))
def test_pair_counts_are_symmetric_and_keep_the_strongest_pairs_of_every_item(
    histories: list[list[int]], pairs_per_item: int
) -> None:
    counts = pair_counts(ItemSequences.from_lists(histories), 10, pairs_per_item).toarray()
    plainly = np.zeros((10, 10))
    for history in histories:
        for one in set(history):
            for other in set(history) - {one}:
                plainly[one, other] += 1
    assert np.array_equal(counts, counts.T)
    assert np.all((counts == plainly) | (counts == 0))
    num_partners = (plainly > 0).sum(axis=1)
    assert np.all((counts > 0).sum(axis=1) >= np.minimum(num_partners, pairs_per_item))


@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 9), st.sampled_from([0.25, 0.5, 1.0])), max_size=8), min_size=1, max_size=12
    ),
    st.integers(1, 6),
    st.sampled_from([1, 20, 8_000_000]),
)
def test_pair_counts_are_those_of_a_slow_reading_of_the_definition(
    sequences: list[list[tuple[int, float]]], pairs_per_item: int, most_entries: int
) -> None:
    has = np.zeros((len(sequences), 10), np.float32)
    for user, sequence in enumerate(sequences):
        for item, weight in sequence:
            has[user, item] = max(has[user, item], weight)
    together, users = has.T @ has, (has**2).sum(axis=0)
    expected = np.zeros((10, 10))
    for item in range(10):
        others = [other for other in range(10) if other != item and together[item, other] > 0]
        strength = {other: together[item, other] / np.sqrt(users[item] * users[other]) for other in others}
        for other in sorted(others, key=lambda other: (-strength[other], other))[:pairs_per_item]:
            expected[item, other] = expected[other, item] = together[item, other]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(strongest_entries, "MOST_ENTRIES", most_entries)
        assert np.array_equal(pair_counts(weighted(sequences), 10, pairs_per_item).toarray(), expected)


def test_a_rare_item_keeps_its_link_with_a_bestseller() -> None:
    histories = [[0, other] for other in (1, 1, 1, 2, 2, 3)] + [[4, 5]]
    counts = pair_counts(ItemSequences.from_lists(histories), 6, pairs_per_item=1).toarray()
    assert counts[0].tolist() == [0, 3, 2, 1, 0, 0]


def counted_together(num_items: int) -> np.ndarray:
    has = (np.random.default_rng(0).random((4 * num_items, num_items)) < 0.05).astype(np.float32)
    return has.T @ has


@pytest.mark.parametrize("num_items", [1, 7, ROWS_AT_ONCE, 2 * ROWS_AT_ONCE + 5])
def test_ease_weights_match_the_slow_inverse_in_double_precision(num_items: int) -> None:
    together = counted_together(num_items)
    inverse = np.linalg.inv(together.astype(np.float64) + 100.0 * np.eye(num_items))
    expected = -inverse / np.diag(inverse)
    np.fill_diagonal(expected, 0.0)
    before = together.copy()
    np.testing.assert_allclose(ease_weights(together, 100.0), expected, atol=1e-6)
    np.testing.assert_array_equal(together, before)


def test_ease_weights_are_found_where_rounding_leaves_no_positive_definite_matrix() -> None:
    together = np.array([[0.0, 5.0], [5.0, 0.0]], dtype=np.float32)
    inverse = np.linalg.inv(together.astype(np.float64) + np.eye(2))
    np.testing.assert_allclose(ease_weights(together, 1.0), -inverse / np.diag(inverse) * (1 - np.eye(2)), rtol=1e-5)


def test_ease_weights_are_found_where_heavy_events_leave_nothing_of_the_regularization() -> None:
    # Two items that the same users have, by events of a great weight: 2**34 + 100 is 2**34 in float32.
    together = np.full((2, 2), 2.0**34, dtype=np.float32)
    inverse = np.linalg.inv(together.astype(np.float64) + 100.0 * np.eye(2))
    expected = -inverse / np.diag(inverse) * (1 - np.eye(2))
    np.testing.assert_allclose(ease_weights(together, 100.0), expected, rtol=1e-5)


def test_the_strongest_weights_are_those_of_each_row_alone() -> None:
    weights = np.random.default_rng(1).standard_normal((2 * ROWS_AT_ONCE + 3, 40)).astype(np.float32)
    kept = strongest(weights, 5).toarray()
    for row, of_row in enumerate(weights):
        best = np.argsort(-of_row)[:5]
        expected = np.zeros(40, dtype=np.float32)
        expected[best] = np.maximum(of_row[best], 0.0)
        np.testing.assert_array_equal(kept[row], expected)
