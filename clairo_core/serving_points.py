"""How much searching an answer takes: views and beams, or no generator at all, by the quality that a request names.

Training measures a few points on validation users and chooses one for each quality; a bundle's manifest keeps them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from clairo_core.errors import SettingsError

Quality: TypeAlias = Literal["fast", "balanced", "best"]
QUALITIES: tuple[Quality, ...] = get_args(Quality)
FAST, BALANCED, BEST = QUALITIES


@dataclass(frozen=True, slots=True)
class ServingPoint:
    """The search behind one answer.

    >>> str(ServingPoint(3, 50)), str(WITHOUT_GENERATOR)
    ('3 x 50', 'without generator')
    """

    num_views: int
    """Random views of the history, fused; 0 generates nothing, and the rest of the joint ranking ranks alone."""
    num_beams: int
    """Per view."""

    @property
    def generates(self) -> bool:
        """Whether the generator takes part."""
        return self.num_views > 0

    @property
    def cost(self) -> tuple[int, int]:
        """Orders points by the work they take: beams of all views, then views."""
        return self.num_views * self.num_beams, self.num_views

    def __str__(self) -> str:
        return f"{self.num_views} x {self.num_beams}" if self.generates else "without generator"


Points: TypeAlias = Mapping[str, ServingPoint]
"""One for each quality."""

WITHOUT_GENERATOR = ServingPoint(0, 0)
DEFAULT_POINT = ServingPoint(3, 50)
"""Where nothing was measured."""


def same_for_all(point: ServingPoint) -> Points:
    """This point for every quality."""
    return dict.fromkeys(QUALITIES, point)


def in_words(points: Points) -> str:
    """The points as text.

    >>> in_words(same_for_all(ServingPoint(1, 20)))
    'fast 1 x 20, balanced 1 x 20, best 1 x 20'
    """
    return ", ".join(f"{quality} {points[quality]}" for quality in QUALITIES)


def read_points(saved: Mapping[str, Any]) -> Points:
    """Read points from JSON: by quality, the fields of a `ServingPoint`.

    Raises:
        SettingsError: a quality or a number is missing, or they cannot be served.
    """
    points: dict[str, ServingPoint] = {}
    for quality in QUALITIES:
        point = saved.get(quality)
        numbers = [point.get(name) for name in ("num_views", "num_beams")] if isinstance(point, Mapping) else []
        whole = [number for number in numbers if isinstance(number, int) and number >= 0]
        if len(whole) < 2 or (whole[0] == 0) != (whole[1] == 0):
            raise SettingsError(f"{quality} is {point!r}, expected num_views and num_beams, both above 0 or both 0")
        points[quality] = ServingPoint(*whole)
    if not points[BALANCED].generates:
        raise SettingsError(f"{BALANCED} is {saved[BALANCED]!r}, expected views and beams")
    return points
