"""A bundle's rules as SQL conditions on stored events: which are read, shown or dislikes, and which lift these.

Start at `EventMeanings`. A condition is null, hence not fulfilled, for events that no rule fits.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, case, literal, null

from clairo_core.events import BUILT_IN, LIFTING_TYPES, Condition, InteractionRules


@dataclass(frozen=True, slots=True)
class EventMeanings:
    """Conditions on the rows of one table or alias of events.

    Args:
        rules: of the bundle.
        columns: of the table; `type` and `value` are read.
    """

    rules: InteractionRules
    columns: Any

    @property
    def is_read(self) -> ColumnElement[bool]:
        """Whether histories hold the event."""
        if not self.rules.types:
            return self.columns.type.not_in(list(BUILT_IN))  # type: ignore[no-any-return]
        return self._is_one_where(
            lambda name: self.rules.of(name).meaning == "positive" and self.rules.of(name).is_read
        )

    @property
    def is_positive(self) -> ColumnElement[bool]:
        """Whether the event is positive, read or not."""
        if not self.rules.types:
            return self.is_read
        return self._is_one_where(lambda name: self.rules.of(name).meaning == "positive")

    @property
    def is_purchase(self) -> ColumnElement[bool]:
        """Whether the event is a chosen target; where none are chosen, whether it is called `purchase`."""
        return self._is_one_of(list(self.rules.targets) or ["purchase"])

    @property
    def weight(self) -> ColumnElement[float]:
        """Weight of a positive event."""
        heavy = {name: one.weight for name, one in self.rules.types.items() if one.weight != 1.0}
        if not heavy:
            return literal(1.0)
        return case(*((self._type == name, weight) for name, weight in heavy.items()), else_=1.0)

    @property
    def is_target(self) -> ColumnElement[bool]:
        """Whether the event is one of the chosen targets."""
        return self._is_one_of(list(self.rules.targets))

    @property
    def is_impression(self) -> ColumnElement[bool]:
        """Whether the event is an impression."""
        return self._is_one_where(lambda name: self.rules.of(name).meaning == "impression")

    @property
    def is_action(self) -> ColumnElement[bool]:
        """Whether the event is positive or negative: the user's own."""
        if not self.rules.types:
            return ~self.is_impression
        return self._is_one_where(lambda name: self.rules.of(name).meaning in ("positive", "negative"))

    @property
    def is_dislike(self) -> ColumnElement[bool]:
        """Whether the event is negative."""
        return self._is_one_where(lambda name: self.rules.of(name).meaning == "negative")

    @property
    def lifts_dislike(self) -> ColumnElement[bool]:
        """Whether the event ends an earlier dislike of its item."""
        return self._is_one_where(self.rules.lifts_dislike)

    def _is_one_where(self, is_meant: Callable[[str], bool]) -> ColumnElement[bool]:
        named = dict.fromkeys([*self.rules.types, *BUILT_IN, *LIFTING_TYPES, *self.rules.targets])
        return self._is_one_of([name for name in named if is_meant(name)])

    def _is_one_of(self, names: list[str]) -> ColumnElement[bool]:
        return self._type.in_(names)

    @property
    def _type(self) -> ColumnElement[Any]:
        """As `InteractionRules.type_of`. Without conditions the bare column, which has an index."""
        conditions = {name: one.when for name, one in self.rules.types.items() if one.when is not None}
        column: ColumnElement[Any] = self.columns.type
        if not conditions:
            return column
        held = {name: self._holds(when) for name, when in conditions.items()}
        return case(
            *((column == name, case((holds, name), else_=null())) for name, holds in held.items()),
            (column.in_(list(self.rules.types)), column),
            *((holds, name) for name, holds in held.items()),
            (column.in_(list(BUILT_IN)), column),
            else_=null(),
        )

    def _holds(self, when: Condition) -> ColumnElement[bool]:
        comparison = "=" if when.comparison == "==" else when.comparison
        return self.columns.value.bool_op(comparison)(when.number)  # type: ignore[no-any-return]
