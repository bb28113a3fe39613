"""What is known of users: their feedback, and before it the items that the served bundle kept of them.

A user who asked to be forgotten is unknown to every bundle. Every function raises `StoreError` where the store cannot
be read. Start at `items_of_user`.
"""

import bisect
from collections.abc import Sequence
from dataclasses import dataclass

from service.live_catalogue import LiveCatalogue
from service.store.feedback import FeedbackStore, UserItems
from service.store.feedback_event import Owner, Session


@dataclass(frozen=True, slots=True)
class KnownUser:
    """A user, and how much is known of him."""

    user_id: str
    num_events: int
    newest_at: float | None
    """Of the events, in seconds since 1970."""
    num_bundle_items: int


async def items_of_user(owner: Owner, live: LiveCatalogue, feedback: FeedbackStore) -> UserItems:
    """A user's items by the served bundle's rules. Those that the bundle kept come first, unless feedback has them.

    A bundle keeps none of a session.
    """
    # Taken at one moment: a swap of bundles never mixes two.
    rules, users, item_ids = live.rules, live.bundle.users, live.bundle.catalogue.item_ids
    items = await feedback.user_items(owner, rules=rules)
    row = None if isinstance(owner, Session) else users.find_row(owner)
    if row is None or await feedback.forgotten_among([users.user_ids[row]]):
        return items
    known = {*items.history, *items.older, *items.disliked}
    kept = tuple(item_ids[item] for item in users.newest[row] if item_ids[item] not in known)
    disliked = {item_ids[item] for item in users.disliked_of(row)} - known
    return UserItems(kept + items.history, items.older, items.disliked | disliked)


async def bundle_items_of(user_id: str, live: LiveCatalogue, feedback: FeedbackStore) -> Sequence[str]:
    """The items that the served bundle kept of a user, oldest first."""
    users, item_ids = live.bundle.users, live.bundle.catalogue.item_ids
    row = users.find_row(user_id)
    if row is None or await feedback.forgotten_among([user_id]):
        return []
    return [item_ids[item] for item in users.newest[row]]


async def users_page(
    live: LiveCatalogue, feedback: FeedbackStore, after: str, limit: int, *, has_events: bool
) -> list[KnownUser]:
    """List users after one, up to `limit`: those with events, then those of the bundle alone.

    Args:
        live: the served bundle.
        feedback: of the store.
        after: the last user of the page before; "" before the first.
        limit: of the page.
        has_events: whether that user has events; if not, only the bundle's users are left.
    """
    users = live.bundle.users
    page: list[KnownUser] = []
    if has_events:
        stored = await feedback.users_after(after, limit)
        forgotten = await feedback.forgotten_among([user.user_id for user in stored]) if users.user_ids else set()
        for user in stored:
            row = None if user.user_id in forgotten else users.find_row(user.user_id)
            num_items = 0 if row is None else len(users.newest[row])
            page.append(KnownUser(user.user_id, user.num_events, user.newest_at, num_items))
        after = ""
    start = bisect.bisect_right(users.user_ids, after)
    while len(page) < limit and start < len(users.user_ids):
        some = users.user_ids[start : start + limit]
        hidden = await feedback.have_events(some) | await feedback.forgotten_among(some)
        for row, user_id in enumerate(some, start):
            if user_id not in hidden and len(page) < limit:
                page.append(KnownUser(user_id, 0, None, len(users.newest[row])))
        start += limit
    return page
