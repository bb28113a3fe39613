"""The values a setting may take, declared beside its type: `Annotated[int, AtLeast(1)]`.

`value in allowed` tests a value of the right type; `str(allowed)` completes "expected ...".
"""

import math
import re
from dataclasses import dataclass
from typing import Annotated, Any, Protocol


class AllowedValues(Protocol):
    """The range of one setting."""

    def __contains__(self, value: Any) -> bool:
        """Whether the setting may take `value`."""
        ...

    def __str__(self) -> str:
        """The range in words."""
        ...


@dataclass(frozen=True, slots=True)
class AtLeast:
    """Finite numbers from `low` up.

    >>> 1 in AtLeast(1), 0 in AtLeast(1), math.nan in AtLeast(1), str(AtLeast(1))
    (True, False, False, 'at least 1')
    """

    low: int

    def __contains__(self, value: float) -> bool:
        return self.low <= value < math.inf

    def __str__(self) -> str:
        return f"at least {self.low}"


@dataclass(frozen=True, slots=True)
class BelowOne:
    """Numbers from 0, or from just above it, up to but not including 1."""

    allows_zero: bool

    def __contains__(self, value: float) -> bool:
        return 0 <= value < 1 if self.allows_zero else 0 < value < 1

    def __str__(self) -> str:
        return f"{'at least' if self.allows_zero else 'more than'} 0 and less than 1"


@dataclass(frozen=True, slots=True)
class OneOf:
    """Fixed choices."""

    choices: tuple[str, ...]

    def __contains__(self, value: str) -> bool:
        return value in self.choices

    def __str__(self) -> str:
        return f"one of {', '.join(self.choices)}"


@dataclass(frozen=True, slots=True)
class Spelled:
    """Strings that match a regular expression as a whole."""

    pattern: str
    form: str
    """The pattern in words."""

    def __contains__(self, value: str) -> bool:
        return re.fullmatch(self.pattern, value) is not None

    def __str__(self) -> str:
        return self.form


@dataclass(frozen=True, slots=True)
class ListOf:
    """Lists of `fewest` or more elements."""

    element: Spelled
    fewest: int = 0

    def __contains__(self, value: tuple[str, ...]) -> bool:
        return len(value) >= self.fewest and all(part in self.element for part in value)

    def __str__(self) -> str:
        return f"{self.fewest} or more of: {self.element}"


Positive = Annotated[int, AtLeast(1)]
"""A whole number from 1 up."""
NotNegative = Annotated[int, AtLeast(0)]
"""A whole number from 0 up."""
Amount = Annotated[float, AtLeast(0)]
"""A number from 0 up."""
Share = Annotated[float, BelowOne(allows_zero=True)]
"""A number in [0, 1)."""
ShareAboveZero = Annotated[float, BelowOne(allows_zero=False)]
"""A number in (0, 1)."""
LearningRate = ShareAboveZero
"""A number in (0, 1)."""
