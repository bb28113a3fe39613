"""JSON of item filters, parsed into an `ItemFilter`.

    {"attribute": "category", "equals": "mug"}            {"not": FILTER}
    {"attribute": "brand", "in": ["Acme", "Lumen"]}       {"all_of": [FILTER, ...]}
    {"attribute": "price", "range": {"gte": 5, "lt": 20}} {"any_of": [FILTER, ...]}
    {"attribute": "brand", "exists": true}                {"only_new": true}

A filter is judged by its form alone, never by what the catalogue holds: no item may have the attribute.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from clairo_core.selection.item_filters import AllOf, AnyOf, Exists, IsBetween, IsNew, IsOneOf, ItemFilter, Not
from service.schemas.request_body import FieldName, RequestBody

MAX_FILTER_DEPTH = 8
MAX_FILTER_CONDITIONS = 32
MAX_FILTER_VALUES = 1000

ON_ATTRIBUTES = ("equals", "in", "range", "exists")
OPERATORS = (*ON_ATTRIBUTES, "not", "all_of", "any_of", "only_new")

NUMBERS = "The value is a number within these bounds; a price may be written in any usual way and currency."
FilterValue = Annotated[str, StringConstraints(max_length=1000)] | float


class RangeBody(RequestBody):
    """Bounds of a number; at least one."""

    gte: float | None = None
    gt: float | None = None
    lte: float | None = None
    lt: float | None = None

    @model_validator(mode="after")
    def _bounds_something(self) -> Self:
        if all(bound is None for bound in (self.gte, self.gt, self.lte, self.lt)):
            raise ValueError("range has no bounds; give gte, gt, lte or lt, each a number")
        return self


class FilterBody(RequestBody):
    """A condition on items: one operator, and an attribute for `equals`, `in`, `range` and `exists`."""

    attribute: FieldName | None = Field(default=None, description="For `equals`, `in`, `range` and `exists`.")
    equals: FilterValue | None = Field(default=None, description="Exact text, or a number.")
    in_: list[FilterValue] | None = Field(
        default=None, alias="in", max_length=MAX_FILTER_VALUES, description="The value equals one of them."
    )
    range: RangeBody | None = Field(default=None, description=NUMBERS)
    exists: bool | None = Field(default=None, description="Whether the item has the attribute.")
    not_: "FilterBody | None" = Field(default=None, alias="not", description="The filter does not match.")
    all_of: "list[FilterBody] | None" = Field(default=None, description="All filters match.")
    any_of: "list[FilterBody] | None" = Field(default=None, description="At least one filter matches.")
    only_new: bool | None = Field(default=None, description="Whether the item was posted after training.")

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        given = [name for name, field in zip(OPERATORS, self._fields(), strict=True) if field is not None]
        if len(given) != 1:
            raise ValueError(f"got {', '.join(given) or 'no operator'}, expected exactly one of {', '.join(OPERATORS)}")
        if (given[0] in ON_ATTRIBUTES) != (self.attribute is not None):
            needs = "needs" if given[0] in ON_ATTRIBUTES else "does not take"
            raise ValueError(f"{given[0]} {needs} an attribute")
        return self

    def _fields(self) -> tuple[object, ...]:
        return (
            self.equals,
            self.in_,
            self.range,
            self.exists,
            self.not_,
            self.all_of,
            self.any_of,
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
            bounds = self.range
            meaning = IsBetween(attribute, at_least=bounds.gte, above=bounds.gt, at_most=bounds.lte, below=bounds.lt)
        elif self.exists is not None:
            meaning = Exists(attribute, self.exists)
        elif self.not_ is not None:
            meaning = Not(self.not_.item_filter())
        elif self.all_of is not None:
            meaning = AllOf(tuple(part.item_filter() for part in self.all_of))
        elif self.any_of is not None:
            meaning = AnyOf(tuple(part.item_filter() for part in self.any_of))
        return IsNew(self.only_new is True) if meaning is None else meaning


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
