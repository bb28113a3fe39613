"""Lists of a window: order, filters, ties, and readings that are shared."""

import asyncio
from types import SimpleNamespace
from typing import Any

import numpy as np

from clairo_core.selection.popular_items import popular_items
from service.counts.windows import KeptReadings, latest_rows, popular_rows, trending_rows
from service.store.behaviour import ItemUsers

NUM_ITEMS = 5
CATALOGUE: Any = SimpleNamespace(find_row={f"item-{row}": row for row in range(NUM_ITEMS)}.get)
RECOMMENDER: Any = SimpleNamespace(catalogue=CATALOGUE, popular=popular_items(np.array([1, 2, 3, 4, 5]), NUM_ITEMS))
ALL = np.ones(NUM_ITEMS, dtype=np.bool_)


def users(**by_item: int) -> dict[str, ItemUsers]:
    return {name.replace("_", "-"): ItemUsers(number, float(number)) for name, number in by_item.items()}


def test_items_of_the_window_come_first_and_then_those_popular_over_all_time() -> None:
    found = popular_rows(users(item_0=2, item_2=7), RECOMMENDER, ALL, 4)
    assert found.rows.tolist() == [2, 0, 4, 3]
    assert found.num_users.tolist() == [7, 2, 0, 0]


def test_items_that_are_not_allowed_or_unknown_are_not_popular() -> None:
    is_allowed = ALL.copy()
    is_allowed[2] = False
    found = popular_rows(users(item_0=2, item_2=7, gone=9), RECOMMENDER, is_allowed, 10)
    assert found.rows.tolist() == [0, 4, 3, 1]


def test_a_heavier_type_of_event_beats_more_users() -> None:
    heavy = {"item-0": ItemUsers(2, 2.0), "item-1": ItemUsers(5, 1.0)}
    assert popular_rows(heavy, RECOMMENDER, ALL, 2).rows.tolist() == [0, 1]


def test_only_rising_items_trend_and_a_rise_of_few_may_beat_one_of_many() -> None:
    now = users(item_0=110, item_1=10, item_2=5, item_3=3)
    before = users(item_0=102, item_1=2, item_2=5, item_4=9)
    found = trending_rows(now, before, CATALOGUE, ALL, 10)
    assert found.rows.tolist() == [1, 3, 0]
    assert found.num_users.tolist() == [10, 3, 110]
    assert found.num_users_before.tolist() == [2, 0, 102]


def test_the_newest_item_is_the_latest() -> None:
    found = latest_rows({"item-1": 5.0, "item-3": 9.0, "item-2": 9.0, "gone": 11.0}, CATALOGUE, ALL, 2)
    assert found.rows.tolist() == [3, 2]
    assert found.posted_at.tolist() == [9.0, 9.0]


async def test_callers_at_once_and_soon_after_share_one_reading() -> None:
    readings: KeptReadings[int] = KeptReadings()
    num_read = 0

    async def read() -> int:
        nonlocal num_read
        num_read += 1
        await asyncio.sleep(0)
        return num_read

    assert await asyncio.gather(*(readings.current("7d", read) for _ in range(3))) == [1, 1, 1]
    assert await readings.current("7d", read) == 1
    assert await readings.current("8d", read) == 2


async def test_a_failed_reading_is_not_kept() -> None:
    readings: KeptReadings[int] = KeptReadings()

    async def fail() -> int:
        raise ValueError("the store is away")

    async def succeed() -> int:
        return 1

    outcomes = [await asyncio.gather(readings.current("7d", read), return_exceptions=True) for read in (fail, succeed)]
    assert isinstance(outcomes[0][0], ValueError)
    assert outcomes[1] == [1]
