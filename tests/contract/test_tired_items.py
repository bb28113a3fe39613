"""Items that a user was shown in vain, in every kind of database."""

import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import event as hooks
from sqlalchemy import text

from service.store.database import Database
from service.store.feedback import FeedbackEvent, FeedbackStore
from tests.postgres_server import PostgresServer

SHOWN = ("impression",)
TYPES = ("impression", "impression", "impression", "view", "dislike", "shown")


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    location: Path | str = tmp_path / "clairo.db"
    if request.param == "postgresql":
        postgres: PostgresServer = request.getfixturevalue("postgres")
        location = postgres.new_database()
    database = Database(location)
    await database.open()
    yield database
    await database.close()


@pytest.fixture
def feedback(database: Database) -> FeedbackStore:
    return FeedbackStore(database)


def events(*actions: tuple[str, str, float], user_id: str = "ann") -> list[FeedbackEvent]:
    """Events of (type, item_id, timestamp)."""
    return [
        FeedbackEvent(f"{user_id}-{number}", user_id, item_id, kind, timestamp)
        for number, (kind, item_id, timestamp) in enumerate(actions)
    ]


def slow_tired_items(
    stored: list[FeedbackEvent], num_impressions: int, since: float, impressions: tuple[str, ...]
) -> set[str]:
    """The same, item by item."""
    tired = set()
    for item_id in {event.item_id for event in stored}:
        of_item = [event for event in stored if event.item_id == item_id]
        acted = max((event.timestamp for event in of_item if event.type not in impressions), default=float("-inf"))
        shown = [event for event in of_item if event.type in impressions and event.timestamp >= since]
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
    assert await feedback.tired_items("ann", 3, 0, SHOWN) == ({"mug"} if is_tired else set())
    assert await feedback.tired_items("nobody", 1, 0, SHOWN) == set()
    assert await feedback.tired_items("\x00", 1, 0, SHOWN) == set()


async def test_drawn_logs_give_the_items_of_the_slow_reference(feedback: FeedbackStore) -> None:
    draw = random.Random(7)
    for number in range(10):
        user_id = f"user-{number}"
        stored = events(
            *((draw.choice(TYPES), f"item-{draw.randrange(6)}", draw.randrange(20)) for _ in range(number * 6)),
            user_id=user_id,
        )
        await feedback.add_events(stored)
        for num_impressions in (1, 2, 4):
            for since in (0, 7):
                for impressions in (SHOWN, ("shown", "impression")):
                    expected = slow_tired_items(stored, num_impressions, since, impressions)
                    assert await feedback.tired_items(user_id, num_impressions, since, impressions) == expected


async def test_the_query_reads_the_users_events_by_an_index(database: Database, feedback: FeedbackStore) -> None:
    for user in range(40):
        await feedback.add_events(events(*(("impression", f"item-{n}", n) for n in range(50)), user_id=f"user-{user}"))
    asked: list[tuple[str, object]] = []

    def remember(_connection: object, _cursor: object, statement: str, parameters: object, *_further: object) -> None:
        asked.append((statement, parameters))

    engine = database._engine.sync_engine
    hooks.listen(engine, "before_cursor_execute", remember)
    assert len(await feedback.tired_items("user-7", 1, 40, SHOWN)) == 10
    hooks.remove(engine, "before_cursor_execute", remember)
    statement, parameters = asked[-1]
    explain = "EXPLAIN QUERY PLAN " if not database.is_postgres else "EXPLAIN "
    async with database.transaction() as connection:
        if database.is_postgres:
            # The table is small: a plan of a large one.
            await connection.execute(text("SET LOCAL enable_seqscan = off"))
        rows = (await connection.exec_driver_sql(explain + statement, parameters)).all()
    plan = " ".join(str(column) for row in rows for column in row)
    assert plan.count("ix_feedback_events_user") == 2, plan
    assert "SCAN feedback_events" not in plan
    assert "Seq Scan" not in plan
