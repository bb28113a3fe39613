"""Loading many events, listing users, and marks of forgotten users, in every kind of database."""

from service.store.feedback import FeedbackStore, UserCount
from service.store.feedback_event import FeedbackEvent, made_event_id


def rated(user_id: str, number: int) -> FeedbackEvent:
    item_id, timestamp = f"item-{number}", float(number)
    event_id = made_event_id(user_id, item_id, "rating", timestamp)
    return FeedbackEvent(event_id, user_id, item_id, "rating", timestamp, value=number % 5 + 0.5)


async def test_loaded_events_are_those_that_are_sent_and_each_is_stored_once(feedback: FeedbackStore) -> None:
    sent = [rated("ann", number) for number in range(3)]
    await feedback.add_events(sent[:1])
    assert await feedback.load_events([*sent, *sent]) == 2
    assert await feedback.load_events(sent) == 0
    assert [kept.event for kept in await feedback.user_events("ann", None, 10)] == sent


async def test_loading_skips_events_before_a_request_to_be_forgotten(feedback: FeedbackStore) -> None:
    await feedback.forget_user("ann", 5.0)
    assert await feedback.load_events([rated("ann", 4), rated("ann", 5), rated("ann", 6), rated("bob", 4)]) == 2
    assert await feedback.load_events([rated("ann", 1)]) == 0
    assert [kept.event.timestamp for kept in await feedback.user_events("ann", None, 10)] == [6.0]
    assert await feedback.forgotten_among(["ann", "bob"]) == {"ann"}


async def test_users_are_counted_in_pages(feedback: FeedbackStore) -> None:
    for user_id, count in (("ann", 3), ("bob", 1), ("Zoë", 2), ("cat", 5)):
        await feedback.load_events([rated(user_id, number) for number in range(count)])
    pages = []
    after = ""
    while page := await feedback.users_after(after, 3):
        pages.append(page)
        after = page[-1].user_id
    assert [len(page) for page in pages] == [3, 1]
    assert sorted((user for page in pages for user in page), key=lambda user: user.user_id) == [
        UserCount("Zoë", 2, 1.0),
        UserCount("ann", 3, 2.0),
        UserCount("bob", 1, 0.0),
        UserCount("cat", 5, 4.0),
    ]
    assert await feedback.have_events(["ann", "nobody"]) == {"ann"}
