"""Draw shapes as antialiased masks, in picture pixels on a larger layer.

Shapes are drawn at four times the size with integer coordinates and no smoothing, then averaged down: every machine
with the same Pillow draws the same pixels. Independent of products and colours.
"""

from collections.abc import Sequence

from PIL import Image, ImageDraw

SIDE = 176
"""Width and height of a finished picture, in pixels."""

SUPERSAMPLING = 4
"""Layers are this many times larger than the finished picture."""

INK = 255
ERASER = 0

Point = tuple[float, float]

CURVE_STEPS = 14
"""Straight pieces between two points of a smooth curve; shorter than a pixel at our sizes."""


class Pen:
    """A mask and the strokes that fill it. Coordinates are picture pixels, x to the right and y down."""

    def __init__(self) -> None:
        self._layer = Image.new("L", (SIDE * SUPERSAMPLING, SIDE * SUPERSAMPLING), ERASER)
        self._draw = ImageDraw.Draw(self._layer)

    def mask(self) -> Image.Image:
        """The drawing averaged down to SIDE x SIDE: 255 for ink, 0 for none."""
        return self._layer.reduce(SUPERSAMPLING)

    def polygon(self, points: Sequence[Point], ink: int = INK) -> None:
        """Fill the polygon through `points`."""
        self._draw.polygon(_enlarged(points), fill=ink)

    def blob(self, points: Sequence[Point], ink: int = INK) -> None:
        """Fill the smooth closed curve through `points`."""
        self.polygon(_smooth([points[-1], *points, points[0], points[1]]), ink)

    def ellipse(self, x: float, y: float, radius_x: float, radius_y: float, ink: int = INK) -> None:
        """Fill an ellipse around (x, y)."""
        self._draw.ellipse(_enlarged_box(x - radius_x, y - radius_y, x + radius_x, y + radius_y), fill=ink)

    def box(self, left: float, top: float, right: float, bottom: float, radius: float = 0, ink: int = INK) -> None:
        """Fill a rectangle with corners of this `radius`."""
        self._draw.rounded_rectangle(
            _enlarged_box(left, top, right, bottom), radius=round(radius * SUPERSAMPLING), fill=ink
        )

    def ring(self, x: float, y: float, radius_x: float, radius_y: float, width: float) -> None:
        """Stroke an ellipse, `width` inwards from its radii."""
        self.arc(x, y, radius_x, radius_y, 0, 360, width)

    def arc(self, x: float, y: float, radius_x: float, radius_y: float, start: float, end: float, width: float) -> None:
        """Stroke part of an ellipse, from `start` to `end` degrees, clockwise from three o'clock."""
        box = _enlarged_box(x - radius_x, y - radius_y, x + radius_x, y + radius_y)
        self._draw.arc(box, start, end, fill=INK, width=round(width * SUPERSAMPLING))

    def line(self, points: Sequence[Point], width: float, ink: int = INK) -> None:
        """Stroke straight pieces through `points`, with round joints and ends."""
        self._draw.line(_enlarged(points), fill=ink, width=round(width * SUPERSAMPLING), joint="curve")
        for x, y in (points[0], points[-1]):
            self.ellipse(x, y, width / 2, width / 2, ink)

    def curve(self, points: Sequence[Point], width: float, ink: int = INK) -> None:
        """Stroke the smooth open curve through `points`."""
        self.line(_smooth([points[0], *points, points[-1]]), width, ink)


def _enlarged(points: Sequence[Point]) -> list[Point]:
    return [(round(x * SUPERSAMPLING), round(y * SUPERSAMPLING)) for x, y in points]


def _enlarged_box(left: float, top: float, right: float, bottom: float) -> tuple[float, float, float, float]:
    (left, top), (right, bottom) = _enlarged([(left, top), (right, bottom)])
    return left, top, right, bottom


def _smooth(points: Sequence[Point]) -> list[Point]:
    """The Catmull-Rom spline from the second point to the last but one."""
    return [
        (_spline([p[0] for p in four], t), _spline([p[1] for p in four], t))
        for four in (points[start : start + 4] for start in range(len(points) - 3))
        for t in (step / CURVE_STEPS for step in range(CURVE_STEPS + 1))
    ]


def _spline(four: Sequence[float], t: float) -> float:
    before, start, end, after = four
    return 0.5 * (
        2 * start
        + (end - before) * t
        + (2 * before - 5 * start + 4 * end - after) * t * t
        + (3 * start - before - 3 * end + after) * t * t * t
    )
