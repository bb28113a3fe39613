"""Items that a user was shown in vain, in every kind of database."""

import random
from dataclasses import replace

import pytest
from sqlalchemy import event as hooks
from sqlalchemy import text

from clairo_core.events import Condition, EventType, InteractionRules
from service.store.database import Database
from service.store.feedback import FeedbackStore
from service.store.feedback_event import FeedbackEvent

UNDECLARED = InteractionRules()
DECLARED = InteractionRules(
    types={
        "view": EventType(is_read=False),
        "loved": EventType(when=Condition.parse("rating >= 4")),
        "shown": EventType(meaning="impression"),
        "noticed": EventType(meaning="impression", when=Condition.parse("rating < 1")),
        "search": EventType(meaning="ignored"),
        "return": EventType(meaning="negative"),
    }
)
TYPES = ("impression", "impression", "view", "dislike", "return", "shown", "search", "teleport", "rating", "rating")


def events(*actions: tuple[str, str, float], user_id: str = "ann") -> list[FeedbackEvent]:
    """Events of (type, item_id, timestamp)."""
    return [
        FeedbackEvent(f"{user_id}-{number}", user_id, item_id, kind, timestamp)
        for number, (kind, item_id, timestamp) in enumerate(actions)
    ]


def slow_tired_items(
    stored: list[FeedbackEvent], num_impressions: int, since: float, rules: InteractionRules
) -> set[str]:
    """The same, item by item."""

    def meaning(event: FeedbackEvent) -> str:
        name = rules.type_of(event.type, event.value)
        return "ignored" if name is None else rules.of(name).meaning

    tired = set()
    for item_id in {event.item_id for event in stored}:
        of_item = [event for event in stored if event.item_id == item_id]
        actions = [event.timestamp for event in of_item if meaning(event) in ("positive", "negative")]
        acted = max(actions, default=float("-inf"))
        shown = [event for event in of_item if meaning(event) == "impression" and event.timestamp >= since]
        if sum(event.timestamp > acted for event in shown) >= num_impressions:
            tired.add(item_id)
    return tired


@pytest.mark.parametrize(
    ("actions", "is_tired"),
    [
        ([("impression", 1), ("impression", 2)], False),
        ([("impression", 1), ("impression", 2), ("impression", 3)], True),
        ([("impression", 1), ("view", 1.5), ("impression", 2), ("impression", 3)], False),
        ([("view", 0.5), ("impression", 1), ("impression", 2), ("impression", 3)], True),
        ([("impression", 1), ("impression", 2), ("impression", 3), ("view", 3)], False),
        ([("impression", -1), ("impression", 2), ("impression", 3)], False),
        ([("view", -1), ("impression", 0), ("impression", 2), ("impression", 3)], True),
    ],
)
async def test_an_item_tires_once_it_was_shown_thrice_since_the_last_action(
    feedback: FeedbackStore, actions: list[tuple[str, float]], is_tired: bool
) -> None:
    await feedback.add_events(events(*((kind, "mug", timestamp) for kind, timestamp in actions)))
    await feedback.add_events(events(*(("impression", "cup", number) for number in range(9)), user_id="bob"))
    await feedback.add_events(events(("view", "mug", 9), user_id="bob"))
    assert await feedback.tired_items("ann", 3, 0) == ({"mug"} if is_tired else set())
    assert await feedback.tired_items("nobody", 1, 0) == set()
    assert await feedback.tired_items("\x00", 1, 0) == set()


async def test_drawn_logs_give_the_items_of_the_slow_reference(feedback: FeedbackStore) -> None:
    draw = random.Random(7)
    for number in range(10):
        user_id = f"user-{number}"
        stored = events(
            *((draw.choice(TYPES), f"item-{draw.randrange(6)}", draw.randrange(20)) for _ in range(number * 6)),
            user_id=user_id,
        )
        stored = [replace(event, value=draw.choice((None, 0.0, 2.0, 5.0))) for event in stored]
        await feedback.add_events(stored)
        for num_impressions in (1, 2, 4):
            for since in (0, 7):
                for rules in (UNDECLARED, DECLARED):
                    expected = slow_tired_items(stored, num_impressions, since, rules)
                    assert await feedback.tired_items(user_id, num_impressions, since, rules) == expected


@pytest.mark.parametrize("kind", ["search", "teleport"])
async def test_an_event_that_counts_for_nothing_brings_no_item_back(feedback: FeedbackStore, kind: str) -> None:
    await feedback.add_events(events(("shown", "mug", 1), ("shown", "mug", 2), (kind, "mug", 3)))
    assert await feedback.tired_items("ann", 2, 0, DECLARED) == {"mug"}


async def test_an_impression_is_read_by_its_condition(feedback: FeedbackStore) -> None:
    values = {"mug": 0.0, "cup": 2.0}
    sent = events(*(("rating", item_id, at) for at in (1, 2) for item_id in values))
    await feedback.add_events([replace(event, value=values[event.item_id]) for event in sent])
    assert await feedback.tired_items("ann", 2, 0, DECLARED) == {"mug"}


async def test_the_query_reads_the_users_events_by_an_index(database: Database, feedback: FeedbackStore) -> None:
    for user in range(40):
        await feedback.add_events(events(*(("impression", f"item-{n}", n) for n in range(50)), user_id=f"user-{user}"))
    asked: list[tuple[str, object]] = []

    def remember(_connection: object, _cursor: object, statement: str, parameters: object, *_further: object) -> None:
        asked.append((statement, parameters))

    engine = database._engine.sync_engine
    hooks.listen(engine, "before_cursor_execute", remember)
    assert len(await feedback.tired_items("user-7", 1, 40)) == 10
    hooks.remove(engine, "before_cursor_execute", remember)
    statement, parameters = asked[-1]
    explain = "EXPLAIN QUERY PLAN " if not database.is_postgres else "EXPLAIN "
    async with database.transaction() as connection:
        if database.is_postgres:
            # The table is small: a plan of a large one.
            await connection.execute(text("ANALYZE feedback_events"))
            await connection.execute(text("SET LOCAL enable_seqscan = off"))
        rows = (await connection.exec_driver_sql(explain + statement, parameters)).all()
    plan = " ".join(str(column) for row in rows for column in row)
    assert plan.count("ix_feedback_events_user") == 2, plan
    assert "SCAN feedback_events" not in plan
    assert "Seq Scan" not in plan
