"""Undeclared types: counted by name, and named in one warning, the most frequent first."""

from clairo_core.events import Condition, EventType, InteractionRules
from service.feedback.meanings import MAX_SHOWN_TYPES, undeclared_types, undeclared_warning
from service.store.feedback_event import FeedbackEvent

BY_NAME = InteractionRules(types={"purchase": EventType(), "search": EventType(meaning="ignored")})
BY_VALUE = InteractionRules(types={"loved": EventType(when=Condition.parse("rating >= 4"))})


def events(*kinds: tuple[str, float | None]) -> list[FeedbackEvent]:
    return [FeedbackEvent(str(n), "ann", "mug", kind, 1.0, value=value) for n, (kind, value) in enumerate(kinds)]


def test_types_are_counted_that_no_rule_fits() -> None:
    sent = events(("purchase", None), ("search", None), ("dislike", None), ("teleport", 5.0), ("teleport", None))
    assert undeclared_types(sent, BY_NAME) == {"teleport": 2}
    assert undeclared_types(sent, InteractionRules()) == {}


def test_a_value_that_no_condition_fits_is_left_out_on_purpose() -> None:
    sent = events(("rating", 4.0), ("rating", 2.0), ("rating", None), ("loved", None), ("impression", None))
    assert undeclared_types(sent, BY_VALUE) == {"rating": 1, "loved": 1}


def test_the_warning_names_the_most_frequent_types_first_and_a_bounded_number() -> None:
    assert undeclared_warning({"b": 1, "c": 1200, "a": 1}, BY_NAME, "shop-1") == (
        "1,202 events are stored but count for nothing: got type 'c' (1,200), 'a' (1), 'b' (1), bundle shop-1 has "
        "'purchase', 'search'; send one of these, or declare the type in [events] and train"
    )
    many = undeclared_warning({f"type {n}": 1 for n in range(MAX_SHOWN_TYPES + 3)}, BY_VALUE, "shop-1", "e-1")
    assert "the first with event_id 'e-1'" in many
    assert "'type 0' without a value (1)" in many
    assert many.count("'type ") == MAX_SHOWN_TYPES
    assert " and 3 more, bundle shop-1 has 'loved' (rating >= 4);" in many
