"""Name a nested field of a record, and read it. Start at `FieldPath.parse`, then `rows_of`.

A path is names joined by points. After a name, `[]` gives one row per element of its list, `[key=ga_session_id]` takes
the element whose field `key` has this value, and `[0]` the element at this place. A name that meets a list without
brackets is read in every element.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from clairo_core.errors import DatasetError

_STEP = re.compile(
    r"(?P<name>[^.\[\]]+)(?:\[(?:(?P<place>\d+)|(?P<key>[^\[\]=]+)=(?P<value>[^\[\]]*))?\])?(?P<end>\.|$)"
)
_EVERY: Final = object()


class _Absent:
    """What a path gives where the record lacks the field, unlike null."""


ABSENT: Final = _Absent()


@dataclass(frozen=True, slots=True)
class _Step:
    name: str
    pick: Any = None
    """None, `_EVERY`, a place, or the field and the value of the element."""


@dataclass(frozen=True, slots=True)
class FieldPath:
    """A parsed path: up to the last list that gives rows, and from there on."""

    text: str
    lists: tuple[tuple[_Step, ...], ...]
    """One part per `[]`, each from the element of the list before."""
    rest: tuple[_Step, ...]

    @classmethod
    def parse(cls, text: str) -> "FieldPath | None":
        """Read a path; None for a plain name, and for text that is not a path.

        >>> FieldPath.parse("event_params[key=ga_session_id].value.int_value").first_name
        'event_params'
        """
        steps, place = [], 0
        while match := _STEP.match(text, place):
            pick: Any = None
            if match["place"] is not None:
                pick = int(match["place"])
            elif match["key"] is not None:
                pick = (match["key"].strip(), match["value"].strip())
            elif "[" in match[0]:
                pick = _EVERY
            steps.append(_Step(match["name"], pick))
            place = match.end()
            if not match["end"]:
                break
        is_plain = len(steps) == 1 and steps[0].pick is None
        if not steps or place != len(text) or text.endswith(".") or is_plain:
            return None
        lists: list[tuple[_Step, ...]] = []
        start = 0
        for end, step in enumerate(steps, start=1):
            if step.pick is _EVERY:
                lists.append(tuple(steps[start:end]))
                start = end
        return cls(text, tuple(lists), tuple(steps[start:]))

    @property
    def first_name(self) -> str:
        """The field of the record itself."""
        return (*(step for part in self.lists for step in part), *self.rest)[0].name

    def value_in(self, elements: Sequence[Any]) -> Any:
        """The field's value, given the record and the elements of the lists that make the row; `ABSENT` without one."""
        return _read(elements[len(self.lists)], self.rest)


def longest_lists(paths: Sequence[FieldPath]) -> tuple[tuple[_Step, ...], ...]:
    """The lists that give rows, shared by all paths.

    Raises:
        DatasetError: two paths give rows by different lists.
    """
    longest = max(paths, key=lambda path: len(path.lists), default=None)
    if longest is None:
        return ()
    for path in paths:
        if path.lists != longest.lists[: len(path.lists)]:
            raise DatasetError(
                f"{path.text!r} and {longest.text!r} give rows by different lists, expected one; name fields of one "
                "list, and take one element of the other, such as with [0]"
            )
    return longest.lists


def rows_of(record: Mapping[str, Any], lists: Sequence[Sequence[_Step]]) -> Iterator[tuple[Any, ...]]:
    """Yield the record and the elements for each row; none where a list is empty or absent.

    >>> path = FieldPath.parse("items[].id")
    >>> [path.value_in(row) for row in rows_of({"items": [{"id": "a"}, {"id": "b"}]}, path.lists)]
    ['a', 'b']
    """
    rows: list[tuple[Any, ...]] = [(record,)]
    for part in lists:
        rows = [(*row, element) for row in rows for element in _elements(_read(row[-1], part))]
    yield from rows


def _elements(found: Any) -> list[Any]:
    if found is None or found is ABSENT:
        return []
    return found if isinstance(found, list) else [found]


def _read(value: Any, steps: Sequence[_Step]) -> Any:
    for place, step in enumerate(steps):
        if isinstance(value, list):
            found = [_read(element, steps[place:]) for element in value]
            return [one for one in found if one is not ABSENT and one is not None] or ABSENT
        if not isinstance(value, dict) or step.name not in value:
            return ABSENT
        value = _picked(value[step.name], step.pick)
        if value is ABSENT:
            return ABSENT
    return value


def _picked(value: Any, pick: Any) -> Any:
    if pick is None or pick is _EVERY:
        return value
    elements = _elements(value)
    if isinstance(pick, int):
        return elements[pick] if pick < len(elements) else ABSENT
    field, wanted = pick
    return next((one for one in elements if isinstance(one, dict) and str(one.get(field)) == wanted), ABSENT)
