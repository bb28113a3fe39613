"""Splits by time: worked by hand, by law, and what they refuse."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clairo_core.errors import DatasetError
from clairo_core.sequences import ItemSequences
from tests.unit.training.evaluation.test_split import NUM_ITEMS, dataset_of, lists_of
from training.config.preset import TIME, SplitSettings
from training.datasets.dataset import Dataset, TimeCuts
from training.evaluation import split as splits
from training.evaluation.split_description import describe_split
from training.evaluation.time_cuts import find_cuts

FIRST_DAY = 20_000
Event = tuple[int, int]
"""A day and an item."""


def timed(lists: list[list[Event]], is_target: list[bool] | None = None) -> Dataset:
    dataset = dataset_of([[item for _, item in events] for events in lists])
    days = np.array([FIRST_DAY + day for events in lists for day, _ in events], dtype=np.float32)
    if is_target is not None:
        dataset = replace(dataset, sequences=replace(dataset.sequences, is_target=np.array(is_target)))
    return replace(dataset, days=days)


def cut(dataset: Dataset, validation: float, test: float) -> Dataset:
    return replace(dataset, cuts=TimeCuts(FIRST_DAY + validation, FIRST_DAY + test))


SHOP = [
    [(0, 0), (1, 1), (5, 2), (10, 3), (11, 0), (12, 3)],
    [(2, 4), (10, 5)],
    [(6, 1), (11, 2)],
    [(10, 2), (12, 4)],
    [(0, 2), (4, 2)],
]


def test_each_horizon_holds_out_all_that_users_with_a_history_do_in_it() -> None:
    dataset = cut(timed(SHOP), 5, 10)
    assert lists_of(splits.training_sequences(dataset)) == [[0, 1], [4], [], [], [2, 2]]
    assert lists_of(splits.sequences_before_test(dataset)) == [[0, 1, 2], [4], [1], [], [2, 2]]
    validation = splits.validation_split(dataset)
    assert (validation.user_rows.tolist(), lists_of(validation.histories)) == ([0], [[0, 1]])
    assert lists_of(validation.all_targets) == [[2]]
    test = splits.test_split(dataset)
    assert (test.user_rows.tolist(), lists_of(test.histories)) == ([0, 1, 2], [[0, 1, 2], [4], [1]])
    assert (lists_of(test.all_targets), test.targets.tolist()) == ([[3], [5], [2]], [3, 5, 2])
    allowed = splits.test_split(dataset, splits.ALLOWED)
    assert lists_of(allowed.all_targets) == [[3, 0], [5], [2]], "the repeat counts, and item 3 once"
    assert lists_of(test.of_users(np.array([2, 1])).all_targets) == [[2], [5]]
    assert not allowed.is_same_as(test)
    assert allowed.is_same_as(splits.test_split(dataset, splits.WEIGHED))


def test_a_table_says_the_cut_and_counts_cold_targets_and_users_without_a_history() -> None:
    dataset = cut(timed(SHOP), 5, 10)
    assert str(describe_split(dataset, "test")) == (
        "split by time, test from 2024-10-14 00:00 UTC: 4 targets, 2 of them items that training lacks; "
        "left out: 1 user without an earlier event"
    )
    assert describe_split(dataset, "validation").rule == (
        "split by time, validation from 2024-10-09 00:00 UTC to 2024-10-14 00:00 UTC"
    )
    assert str(describe_split(timed(SHOP), "test")) == "leave-last-out"


def test_only_target_events_are_targets_and_the_others_are_history() -> None:
    dataset = timed([[(0, 0), (1, 1), (6, 2), (7, 3)]], [False, True, False, True])
    test = splits.test_split(cut(dataset, 1, 6))
    assert (lists_of(test.histories), lists_of(test.all_targets)) == ([[0, 1]], [[3]])


def test_a_dislike_after_the_last_history_item_may_come_after_the_cut_and_is_left_out() -> None:
    dislikes = {"dislikes": ItemSequences.from_lists([[4, 5]]), "dislike_places": np.array([1, 2])}
    dataset = cut(replace(timed([[(0, 0), (1, 1), (6, 2)]]), **dislikes), 1, 6)
    assert lists_of(splits.test_split(dataset).disliked) == [[4]]


timed_shops = st.lists(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, NUM_ITEMS - 1)), min_size=1, max_size=8).map(sorted),
    min_size=1,
    max_size=6,
)


@settings(deadline=None)
@given(timed_shops, st.integers(0, 9), st.integers(1, 5))
def test_nothing_of_a_targets_time_or_later_is_in_a_history_or_learned(
    lists: list[list[Event]], first: int, length: int
) -> None:
    dataset, second = cut(timed(lists), first, first + length), first + length
    for split_of, learned, begin, end in (
        (splits.validation_split, splits.training_sequences(dataset), first, second),
        (splits.test_split, splits.sequences_before_test(dataset), second, 99),
    ):
        for user, events in enumerate(lists):
            assert learned[user].tolist() == [item for day, item in events if day < begin]
        for seen_items in splits.SEEN_ITEMS:
            split = split_of(dataset, seen_items)
            known = {}
            for user, events in enumerate(lists):
                history = [item for day, item in events if day < begin]
                targets = dict.fromkeys(item for day, item in events if begin <= day < end)
                if seen_items == splits.MASKED:
                    targets = [item for item in targets if item not in history]
                if history and targets:
                    known[user] = (history, list(targets))
            assert split.user_rows.tolist() == list(known)
            found = zip(lists_of(split.histories), lists_of(split.all_targets), strict=True)
            assert list(found) == list(known.values())
            assert split.targets.tolist() == [targets[0] for _, targets in known.values()]


def test_a_horizon_is_so_many_days_from_the_newest_event_that_is_not_ahead_of_the_clock() -> None:
    dataset = timed([[(0, 0), (20, 1), (9999, 2)]])
    cuts = find_cuts(dataset, SplitSettings(TIME, horizon_days=7), today=FIRST_DAY + 21)
    assert (cuts.validation, cuts.test) == (FIRST_DAY + 6, FIRST_DAY + 13)


def test_a_share_takes_all_events_of_the_moment_at_its_cut() -> None:
    dataset = timed([[(day // 2, day % NUM_ITEMS) for day in range(20)]])
    cuts = find_cuts(dataset, SplitSettings(TIME, horizon_share=0.25), today=FIRST_DAY + 99)
    assert (cuts.validation, cuts.test) == (FIRST_DAY + 5, FIRST_DAY + 7)
    split = splits.split_by(dataset, SplitSettings(TIME, horizon_share=0.25))
    assert len(splits.training_sequences(split).items) == 10
    assert len(splits.sequences_before_test(split).items) == 14


def test_a_split_by_time_has_its_own_fingerprint_and_leave_last_out_the_data_sets() -> None:
    dataset = timed([[(day, day % NUM_ITEMS) for day in range(20)]])
    assert splits.split_by(dataset, SplitSettings()) is dataset
    shares = [splits.split_by(dataset, SplitSettings(TIME, horizon_share=share)) for share in (0.1, 0.2)]
    assert len({dataset.fingerprint, *(split.fingerprint for split in shares)}) == 3
    later = splits.split_by(dataset, SplitSettings(TIME), test_from=FIRST_DAY + 19)
    assert lists_of(splits.test_split(later, splits.ALLOWED).all_targets) == [[1]]
    assert later.fingerprint != shares[0].fingerprint


def test_what_no_time_can_split_is_refused_by_name() -> None:
    by_time = SplitSettings(TIME)
    with pytest.raises(DatasetError, match=r"made up: split\.kind is time, but its interactions have no times"):
        splits.split_by(dataset_of([[0, 1, 2]]), by_time)
    with pytest.raises(DatasetError, match="both begin 2024-10-04 00:00 UTC"):
        splits.split_by(timed([[(0, item) for item in range(5)]]), by_time)
    with pytest.raises(DatasetError, match=r"data begin 2024-10-04 00:00 UTC and last 4 days: set a shorter"):
        splits.split_by(timed([[(day, day) for day in range(5)]]), SplitSettings(TIME, horizon_days=2.5))
