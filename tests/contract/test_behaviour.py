"""What all users did, read from every kind of database: against the same counted event by event."""

import random
import statistics
from itertools import pairwise

import pytest

from clairo_core.events import Condition, EventType, InteractionRules
from service.store.behaviour import MAX_EARLIER_EVENTS, MIN_INTERVAL_SECONDS, MIN_INTERVALS, BehaviourStore, ItemUsers
from service.store.database import Database
from service.store.feedback import FeedbackStore
from service.store.feedback_event import FeedbackEvent

NO_RULES = InteractionRules()
SHOP = InteractionRules(
    types={
        "purchase": EventType(weight=3.0),
        "view": EventType(weight=0.5),
        "click": EventType(is_read=False),
        "return": EventType(meaning="negative"),
        "loved": EventType(when=Condition.parse("rating >= 4")),
    },
    targets=("purchase",),
)
DAY = 24 * 3600.0


def drawn_events(number: int, seed: int = 0) -> list[FeedbackEvent]:
    draw = random.Random(seed)
    types = ("purchase", "view", "click", "return", "impression", "dislike", "unknown")
    return [
        FeedbackEvent(
            event_id=str(place),
            user_id=draw.choice("abcdef"),
            item_id=draw.choice(("mug", "tea", "lamp")),
            type=draw.choice(types),
            timestamp=draw.randrange(100) * DAY / 2,
            value=draw.choice((None, 1.0, 5.0)),
        )
        for place in range(number)
    ]


@pytest.mark.parametrize("rules", [NO_RULES, SHOP], ids=["no rules", "a shop"])
async def test_users_of_a_window_are_those_counted_event_by_event(database: Database, rules: InteractionRules) -> None:
    events = drawn_events(400)
    await FeedbackStore(database).add_events(events)
    since, until = 10 * DAY, 30 * DAY
    heaviest: dict[str, dict[str, float]] = {}
    for event in events:
        name = rules.type_of(event.type, event.value)
        if name is not None and rules.of(name).meaning == "positive" and since < event.timestamp <= until:
            of_item = heaviest.setdefault(event.item_id, {})
            of_item[event.user_id] = max(rules.of(name).weight, of_item.get(event.user_id, 0.0))
    expected = {item_id: ItemUsers(len(of_item), sum(of_item.values())) for item_id, of_item in heaviest.items()}
    assert await BehaviourStore(database).users_within(since, until, rules) == expected


@pytest.mark.parametrize("rules", [NO_RULES, SHOP], ids=["no rules", "a shop"])
async def test_intervals_are_the_medians_of_all_users_repeat_purchases(
    database: Database, rules: InteractionRules
) -> None:
    events = drawn_events(400)
    await FeedbackStore(database).add_events(events)
    times: dict[tuple[str, str], list[float]] = {}
    for event in events:
        if rules.type_of(event.type, event.value) == "purchase":
            times.setdefault((event.item_id, event.user_id), []).append(event.timestamp)
    gaps: dict[str, list[float]] = {}
    for (item_id, _), of_user in times.items():
        long = [later - earlier for earlier, later in pairwise(sorted(of_user))]
        gaps.setdefault(item_id, []).extend(gap for gap in long if gap >= MIN_INTERVAL_SECONDS)
    for user_id in "abcdefg":
        found = await BehaviourStore(database).repeated_items(user_id, rules)
        expected = {
            item_id: (max(of_user), statistics.median(gaps[item_id]), len(gaps[item_id]))
            for (item_id, owner), of_user in times.items()
            if owner == user_id and len(gaps[item_id]) >= MIN_INTERVALS
        }
        assert {
            one.item_id: (one.last_bought_at, pytest.approx(one.interval_seconds), one.num_intervals) for one in found
        } == expected


async def test_purchases_of_one_day_are_one_purchase(database: Database) -> None:
    hours = [0, 1, 240, 241, 480, 720]
    events = [FeedbackEvent(f"e{hour}", "ann", "tea", "purchase", hour * 3600.0) for hour in hours]
    await FeedbackStore(database).add_events(events)
    (found,) = await BehaviourStore(database).repeated_items("ann", NO_RULES)
    assert (found.num_intervals, found.interval_seconds) == (3, 239 * 3600.0)


async def test_new_events_are_read_in_pages_without_those_of_training(database: Database) -> None:
    events = drawn_events(50)
    await FeedbackStore(database).add_events(events)
    store, since = BehaviourStore(database), 20 * DAY
    sequence, read = await store.sequence_before(since), []
    while (page := await store.events_after(sequence, since, 7)).events:
        read += [kept.event for kept in page.events]
        sequence = page.up_to
    assert read == [event for event in events if event.timestamp > since]


async def test_events_of_training_that_arrive_late_are_looked_at_once(database: Database) -> None:
    store, feedback = BehaviourStore(database), FeedbackStore(database)
    assert await store.sequence_before(0.0) == 0
    await feedback.add_events(drawn_events(5))
    end = await store.sequence_before(1e9)
    page = await store.events_after(0, 1e9, 10)
    assert (page.events, page.up_to) == ([], end)
    assert await store.events_after(end, 1e9, 10) == page
    await feedback.add_events([FeedbackEvent("new", "ann", "mug", "view", 2e9)])
    (kept,) = (await store.events_after(end, 1e9, 10)).events
    assert kept.event.event_id == "new"


async def test_earlier_events_are_each_users_newest_in_order(database: Database) -> None:
    many = [
        FeedbackEvent(f"{user}-{place}", user, f"item-{place}", "view", float(place))
        for place in range(MAX_EARLIER_EVENTS + 20)
        for user in ("ann", "bob")
    ]
    await FeedbackStore(database).load_events(many)
    store = BehaviourStore(database)
    newest = await store.sequence_before(1e9)
    found = await store.events_up_to(newest - 2, {"ann", "eve"})
    assert len(found) == MAX_EARLIER_EVENTS
    assert [kept.sequence for kept in found] == sorted(kept.sequence for kept in found)
    assert {kept.event.user_id for kept in found} == {"ann"}
    assert found[-1].event.item_id == f"item-{MAX_EARLIER_EVENTS + 18}"


async def test_a_user_id_that_no_event_can_have_has_bought_nothing(database: Database) -> None:
    assert await BehaviourStore(database).repeated_items("a\x00b", NO_RULES) == []
