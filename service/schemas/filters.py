"""JSON of item filters, parsed into an `ItemFilter`.

    {"attribute": "category", "equals": "mug"}            {"not": FILTER}
    {"attribute": "brand", "in": ["Acme", "Lumen"]}       {"all_of": [FILTER, ...]}
    {"attribute": "price", "range": {"gte": 5, "lt": 20}} {"any_of": [FILTER, ...]}
    {"attribute": "brand", "exists": true}                {"only_new": true}
    {"attribute": "sizes", "any_of": ["S", "M"]}          {"attribute": "sizes", "all_of": ["S", "M"]}
    {"attribute": "category", "starts_with": "Home > Kitchen"}
    {"attribute": "since", "range": {"gte": "2024-05-31"}}

A filter is judged by its form alone, never by what the catalogue holds: no item may have the attribute.
"""

import math
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Self

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    JsonValue,
    PlainValidator,
    StringConstraints,
    Tag,
    WithJsonSchema,
    model_validator,
)

from clairo_core.attributes import Single
from clairo_core.selection.item_filters import (
    AllOf,
    AnyOf,
    Exists,
    IsBetween,
    IsNew,
    IsOneOf,
    ItemFilter,
    Not,
    StartsWith,
)
from clairo_core.values.ids import check_unicode
from clairo_core.values.times import microseconds_in
from service.schemas.request_body import UNION_TAG, FieldName, RequestBody

MAX_FILTER_DEPTH = 8
MAX_FILTER_CONDITIONS = 32
MAX_FILTER_VALUES = 1000
MAX_VALUE_CHARACTERS = 1000

ON_ATTRIBUTES = ("equals", "in", "range", "starts_with", "exists")
ON_BOTH = ("all_of", "any_of")
"""Of values with an attribute, of filters without one."""
OPERATORS = (*ON_ATTRIBUTES, *ON_BOTH, "not", "only_new")

RANGES = (
    "The value is a number within these bounds, written in any usual way and currency; or a time, with dates as bounds."
)
FilterText = Annotated[str, StringConstraints(max_length=MAX_VALUE_CHARACTERS)]


def _check_value(sent: object) -> Single:
    if isinstance(sent, str):
        if len(sent) > MAX_VALUE_CHARACTERS:
            raise ValueError(f"got {len(sent)} characters, expected at most {MAX_VALUE_CHARACTERS}")
        return check_unicode(sent)
    if isinstance(sent, bool):
        return sent
    return _check_number(sent, "text, a number, true or false")


def _check_bound(sent: object) -> float | str:
    if not isinstance(sent, str):
        return _check_number(sent, "a number or a date")
    try:
        microseconds_in(sent)
    except ValueError as error:
        raise ValueError(str(error).replace("expected", "got text, expected a number, or", 1)) from error
    return sent


def _check_number(sent: object, expected: str) -> float:
    if isinstance(sent, bool) or not isinstance(sent, int | float):
        raise ValueError(f"expected {expected}")  # noqa: TRY004 - for Pydantic
    try:
        number = float(sent)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"expected {expected}, at most {sys.float_info.max:.2g}")
    return number


# Checked by hand: each member of a union would report an error of its own.
_TEXT_SCHEMA: dict[str, JsonValue] = {"type": "string", "maxLength": MAX_VALUE_CHARACTERS}
FilterValue = Annotated[
    Single,
    PlainValidator(_check_value),
    WithJsonSchema({"anyOf": [_TEXT_SCHEMA, {"type": "number"}, {"type": "boolean"}]}),
]
Bound = Annotated[
    float | str,
    PlainValidator(_check_bound),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string", "format": "date-time"}]}),
]
"""A number, or a date, with or without a time of day (UTC without a zone)."""


class RangeBody(RequestBody):
    """Bounds of a number or of a time; at least one."""

    gte: Bound | None = None
    gt: Bound | None = None
    lte: Bound | None = None
    lt: Bound | None = None

    @model_validator(mode="after")
    def _bounds_something(self) -> Self:
        if not self._bounds():
            raise ValueError("range has no bounds; give gte, gt, lte or lt, each a number or each a date")
        if len({isinstance(bound, str) for bound in self._bounds()}) > 1:
            raise ValueError("range has a number and a date; give bounds of one kind")
        return self

    def _bounds(self) -> list[Bound]:
        return [bound for bound in (self.gte, self.gt, self.lte, self.lt) if bound is not None]

    def of(self, attribute: str) -> IsBetween:
        """The condition on an attribute."""
        return IsBetween(
            attribute,
            at_least=_number_of(self.gte),
            above=_number_of(self.gt),
            at_most=_number_of(self.lte),
            below=_number_of(self.lt),
            is_time=isinstance(self._bounds()[0], str),
        )


def _number_of(bound: Bound | None) -> float | None:
    return microseconds_in(bound) / 1e6 if isinstance(bound, str) else bound


def _kind_of_part(part: object) -> str:
    return UNION_TAG + ("filter" if isinstance(part, Mapping | FilterBody) else "value")


FilterPart = Annotated[
    Annotated["FilterBody", Tag(f"{UNION_TAG}filter")] | Annotated[FilterValue, Tag(f"{UNION_TAG}value")],
    Discriminator(_kind_of_part),
]


class FilterBody(RequestBody):
    """A condition on items: one operator, and an attribute for those that compare its value."""

    attribute: FieldName | None = Field(
        default=None,
        description="For `equals`, `in`, `range`, `starts_with` and `exists`, and for `any_of` and `all_of` of values.",
    )
    equals: FilterValue | None = Field(
        default=None, description="The value, or one of a list's: exact text, a number or a boolean."
    )
    in_: list[FilterValue] | None = Field(
        default=None, alias="in", max_length=MAX_FILTER_VALUES, description="The value equals one of them."
    )
    range: RangeBody | None = Field(default=None, description=RANGES)
    starts_with: FilterText | None = Field(
        default=None, description="The category path begins with this one: `Home > Kitchen`."
    )
    exists: bool | None = Field(default=None, description="Whether the item has the attribute.")
    not_: "FilterBody | None" = Field(default=None, alias="not", description="The filter does not match.")
    all_of: list[FilterPart] | None = Field(
        default=None,
        max_length=MAX_FILTER_VALUES,
        description="All filters match; with an attribute: its list has all of these values.",
    )
    any_of: list[FilterPart] | None = Field(
        default=None,
        max_length=MAX_FILTER_VALUES,
        description="At least one filter matches; with an attribute: it has one of these values.",
    )
    only_new: bool | None = Field(default=None, description="Whether the item was posted after training.")

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        given = [name for name, field in zip(OPERATORS, self._fields(), strict=True) if field is not None]
        if len(given) != 1:
            raise ValueError(f"got {', '.join(given) or 'no operator'}, expected exactly one of {', '.join(OPERATORS)}")
        operator = given[0]
        if operator not in ON_BOTH and (operator in ON_ATTRIBUTES) != (self.attribute is not None):
            needs = "needs" if operator in ON_ATTRIBUTES else "does not take"
            raise ValueError(f"{operator} {needs} an attribute")
        for part in self.all_of or self.any_of or ():
            if isinstance(part, FilterBody) is (self.attribute is not None):
                wanted = "filters without an attribute" if self.attribute is None else "values for its attribute"
                raise ValueError(f"{operator} needs {wanted}")
        return self

    def _fields(self) -> tuple[object, ...]:
        return (
            self.equals,
            self.in_,
            self.range,
            self.starts_with,
            self.exists,
            self.all_of,
            self.any_of,
            self.not_,
            self.only_new,
        )

    def item_filter(self) -> ItemFilter:
        """The filter that this JSON stands for."""
        attribute = self.attribute or ""
        meaning: ItemFilter | None = None
        if self.equals is not None:
            meaning = IsOneOf(attribute, (self.equals,))
        elif self.in_ is not None:
            meaning = IsOneOf(attribute, tuple(self.in_))
        elif self.range is not None:
            meaning = self.range.of(attribute)
        elif self.starts_with is not None:
            meaning = StartsWith(attribute, self.starts_with)
        elif self.exists is not None:
            meaning = Exists(attribute, self.exists)
        elif self.all_of is not None:
            meaning = AllOf(_parts(attribute, self.all_of))
        elif self.any_of is not None:
            meaning = AnyOf(_parts(attribute, self.any_of))
        elif self.not_ is not None:
            meaning = Not(self.not_.item_filter())
        return IsNew(self.only_new is True) if meaning is None else meaning


def _parts(attribute: str, parts: Sequence["FilterBody | Single"]) -> tuple[ItemFilter, ...]:
    return tuple(part.item_filter() if isinstance(part, FilterBody) else IsOneOf(attribute, (part,)) for part in parts)


def check_filter_size(sent: Any) -> Any:
    """Refuse JSON that is too deep or too large, before it is parsed as a filter.

    Raises:
        ValueError: it is.
    """
    conditions, level = 0, [sent]
    for depth in range(MAX_FILTER_DEPTH + 1):
        filters = [part for part in level if isinstance(part, Mapping)]
        if not filters:
            return sent
        if depth == MAX_FILTER_DEPTH:
            break
        conditions += len(filters)
        if conditions > MAX_FILTER_CONDITIONS:
            raise ValueError(f"the filter has more than {MAX_FILTER_CONDITIONS} conditions, nesting ones included")
        level = [inner for part in filters for inner in _filters_within(part)]
    raise ValueError(f"the filter is nested more than {MAX_FILTER_DEPTH} deep")


def _filters_within(sent: Mapping[Any, Any]) -> list[Any]:
    inner = [sent.get("not")]
    for operator in ("all_of", "any_of"):
        if isinstance(parts := sent.get(operator), list):
            inner += parts
    return inner


BoundedFilterBody = Annotated[FilterBody, BeforeValidator(check_filter_size)]
