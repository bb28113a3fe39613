"""Sessions that become users, and removed events, in every kind of database."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import SessionMergedError
from service.store.behaviour import BehaviourStore
from service.store.database import Database
from service.store.feedback import EventOutcome, FeedbackStore, SessionMerged
from service.store.feedback_event import FeedbackEvent, Session, made_event_id

SESSIONS = ("s-1", "s-2", "s-3")
USERS = {"s-1": "ann", "s-2": "ann", "s-3": "bob"}


def in_session(event_id: str, session_id: str = "s-1", item_id: str = "mug", at: float = 100.0) -> FeedbackEvent:
    return FeedbackEvent(event_id, None, item_id, "click", at, session_id=session_id)


async def ids_of(feedback: FeedbackStore, user_id: str) -> list[str]:
    return [kept.event.event_id for kept in await feedback.user_events(user_id, None, 100)]


async def test_a_session_has_a_history_and_is_nobody(feedback: FeedbackStore) -> None:
    await feedback.add_events([in_session("a"), replace(in_session("b", item_id="lamp", at=90.0), type="dislike")])
    assert (await feedback.user_items(Session("s-1"))).history == ("mug",)
    assert (await feedback.user_items(Session("s-1"))).disliked == {"lamp"}
    assert await feedback.users_after("", 10) == []
    assert (await feedback.user_items("s-1")).history == ()
    assert [kept.event.session_id for kept in await feedback.events_after(0, 10)] == ["s-1", "s-1"]


async def test_impressions_of_a_session_tire_an_item(feedback: FeedbackStore) -> None:
    shown = [replace(in_session(f"i-{number}", at=float(number)), type="impression") for number in range(3)]
    await feedback.add_events(shown)
    assert await feedback.tired_items(Session("s-1"), 3, 0.0) == {"mug"}
    await feedback.merge_session("s-1", "ann")
    assert await feedback.tired_items("ann", 3, 0.0) == {"mug"}
    assert await feedback.tired_items(Session("s-1"), 1, 0.0) == frozenset()


async def test_a_merged_session_is_the_users_with_all_that_follows(feedback: FeedbackStore) -> None:
    await feedback.add_events([in_session("a"), FeedbackEvent("own", "ann", "lamp", "click", 50.0)])
    assert await feedback.owner_of_session("s-1") == Session("s-1")
    assert await feedback.merge_session("s-1", "ann") == SessionMerged(1, 0)
    assert await feedback.merge_session("s-1", "ann") == SessionMerged(0, 0)
    assert await feedback.owner_of_session("s-1") == "ann"
    assert await feedback.add_events([in_session("a"), in_session("later", at=200.0)]) == [
        EventOutcome.DUPLICATE,
        EventOutcome.ACCEPTED,
    ]
    assert await feedback.load_events([in_session("loaded", at=300.0)]) == 1
    assert await ids_of(feedback, "ann") == ["own", "a", "later", "loaded"]
    assert (await feedback.user_items("ann")).history == ("lamp", "mug", "mug", "mug")
    assert (await feedback.user_items(Session("s-1"))).history == ()


async def test_a_session_has_one_user(feedback: FeedbackStore) -> None:
    await feedback.add_events([in_session("a")])
    await feedback.merge_session("s-1", "ann")
    with pytest.raises(SessionMergedError, match="session 's-1' is another user's already"):
        await feedback.merge_session("s-1", "bob")
    assert await ids_of(feedback, "bob") == []


async def test_merging_leaves_a_forgotten_user_forgotten(feedback: FeedbackStore) -> None:
    await feedback.add_events([in_session("old", at=10.0), in_session("new", at=30.0)])
    await feedback.forget_user("ann", 20.0)
    assert await feedback.merge_session("s-1", "ann") == SessionMerged(1, 1)
    assert await feedback.add_events([in_session("late", at=15.0)]) == [EventOutcome.FORGOTTEN]
    assert await ids_of(feedback, "ann") == ["new"]


async def test_forgetting_a_user_deletes_his_sessions_for_good(feedback: FeedbackStore) -> None:
    await feedback.add_events([in_session("a"), in_session("other", session_id="s-2")])
    await feedback.merge_session("s-1", "ann")
    await feedback.forget_user("ann", 150.0)
    assert [kept.event.event_id for kept in await feedback.events_after(0, 10)] == ["other"]
    assert await feedback.owner_of_session("s-1") == Session("s-1")
    outcomes = await feedback.add_events([in_session("a"), in_session("late", at=150.0), in_session("new", at=151.0)])
    assert outcomes == [EventOutcome.FORGOTTEN, EventOutcome.FORGOTTEN, EventOutcome.ACCEPTED]
    # A stranger's again: nothing says that it was Ann's.
    assert await feedback.merge_session("s-1", "bob") == SessionMerged(1, 0)


async def test_a_removed_event_counts_nowhere_and_stays_out(feedback: FeedbackStore) -> None:
    order = FeedbackEvent("order/1", "ann", "mug", "purchase", 100.0)
    await feedback.add_events([order, FeedbackEvent("b", "ann", "lamp", "click", 101.0)])
    assert await feedback.remove_event("order/1")
    assert await feedback.remove_event("order/1")
    assert not await feedback.remove_event("unknown")
    assert await feedback.num_removed() == 1
    assert await feedback.add_events([order]) == [EventOutcome.DUPLICATE]
    assert await feedback.load_events([order]) == 0
    assert (await feedback.user_items("ann")).history == ("lamp",)
    assert [kept.event.event_id for kept in await feedback.events_after(0, 10)] == ["b"]


async def test_each_change_to_stored_events_is_counted_and_nothing_else(
    feedback: FeedbackStore, database: Database
) -> None:
    behaviour = BehaviourStore(database)
    await feedback.add_events([in_session("a"), in_session("b", session_id="s-2"), in_session("c", session_id="s-2")])
    assert await behaviour.num_changes() == 0
    for change, number in (
        (feedback.merge_session("s-1", "ann"), 1),
        (feedback.merge_session("s-1", "ann"), 1),
        (feedback.merge_session("empty", "ann"), 1),
        (feedback.remove_event("b"), 2),
        (feedback.remove_event("b"), 2),
        (feedback.remove_event("unknown"), 2),
        (feedback.forget_user("ann", 150.0), 3),
        (feedback.forget_user("ann", 150.0), 3),
    ):
        await change
        assert await behaviour.num_changes() == number


async def test_a_user_without_further_events_is_not_listed_after_a_removal(feedback: FeedbackStore) -> None:
    await feedback.add_events([in_session("a")])
    await feedback.merge_session("s-1", "ann")
    assert [user.user_id for user in await feedback.users_after("", 10)] == ["ann"]
    await feedback.remove_event("a")
    assert await feedback.users_after("", 10) == []


async def test_events_that_arrive_during_a_merge_are_the_users(feedback: FeedbackStore) -> None:
    sent = [feedback.add_events([in_session(f"e-{number}")]) for number in range(20)]
    sent.insert(10, feedback.merge_session("s-1", "ann"))  # type: ignore[arg-type]
    await asyncio.gather(*sent)
    assert sorted(await ids_of(feedback, "ann")) == sorted(f"e-{number}" for number in range(20))
    assert (await feedback.user_items(Session("s-1"))).history == ()


def test_a_session_and_a_user_of_one_id_make_different_event_ids() -> None:
    assert made_event_id("s-1", "mug", "click", 1.0) != made_event_id(Session("s-1"), "mug", "click", 1.0)
    assert made_event_id(Session("s-1"), "mug", "click", 1.0) == made_event_id(Session("s-1"), "mug", "click", 1.0)


Step = tuple[str, str, int]
"""("merge", session, _), or ("add", session, number of the event)."""
merges = st.sampled_from(SESSIONS).map(lambda session_id: ("merge", session_id, 0))
additions = st.tuples(st.just("add"), st.sampled_from(SESSIONS), st.integers(0, 4))


@given(steps=st.lists(st.one_of(merges, additions), max_size=25), order=st.randoms(use_true_random=False))
@settings(max_examples=25)
def test_merges_in_any_order_keep_every_event_once(steps: list[Step], order: object) -> None:
    shuffled = list(steps)
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    kept = [asyncio.run(owners_after(one)) for one in (steps, shuffled)]
    sent = {(session_id, number) for kind, session_id, number in steps if kind == "add"}
    merged = {session_id for kind, session_id, _ in steps if kind == "merge"}
    expected = sorted(
        (f"{session_id}-{number}", USERS[session_id] if session_id in merged else None) for session_id, number in sent
    )
    assert kept == [expected, expected]


async def owners_after(steps: Sequence[Step]) -> list[tuple[str, str | None]]:
    """Every stored event's id and user, after these steps."""
    database = Database(None)
    await database.open()
    feedback = FeedbackStore(database)
    for kind, session_id, number in steps:
        if kind == "merge":
            await feedback.merge_session(session_id, USERS[session_id])
        else:
            await feedback.add_events([in_session(f"{session_id}-{number}", session_id)])
    kept = [(entry.event.event_id, entry.event.user_id) for entry in await feedback.events_after(0, 1000)]
    await database.close()
    return sorted(kept, key=lambda one: one[0])
