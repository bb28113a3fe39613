"""List the items that a user is due to buy again, by the item's own interval. Start at `due_items`."""

from service.feedback.known_users import items_of_user
from service.live_catalogue import LiveCatalogue
from service.store.behaviour import BehaviourStore, RepeatedItem
from service.store.feedback import FeedbackStore


async def due_items(
    user_id: str, live: LiveCatalogue, behaviour: BehaviourStore, feedback: FeedbackStore, now: float
) -> list[RepeatedItem]:
    """Items whose median interval has passed since the user's last purchase, those that just became due first.

    An item that was due several intervals ago has probably lost its buyer. Disliked items are left out.

    Raises:
        StoreError: the store cannot be read.
    """
    repeated = await behaviour.repeated_items(user_id, live.rules)
    if not repeated:
        return []
    disliked = (await items_of_user(user_id, live, feedback)).disliked
    due = [
        item for item in repeated if now - item.last_bought_at >= item.interval_seconds and item.item_id not in disliked
    ]
    return sorted(due, key=lambda item: ((now - item.last_bought_at) / item.interval_seconds, item.item_id))
