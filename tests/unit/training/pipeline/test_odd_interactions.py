"""Warnings before training: a user who is most of the data, clocks that run ahead; popularity by users."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from clairo_core.events import EventType, InteractionRules
from clairo_core.items import Item
from clairo_core.progress import silent
from clairo_core.sequences import ItemSequences
from training.config.preset import Preset
from training.counts.markov import count_followers
from training.datasets.dataset import TimeCuts, build_dataset
from training.datasets.user_sequences import EventCounts, UnreadEvents
from training.pipeline.odd_interactions import popular_by_users, report_events, warn_of_odd_interactions
from training.ranking.fit_repeat_lifts import repeat_share
from training.workbench.stage_cache import StageCache
from training.workbench.workbench import Workbench

TODAY = time.time() / 86_400


def bench_of(lists: list[list[int]], lines: list[str], days: np.ndarray | None = None) -> Workbench:
    items = tuple(Item(item_id=f"item-{row}") for row in range(10))
    users = ("bot", *(f"user-{number}" for number in range(1, len(lists))))
    dataset = build_dataset("made up", items, users, ItemSequences.from_lists(lists), days=days)
    stages = StageCache(Path("never-written"))
    return Workbench(dataset, Preset("made up"), 0, torch.device("cpu"), stages, silent, lines.append)


def ordinary(num_users: int) -> list[list[int]]:
    return [[2, 3, 4, 5] for _ in range(num_users)]


def test_a_user_with_most_of_the_interactions_is_named() -> None:
    lines: list[str] = []
    warn_of_odd_interactions(bench_of([[0, 1] * 20_000, *ordinary(100)], lines))
    assert lines == [
        "warning: user 'bot' has 99% of all 40,400 interactions, the median user 4; "
        "if it is a robot, leave it out of the data"
    ]


def test_events_are_reported_by_type_and_role() -> None:
    lines: list[str] = []
    bench = bench_of(ordinary(2), lines)
    report_events(bench)
    assert lines == []
    rules = InteractionRules(
        types={
            "purchase": EventType(),
            "view": EventType(weight=0.25),
            "wish": EventType(is_read=False),
            "return": EventType(meaning="negative"),
        },
        targets=("purchase",),
    )
    counts = EventCounts({"purchase": 1200, "view": 30_000, "wish": 5, "return": 3, "impression": 9}, 17, 800, 2)
    report_events(replace(bench, dataset=replace(bench.dataset, rules=rules, event_counts=counts)))
    assert lines == [
        "events read: 1,200 purchase (target, weight 1), 30,000 view (weight 0.25)",
        "other events: 5 wish (popularity alone), 3 return (dislike), 9 impression (not learned), "
        "17 that no condition fits (ignored), 800 left out as steps to a target, "
        "2 left out as the user dislikes the item",
    ]


def test_few_users_of_usual_length_and_no_users_are_no_reason_to_warn() -> None:
    lines: list[str] = []
    for lists in ([[0, 1, 2]], [[0] * 30, [1] * 40, [2] * 50], ordinary(100), [[0] * 60, *ordinary(100)]):
        warn_of_odd_interactions(bench_of(lists, lines))
    assert lines == []


def test_interactions_ahead_of_the_clock_are_counted_and_dated() -> None:
    lines: list[str] = []
    days = np.float32([TODAY - 3, TODAY - 2, TODAY, 30_000, 40_000, TODAY + 0.02])
    warn_of_odd_interactions(bench_of([[0, 1, 2], [3, 4, 5]], lines, days))
    (line,) = lines
    assert line.startswith(
        "warning: 2 interactions dated more than an hour ahead, the first of user 'user-1' on 2052-02-20"
    )


def test_counts_of_all_kinds_read_a_bots_newest_items_only() -> None:
    bench = bench_of([[0, 1] * 20_000, *ordinary(100)], [])
    assert bench.crowd.lengths.tolist() == [100, *[2] * 100]
    assert count_followers(bench.crowd, 10)[0, 1] < 600
    assert repeat_share(bench.crowd) < 0.5 < repeat_share(bench.training)
    assert set(bench.crowd.items.tolist()) == set(bench.training.items.tolist())
    usual = bench_of(ordinary(100), [])
    assert usual.crowd is usual.training


def test_nothing_after_the_cut_dates_or_adds_to_the_popular_list() -> None:
    def popularity(
        sequences: list[list[int]], days: list[float], view_days: list[float]
    ) -> tuple[list[float], Workbench]:
        bench = bench_of(sequences, [], np.float32(days))
        views = UnreadEvents(ItemSequences.from_lists([[5], [5]]), np.float32(view_days))
        bench = replace(bench, dataset=replace(bench.dataset, cuts=TimeCuts(100, 110), unread=views))
        return popular_by_users(bench).tolist(), bench

    ends, _ = popularity([[0, 1], [2]], [9, 10, 99], [1, 1])
    goes_on, bench = popularity([[0, 1, 0], [2, 3]], [9, 10, 120, 99, 120], [1, 120])
    assert ends[:5] == goes_on[:5]
    assert (ends[5], goes_on[5]) == (pytest.approx(2 * 0.5 ** (98 / 90)), pytest.approx(0.5 ** (98 / 90)))
    refitted = popular_by_users(bench.learning_from(bench.dataset.sequences))
    assert refitted[[0, 3]].tolist() == [1.0, 1.0]
    assert refitted[5] > 1.0


def test_views_of_one_visitor_top_nobodys_popular_list() -> None:
    bench = bench_of([[0, 1] * 250, *ordinary(20)], [])
    popularity = popular_by_users(bench)
    assert popularity[[0, 1]].tolist() == [1, 1]
    assert popularity[[2, 3]].tolist() == [20, 20]
    assert bench.training_counts[0] == 249
