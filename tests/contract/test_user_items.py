"""A user's history, all older items and dislikes, in every kind of database."""

import random
from dataclasses import replace

import pytest

from clairo_core.events import Condition, EventType, InteractionRules
from service.store.feedback import FeedbackStore, UserItems
from service.store.feedback_event import FeedbackEvent

TYPES = ("view", "click", "like", "purchase", "dislike", "impression")
NO_RULES = InteractionRules()
SHOP = InteractionRules(
    types={
        "purchase": EventType(),
        "view": EventType(weight=0.2),
        "click": EventType(is_read=False),
        "return": EventType(meaning="negative"),
        "impression": EventType(meaning="ignored"),
    },
    targets=("purchase",),
)
RATINGS = InteractionRules(
    types={
        "loved": EventType(when=Condition.parse("rating >= 4")),
        "hated": EventType(meaning="negative", when=Condition.parse("rating < 3")),
        "view": EventType(weight=0.2, when=Condition.parse("rating >= 1")),
        "click": EventType(),
    },
    targets=("loved",),
)
OF_RULES = {
    "no rules": NO_RULES,
    "targets without types": InteractionRules(targets=("purchase",)),
    "each item once": InteractionRules(repeats="drop"),
    "a shop": SHOP,
    "a shop, each item once": replace(SHOP, repeats="drop"),
    "a shop without targets": replace(SHOP, targets=()),
    "ratings": RATINGS,
}


def events(*actions: tuple[str, str, float], user_id: str = "ann") -> list[FeedbackEvent]:
    """Events of (type, item_id, timestamp)."""
    return [
        FeedbackEvent(f"{user_id}-{number}", user_id, item_id, kind, timestamp)
        for number, (kind, item_id, timestamp) in enumerate(actions)
    ]


def slow_user_items(stored: list[FeedbackEvent], window: int, rules: InteractionRules = NO_RULES) -> UserItems:
    """The same, event by event."""
    in_order = sorted(stored, key=lambda event: event.timestamp)
    named = [(event, rules.type_of(event.type, event.value)) for event in in_order]
    typed = [(event, name) for event, name in named if name is not None]
    disliked: set[str] = set()
    for event, name in typed:
        if rules.of(name).meaning == "negative":
            disliked.add(event.item_id)
        elif rules.lifts_dislike(name):
            disliked.discard(event.item_id)
    reached = {event.item_id for event, name in typed if name in rules.targets}
    history: list[FeedbackEvent] = []
    for event, name in typed:
        is_read = rules.of(name).meaning == "positive" and rules.of(name).is_read
        is_step = rules.repeats == "keep" and event.item_id in reached and name not in rules.targets
        is_repeat = any(
            kept.item_id == event.item_id and (rules.repeats == "drop" or kept.timestamp == event.timestamp)
            for kept in history
            if rules.repeats == "drop" or rules.types
        )
        if is_read and not is_step and not is_repeat and event.item_id not in disliked:
            history.append(event)
    item_ids = [event.item_id for event in history]
    newest = tuple(item_ids[-window:])
    return UserItems(newest, frozenset(item_ids) - set(newest), frozenset(disliked))


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


@pytest.mark.parametrize("rules", OF_RULES.values(), ids=OF_RULES)
async def test_drawn_logs_give_the_items_of_the_slow_reference(
    feedback: FeedbackStore, rules: InteractionRules
) -> None:
    draw = random.Random(7)
    types = (*TYPES, "return", "loved", "unheard of")
    stored: dict[str, list[FeedbackEvent]] = {}
    for number in range(12):
        user_id = f"user-{number}"
        drawn = events(
            *((draw.choice(types), f"item-{draw.randrange(8)}", draw.randrange(12)) for _ in range(number * 4)),
            user_id=user_id,
        )
        stored[user_id] = [replace(event, value=draw.choice([None, 0.5, 2.5, 3.5, 4.0, 5.0])) for event in drawn]
        await feedback.add_events(stored[user_id])
    for user_id, of_user in stored.items():
        for window in (1, 5, 1000):
            items = await feedback.user_items(user_id, window, rules)
            assert items == slow_user_items(of_user, window, rules), user_id


async def test_a_purchase_stands_for_the_views_that_led_to_it(feedback: FeedbackStore) -> None:
    await feedback.add_events(
        events(("view", "mug", 1), ("view", "cup", 2), ("purchase", "mug", 3), ("view", "mug", 4), ("click", "pot", 5))
    )
    assert (await feedback.user_items("ann", rules=SHOP)).history == ("cup", "mug")
    assert (await feedback.user_items("ann")).history == ("mug", "cup", "mug", "mug", "pot")
    once = replace(SHOP, repeats="drop")
    assert (await feedback.user_items("ann", rules=once)).history == ("mug", "cup")


async def test_a_return_takes_the_purchase_back_and_another_purchase_lifts_it(feedback: FeedbackStore) -> None:
    await feedback.add_events(events(("purchase", "mug", 1), ("return", "mug", 2), ("view", "mug", 3)))
    assert await feedback.user_items("ann", rules=SHOP) == UserItems(disliked=frozenset({"mug"}))
    await feedback.add_events([FeedbackEvent("again", "ann", "mug", "purchase", 4)])
    assert await feedback.user_items("ann", rules=SHOP) == UserItems(("mug", "mug"))
