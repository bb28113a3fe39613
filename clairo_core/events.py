"""What users' events mean: which a model reads and learns, how much each counts, and which push items down.

A dataset's TOML declares the rules, a bundle keeps them, and the service applies them to feedback. Start at
`InteractionRules`.
"""

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from jaxtyping import Bool, Float64

from clairo_core.errors import SettingsError

Meaning: TypeAlias = Literal["positive", "negative", "impression", "ignored"]
"""positive: taste. negative: dislike. impression: shown, not chosen. ignored: stored, and nothing else."""
OnRepeat: TypeAlias = Literal["keep", "drop"]
OnUnknownItem: TypeAlias = Literal["error", "drop"]

LIFTING_TYPES = ("like", "purchase")
"""Positive types that end an earlier dislike of the item, besides the targets."""
LONGEST_TYPE = 64
LEAST_WEIGHT, MOST_WEIGHT = 1e-6, 1_000_000
"""Products of two weights, summed over many users, stay finite and above 0 in single precision."""
_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    ">": operator.gt,
    "<": operator.lt,
}
_ON_ARRAYS: Mapping[str, np.ufunc] = {
    ">=": np.greater_equal,
    "<=": np.less_equal,
    "==": np.equal,
    ">": np.greater,
    "<": np.less,
}
_CONDITION = re.compile(r"\s*(?P<column>.*?\S)\s*(?P<comparison>>=|<=|==|>|<)\s*(?P<number>[-+.\d][^<>=\s]*)\s*")


@dataclass(frozen=True, slots=True)
class Condition:
    """A comparison of an event's value with a number.

    >>> rule = Condition.parse("rating >= 4")
    >>> rule.column, rule.holds(4.0), rule.holds(3.5), rule.holds(None), str(rule)
    ('rating', True, False, False, 'rating >= 4')
    """

    column: str
    """Of the interactions table. The service reads an event's `value`."""
    comparison: str
    number: float

    @classmethod
    def parse(cls, text: str) -> "Condition":
        """Read `COLUMN COMPARISON NUMBER`.

        Raises:
            SettingsError: the text has another form.
        """
        found = _CONDITION.fullmatch(text)
        try:
            number = float(found["number"]) if found else math.nan
        except ValueError:
            number = math.nan
        if found is None or not math.isfinite(number):
            raise SettingsError(f"got {text!r}, expected a comparison with a number, such as 'rating >= 4'")
        return cls(found["column"], found["comparison"], number)

    def holds(self, value: float | None) -> bool:
        """Whether a value fulfils it; a missing one does not."""
        return value is not None and _COMPARISONS[self.comparison](value, self.number)

    def where(self, values: Float64[np.ndarray, "event"]) -> Bool[np.ndarray, "event"]:
        """`holds` of many values at once; NaN is a missing one."""
        fulfil: Bool[np.ndarray, "event"] = _ON_ARRAYS[self.comparison](values, self.number)
        return fulfil

    def __str__(self) -> str:
        short = f"{self.number:g}"
        return f"{self.column} {self.comparison} {short if float(short) == self.number else repr(self.number)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventType:
    """The meaning of one type of event."""

    meaning: Meaning = "positive"
    weight: float = 1.0
    """How much an event counts in co-occurrence, popularity and losses; `LEAST_WEIGHT` to `MOST_WEIGHT`. Of positive
    types alone."""
    is_read: bool = True
    """Whether a positive event enters the history that models read. Others count towards popularity alone."""
    when: Condition | None = None
    """Holds for events of this type; None: for all of its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InteractionRules:
    """How a table of interactions, or a service's feedback, becomes histories and targets."""

    types: Mapping[str, EventType] = field(default_factory=dict)
    """By name, in the order in which conditions are tried. Empty: every event is positive and weighs 1, but for
    `impression` and `dislike`."""
    targets: tuple[str, ...] = ()
    """Positive types that are learned and measured; empty: all positive ones."""
    repeats: OnRepeat = "keep"
    min_interactions: int = 0
    """k of the k-core of users and items."""
    unknown_items: OnUnknownItem = "error"

    @property
    def value_column(self) -> str | None:
        """The column that all conditions read."""
        return next((one.when.column for one in self.types.values() if one.when is not None), None)

    def type_of(self, name: str | None, value: float | None = None) -> str | None:
        """The declared type of an event, or `name` itself if nothing is declared; None if no rule fits it.

        Args:
            name: as sent or read; None in a table without a column of types.
            value: for conditions.
        """
        if not self.types:
            return name
        if name is not None and name in self.types:
            when = self.types[name].when
            return name if when is None or when.holds(value) else None
        matching = (known for known, one in self.types.items() if one.when is not None and one.when.holds(value))
        return next(matching, name if name in BUILT_IN else None)

    def of(self, name: str) -> EventType:
        """The meaning of a type that `type_of` returned, or of one that an older rule named."""
        if name in self.types:
            return self.types[name]
        if name in BUILT_IN:
            return BUILT_IN[name]
        return EventType(meaning="ignored") if self.types else EventType()

    def is_target(self, name: str) -> bool:
        """Whether events of the type are learned and measured."""
        one = self.of(name)
        return one.meaning == "positive" and one.is_read and (not self.targets or name in self.targets)

    def lifts_dislike(self, name: str) -> bool:
        """Whether an event of the type ends an earlier dislike of the same item."""
        return self.of(name).meaning == "positive" and (name in LIFTING_TYPES or name in self.targets)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON; `read_rules` is the inverse."""
        types = {
            name: {
                "meaning": one.meaning,
                "weight": one.weight,
                "is_read": one.is_read,
                "when": None if one.when is None else str(one.when),
            }
            for name, one in self.types.items()
        }
        return {
            # A list: JSON written with sorted keys keeps the order of conditions.
            "types": [{"name": name, **one} for name, one in types.items()],
            "targets": list(self.targets),
            "repeats": self.repeats,
            "min_interactions": self.min_interactions,
            "unknown_items": self.unknown_items,
        }


BUILT_IN = {"impression": EventType(meaning="impression"), "dislike": EventType(meaning="negative")}
"""Types that mean this wherever rules do not declare them."""


def is_type_name(name: str) -> bool:
    """Whether the name of a type has 1 to `LONGEST_TYPE` printable characters and no spaces at the ends.

    >>> is_type_name("Add to cart"), is_type_name(" cart")
    (True, False)
    """
    return name.isprintable() and name == name.strip() and 0 < len(name) <= LONGEST_TYPE


def check_rules(rules: InteractionRules) -> InteractionRules:
    """Check what the types cannot express.

    Raises:
        SettingsError: a type's name, weight or condition, or a target, is out of range.
    """
    for name, one in rules.types.items():
        if not is_type_name(name):
            raise SettingsError(
                f"type {name!r}: expected 1 to {LONGEST_TYPE} printable characters without spaces at the ends"
            )
        if not LEAST_WEIGHT <= one.weight <= MOST_WEIGHT:
            raise SettingsError(
                f"type {name!r}: got weight {one.weight}, expected a number from {LEAST_WEIGHT:g} to {MOST_WEIGHT:,}"
            )
        if one.meaning != "positive" and (one.weight != 1.0 or not one.is_read):
            raise SettingsError(f"type {name!r}: weight and history belong to positive types; this is {one.meaning}")
    columns = sorted({one.when.column for one in rules.types.values() if one.when is not None})
    if len(columns) > 1:
        raise SettingsError(f"conditions read {' and '.join(map(repr, columns))}, expected one column")
    for target in rules.targets:
        if not rules.is_target(target) or (rules.types and target not in rules.types):
            raise SettingsError(
                f"target {target!r} is not a positive type that histories hold; those are "
                f"{', '.join(map(repr, filter(rules.is_target, rules.types))) or 'not declared'}"
            )
    if rules.types and not any(map(rules.is_target, rules.types)):
        raise SettingsError("no type is positive and part of the history, so there is nothing to learn")
    if rules.min_interactions < 0:
        raise SettingsError(f"got min_interactions {rules.min_interactions}, expected at least 0")
    return rules


def read_rules(content: Mapping[str, Any]) -> InteractionRules:
    """Read the form of `InteractionRules.as_dict`.

    Raises:
        SettingsError: a field is missing, or has a wrong type or value.
    """
    try:
        types = {
            _of_kind(one["name"], str): EventType(
                meaning=_one_of(one["meaning"], get_args(Meaning)),
                weight=float(_of_kind(one["weight"], int | float)),
                is_read=_of_kind(one["is_read"], bool),
                when=None if one["when"] is None else Condition.parse(_of_kind(one["when"], str)),
            )
            for one in content["types"]
        }
        rules = InteractionRules(
            types=types,
            targets=tuple(_of_kind(target, str) for target in content["targets"]),
            repeats=_one_of(content["repeats"], get_args(OnRepeat)),
            min_interactions=_of_kind(content["min_interactions"], int),
            unknown_items=_one_of(content["unknown_items"], get_args(OnUnknownItem)),
        )
    except (KeyError, TypeError, OverflowError) as error:
        raise SettingsError(f"missing or of a wrong type: {error}") from error
    return check_rules(rules)


def _of_kind(value: Any, kind: Any) -> Any:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise TypeError(repr(value))
    return value


def _one_of(value: Any, known: Sequence[str]) -> Any:
    if value not in known:
        raise SettingsError(f"got {value!r}, expected one of {', '.join(map(repr, known))}")
    return value
