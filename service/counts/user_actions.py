"""Turn stored events into the actions that counts are made of, by the bundle's rules. Start at `actions_of`."""

from collections.abc import Container, Iterable
from typing import NamedTuple

import numpy as np

from clairo_core.bundle.bundle import Bundle
from clairo_core.catalogue import Catalogue
from clairo_core.events import InteractionRules
from clairo_core.ranking import UserActions
from service.store.behaviour import MAX_EARLIER_EVENTS
from service.store.feedback import KeptEvent
from service.store.feedback_event import FeedbackEvent, Owner, Session


def actions_of(
    earlier: Iterable[KeptEvent],
    new: Iterable[KeptEvent],
    catalogue: Catalogue,
    bundle: Bundle,
    rules: InteractionRules,
    forgotten: Container[str] = (),
) -> list[UserActions]:
    """Each user's positive events on items of the catalogue: items that the bundle kept, then earlier and new events.

    Users without a new one among them are left out. What the bundle kept of `forgotten` users is not read.
    """
    counted: dict[Owner, list[_Action]] = {}
    added: dict[Owner, list[_Action]] = {}
    for events, by_user in ((earlier, counted), (new, added)):
        for kept in events:
            action = _action_of(kept.event, catalogue, rules)
            if action is not None:
                by_user.setdefault(owner_of(kept.event), []).append(action)
    actions = []
    for owner, last in added.items():
        of_bundle = [] if owner in forgotten else _kept_actions(bundle, owner)
        first = [*of_bundle, *counted.get(owner, ())]
        rows, weights, is_read = zip(*first, *last, strict=True)
        actions.append(UserActions(np.array(rows), np.array(weights), np.array(is_read), len(first)))
    return actions


class _Action(NamedTuple):
    row: int
    weight: float
    is_read: bool


def _action_of(event: FeedbackEvent, catalogue: Catalogue, rules: InteractionRules) -> _Action | None:
    row, name = catalogue.find_row(event.item_id), rules.type_of(event.type, event.value)
    if row is None or name is None:
        return None
    meaning = rules.of(name)
    return _Action(row, meaning.weight, meaning.is_read) if meaning.meaning == "positive" else None


def owner_of(event: FeedbackEvent) -> Owner:
    """The event's user, or its session while that is no user's."""
    return Session(event.session_id or "") if event.user_id is None else event.user_id


def _kept_actions(bundle: Bundle, owner: Owner) -> list[_Action]:
    """The newest items that the bundle kept of a user, oldest first; none of a session."""
    user = bundle.users.find_row(owner) if isinstance(owner, str) else None
    newest = () if user is None else bundle.users.newest[user][-MAX_EARLIER_EVENTS:].tolist()
    return [_Action(row, 1.0, True) for row in newest]
