"""Rules of events: which type an event has, what it counts, and their form in a manifest."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clairo_core.errors import SettingsError
from clairo_core.events import Condition, EventType, InteractionRules, check_rules, read_rules

RATED = InteractionRules(
    types={
        "like": EventType(when=Condition.parse("rating >= 4")),
        "seen": EventType(weight=0.3, when=Condition.parse("rating >= 3")),
        "dislike": EventType(meaning="negative", when=Condition.parse("rating < 3")),
    }
)
SHOP = InteractionRules(
    types={"purchase": EventType(), "view": EventType(weight=0.2), "visit": EventType(is_read=False)},
    targets=("purchase",),
)
numbers = st.floats(min_value=0.01, max_value=1e6)
names = st.text(st.characters(categories=("L", "N")), min_size=1, max_size=8)


def test_the_first_condition_that_holds_names_the_type() -> None:
    assert [RATED.type_of(None, value) for value in (5.0, 4.0, 3.5, 2.0, None)] == [
        "like",
        "like",
        "seen",
        "dislike",
        None,
    ]


def test_a_value_decides_where_the_name_is_not_declared() -> None:
    assert RATED.type_of("rating", 2.5) == "dislike"
    assert RATED.type_of("like", 2.5) is None


def test_without_declared_types_every_event_is_positive_but_impressions_and_dislikes() -> None:
    rules = InteractionRules()
    assert [rules.of(name).meaning for name in ("purchase", "nod", "impression", "dislike")] == [
        "positive",
        "positive",
        "impression",
        "negative",
    ]


def test_an_undeclared_type_counts_for_nothing_unless_it_is_built_in() -> None:
    assert SHOP.type_of("nod") is None
    assert SHOP.of("nod").meaning == "ignored"
    assert SHOP.of(SHOP.type_of("dislike") or "").meaning == "negative"


def test_targets_are_read_positive_types() -> None:
    assert [SHOP.is_target(name) for name in ("purchase", "view", "visit", "dislike")] == [True, False, False, False]
    with pytest.raises(SettingsError, match="'visit' is not a positive type"):
        check_rules(InteractionRules(types=SHOP.types, targets=("visit",)))


def test_a_dislike_ends_with_a_like_a_purchase_or_a_target() -> None:
    assert [SHOP.lifts_dislike(name) for name in ("purchase", "view", "like", "dislike")] == [True, False, False, False]
    assert InteractionRules().lifts_dislike("like")


@pytest.mark.parametrize(
    ("types", "why"),
    [
        ({"a": EventType(weight=0.0)}, "got weight 0.0"),
        ({"a": EventType(weight=float("nan"))}, "got weight nan"),
        ({"a": EventType(weight=1e300)}, "got weight 1e.300, expected a number from 1e-06 to 1,000,000"),
        ({"a": EventType(weight=1e-300)}, "got weight 1e-300"),
        ({" a": EventType()}, "printable"),
        ({"a" * 65: EventType()}, "1 to 64"),
        ({"a": EventType(meaning="negative", weight=2.0)}, "belong to positive types"),
        ({"a": EventType(meaning="negative")}, "nothing to learn"),
        (
            {"a": EventType(when=Condition.parse("x > 1")), "b": EventType(when=Condition.parse("y > 1"))},
            "expected one column",
        ),
    ],
)
def test_rules_that_cannot_be_meant_are_refused(types: dict[str, EventType], why: str) -> None:
    with pytest.raises(SettingsError, match=why):
        check_rules(InteractionRules(types=types))


@pytest.mark.parametrize("text", ["rating", ">= 4", "rating >= four", "rating = 4", "rating >= nan", "rating >= 1e999"])
def test_a_condition_of_another_form_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(SettingsError, match="rating >= 4"):
        Condition.parse(text)


@given(
    column=st.text(st.characters(categories=("L", "N", "Zs")), min_size=1).map(str.strip).filter(bool),
    comparison=st.sampled_from([">=", "<=", "==", ">", "<"]),
    number=st.integers(-99999, 99999),
)
def test_a_condition_is_read_as_written(column: str, comparison: str, number: int) -> None:
    condition = Condition(column, comparison, float(number))
    assert Condition.parse(str(condition)) == condition


@given(
    types=st.dictionaries(
        names, st.builds(EventType, weight=numbers, when=st.none() | st.just(Condition("rating", ">", 2.0))), min_size=1
    ),
    repeats=st.sampled_from(["keep", "drop"]),
    min_interactions=st.integers(0, 9),
)
def test_rules_survive_a_manifest(types: dict[str, EventType], repeats: str, min_interactions: int) -> None:
    rules = InteractionRules(
        types=types,
        targets=tuple(types)[:1],
        repeats=repeats,  # type: ignore[arg-type]
        min_interactions=min_interactions,
        unknown_items="drop",
    )
    kept = read_rules(json.loads(json.dumps(rules.as_dict(), sort_keys=True)))
    assert kept == rules
    assert list(kept.types) == list(types)


@pytest.mark.parametrize("broken", [{}, {"types": [], "targets": [1]}, {"types": [{"name": 3}]}])
def test_damaged_rules_are_refused(broken: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match="missing or of a wrong type"):
        read_rules(InteractionRules().as_dict() | broken if broken else broken)
