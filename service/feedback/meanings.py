"""Count the events of types that the served bundle's rules do not declare. Start at `undeclared_types`."""

from collections import Counter
from collections.abc import Iterable, Mapping

from clairo_core.events import InteractionRules
from service.store.feedback_event import FeedbackEvent

MAX_SHOWN_TYPES = 20


def undeclared_types(events: Iterable[FeedbackEvent], rules: InteractionRules) -> Counter[str]:
    """Number of events by type, of those that no rule fits; without values that the conditions leave out on purpose."""
    if not rules.types:
        return Counter()
    return Counter(event.type for event in events if is_undeclared(event, rules))


def is_undeclared(event: FeedbackEvent, rules: InteractionRules) -> bool:
    """Whether the event counts for nothing, and no condition says so."""
    if rules.type_of(event.type, event.value) is not None:
        return False
    # A value that no condition fits is left out as declared.
    return event.value is None or rules.value_column is None


def undeclared_warning(num_by_type: Mapping[str, int], rules: InteractionRules, bundle_id: str, first: str = "") -> str:
    """Say which events count for nothing.

    Args:
        num_by_type: of `undeclared_types`; not empty.
        rules: by which they were counted.
        bundle_id: of the bundle with these rules.
        first: the event_id of one of them, if any is worth naming.
    """
    known = [f"{name!r}{'' if one.when is None else f' ({one.when})'}" for name, one in rules.types.items()]
    # Where conditions read values, an undeclared event has none.
    without = "" if rules.value_column is None else " without a value"
    most_first = sorted(num_by_type.items(), key=lambda one: (-one[1], one[0]))
    got = [f"{name!r}{without} ({number:,})" for name, number in most_first]
    number = sum(num_by_type.values())
    stored = "1 event is stored but counts" if number == 1 else f"{number:,} events are stored but count"
    return (
        f"{stored} for nothing"
        f"{f', the first with event_id {first!r}' if first else ''}: got type {_some(got)}, bundle {bundle_id} has "
        f"{_some(known)}; send one of these, or declare the type in [events] and train"
    )


def _some(names: list[str]) -> str:
    further = f" and {len(names) - MAX_SHOWN_TYPES} more" if len(names) > MAX_SHOWN_TYPES else ""
    return ", ".join(names[:MAX_SHOWN_TYPES]) + further
