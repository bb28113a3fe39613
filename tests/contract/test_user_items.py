"""A user's history, all older items and dislikes, in every kind of database."""

import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service.store.database import Database
from service.store.feedback import FeedbackEvent, FeedbackStore, UserItems
from tests.postgres_server import PostgresServer

TYPES = ("view", "click", "like", "purchase", "dislike", "impression")


@pytest.fixture(params=["sqlite", "postgresql"])
async def feedback(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[FeedbackStore]:
    location: Path | str = tmp_path / "clairo.db"
    if request.param == "postgresql":
        postgres: PostgresServer = request.getfixturevalue("postgres")
        location = postgres.new_database()
    database = Database(location)
    await database.open()
    yield FeedbackStore(database)
    await database.close()


def events(*actions: tuple[str, str, float], user_id: str = "ann") -> list[FeedbackEvent]:
    """Events of (type, item_id, timestamp)."""
    return [
        FeedbackEvent(f"{user_id}-{number}", user_id, item_id, kind, timestamp)
        for number, (kind, item_id, timestamp) in enumerate(actions)
    ]


def slow_user_items(stored: list[FeedbackEvent], window: int) -> UserItems:
    """The same, event by event."""
    in_order = sorted(stored, key=lambda event: event.timestamp)
    disliked: set[str] = set()
    for event in in_order:
        if event.type == "dislike":
            disliked.add(event.item_id)
        elif event.type in ("like", "purchase"):
            disliked.discard(event.item_id)
    history = [
        event.item_id
        for event in in_order
        if event.type not in ("impression", "dislike") and event.item_id not in disliked
    ]
    newest = tuple(history[-window:])
    return UserItems(newest, frozenset(history) - set(newest), frozenset(disliked))


async def test_an_unknown_user_has_no_items(feedback: FeedbackStore) -> None:
    assert await feedback.user_items("nobody") == UserItems()
    assert await feedback.user_items("\x00") == UserItems()


async def test_items_older_than_the_models_window_are_listed_once(feedback: FeedbackStore) -> None:
    await feedback.add_events(events(*(("view", f"item-{n % 40}", n) for n in range(100)), user_id="bob"))
    await feedback.add_events(events(("purchase", "first", 0), *(("view", "loop", n) for n in range(1, 50))))
    items = await feedback.user_items("ann", window=10)
    assert items.history == ("loop",) * 10
    assert items.older == {"first"}


@pytest.mark.parametrize(
    ("actions", "is_disliked"),
    [
        ([("click", "mug", 1), ("dislike", "mug", 2)], True),
        ([("dislike", "mug", 1), ("click", "mug", 2), ("view", "mug", 3), ("cart", "mug", 4)], True),
        ([("dislike", "mug", 1), ("like", "mug", 2)], False),
        ([("dislike", "mug", 1), ("purchase", "mug", 2)], False),
        ([("like", "mug", 1), ("dislike", "mug", 2)], True),
        ([("dislike", "mug", 1), ("like", "mug", 2), ("dislike", "mug", 3)], True),
        ([("dislike", "mug", 1), ("like", "cup", 2)], True),
        # At one time, the order of arrival decides.
        ([("dislike", "mug", 1), ("like", "mug", 1)], False),
        ([("like", "mug", 1), ("dislike", "mug", 1)], True),
    ],
)
async def test_a_dislike_holds_until_a_later_like_or_purchase(
    feedback: FeedbackStore, actions: list[tuple[str, str, float]], is_disliked: bool
) -> None:
    await feedback.add_events(events(*actions))
    await feedback.add_events(events(("like", "mug", 9), user_id="bob"))
    items = await feedback.user_items("ann")
    assert ("mug" in items.disliked) is is_disliked
    assert ("mug" in items.history) is not is_disliked
    assert (("ann", "mug") in await feedback.disliked_pairs(["ann", "bob"])) is is_disliked


async def test_drawn_logs_give_the_items_of_the_slow_reference(feedback: FeedbackStore) -> None:
    draw = random.Random(7)
    stored: dict[str, list[FeedbackEvent]] = {}
    for number in range(12):
        user_id = f"user-{number}"
        stored[user_id] = events(
            *((draw.choice(TYPES), f"item-{draw.randrange(8)}", draw.randrange(12)) for _ in range(number * 4)),
            user_id=user_id,
        )
        await feedback.add_events(stored[user_id])
    pairs = await feedback.disliked_pairs(list(stored))
    for user_id, of_user in stored.items():
        for window in (1, 5, 1000):
            assert await feedback.user_items(user_id, window) == slow_user_items(of_user, window), user_id
        assert {item for user, item in pairs if user == user_id} == slow_user_items(of_user, 1).disliked
