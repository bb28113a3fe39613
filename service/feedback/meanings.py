"""Say which events count for nothing under the served bundle's rules."""

from collections.abc import Sequence

from clairo_core.events import InteractionRules
from service.store.feedback import FeedbackEvent

MAX_SHOWN_TYPES = 20


def undeclared_warnings(events: Sequence[FeedbackEvent], rules: InteractionRules, bundle_id: str) -> list[str]:
    """A warning for events that no rule fits; none for values that the conditions leave out on purpose."""
    undeclared = [event for event in events if _is_undeclared(event, rules)]
    if not undeclared:
        return []
    first = undeclared[0]
    known = [f"{name!r}{'' if one.when is None else f' ({one.when})'}" for name, one in rules.types.items()]
    further = f" and {len(known) - MAX_SHOWN_TYPES} more" if len(known) > MAX_SHOWN_TYPES else ""
    needs_value = first.value is None and rules.value_column is not None
    return [
        f"{len(undeclared)} events are stored but count for nothing, the first with event_id {first.event_id!r}: got "
        f"type {first.type!r}{' without a value' if needs_value else ''}, bundle {bundle_id} has "
        f"{', '.join(known[:MAX_SHOWN_TYPES])}{further}; send one of these, or declare the type in [events] and train"
    ]


def _is_undeclared(event: FeedbackEvent, rules: InteractionRules) -> bool:
    if rules.type_of(event.type, event.value) is not None:
        return False
    # A value that no condition fits is left out as declared.
    return event.value is None or rules.value_column is None
