"""What a bundle's rules make of stored events, as SQL: the items of a history, the disliked and the tired ones.

Every query reads the events that one condition selects: those of a user or of a session.
"""

from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, or_, select

from clairo_core.events import InteractionRules
from service.store.event_meanings import EventMeanings
from service.store.sql_tables import feedback_events


def is_in_history(is_of_owner: ColumnElement[bool], rules: InteractionRules) -> ColumnElement[bool]:
    """Whether an event is part of its owner's history.

    With chosen targets, an item with a target event stands in the history for its target events alone.
    """
    columns, means = feedback_events.c, EventMeanings(rules, feedback_events.c)
    is_read = and_(is_of_owner, means.is_read)
    if not rules.targets or rules.repeats != "keep":
        return is_read
    reached = select(columns.item_id).where(is_of_owner, means.is_target)
    return and_(is_read, or_(means.is_target, columns.item_id.not_in(reached)))


def newest_items(is_of_owner: ColumnElement[bool], rules: InteractionRules) -> Select:
    """Select the items of a history without disliked ones, newest first.

    With `repeats="drop"` every item stands there once, at its first time.
    """
    columns = feedback_events.c
    is_kept = and_(is_in_history(is_of_owner, rules), columns.item_id.not_in(disliked_items(is_of_owner, rules)))
    counted: Any = columns
    if rules.repeats == "drop" or rules.types:
        # As in training, where events of one user, item and time are one.
        same = [columns.item_id] if rules.repeats == "drop" else [columns.item_id, columns.timestamp]
        place = func.row_number().over(partition_by=same, order_by=[columns.timestamp, columns.sequence])
        counted = select(feedback_events, place.label("place")).where(is_kept).subquery().c
        is_kept = counted.place == 1
    return select(counted.item_id).where(is_kept).order_by(counted.timestamp.desc(), counted.sequence.desc())


def disliked_items(is_of_owner: ColumnElement[bool], rules: InteractionRules) -> Select:
    """Select the items whose newest event, of those that dislike or lift a dislike, is a dislike."""
    columns, means = feedback_events.c, EventMeanings(rules, feedback_events.c)
    place = func.row_number().over(
        partition_by=columns.item_id, order_by=[columns.timestamp.desc(), columns.sequence.desc()]
    )
    decisive = (
        select(columns.item_id, means.is_dislike.label("is_dislike"), place.label("place"))
        .where(is_of_owner, or_(means.is_dislike, means.lifts_dislike))
        .subquery()
    )
    return select(decisive.c.item_id).where(decisive.c.place == 1, decisive.c.is_dislike)


def tired_items(is_of_owner: ColumnElement[bool], rules: InteractionRules, num_impressions: int) -> Select:
    """Select the items shown `num_impressions` times or more, all later than the owner's last action on them."""
    columns, means = feedback_events.c, EventMeanings(rules, feedback_events.c)
    acted = (
        select(columns.item_id, func.max(columns.timestamp).label("last_at"))
        .where(is_of_owner, means.is_action)
        .group_by(columns.item_id)
        .subquery()
    )
    return (
        select(columns.item_id)
        .outerjoin_from(feedback_events, acted, acted.c.item_id == columns.item_id)
        .where(is_of_owner, means.is_impression, or_(acted.c.last_at.is_(None), columns.timestamp > acted.c.last_at))
        .group_by(columns.item_id)
        .having(func.count() >= num_impressions)
    )
