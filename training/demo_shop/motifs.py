"""Draw a motif, such as a leaf or a cat, inside a circle.

Every motif fills the circle of `radius` around (x, y) with a small margin. Independent of colours.
"""

from collections.abc import Callable, Sequence

from training.demo_shop.pen import ERASER, Pen, Point


def _placed(points: Sequence[Point], x: float, y: float, radius: float) -> list[Point]:
    """Map points of the unit circle to the circle of `radius` around (x, y)."""
    return [(x + radius * right, y + radius * down) for right, down in points]


def draw_leaf(pen: Pen, x: float, y: float, radius: float) -> None:
    """A pointed leaf with its veins, leaning right."""
    outline = [(0.7, -0.75), (0.6, 0.05), (0.1, 0.5), (-0.42, 0.45), (-0.5, -0.1), (-0.05, -0.58)]
    pen.blob(_placed(outline, x, y, radius))
    pen.line(_placed([(0.42, -0.45), (-0.42, 0.42)], x, y, radius), radius * 0.09, ERASER)
    for start, end in (
        ((0.2, -0.22), (0.36, 0.12)),
        ((-0.08, 0.08), (0.06, 0.36)),
        ((0.02, -0.04), (-0.2, -0.22)),
    ):
        pen.line(_placed([start, end], x, y, radius), radius * 0.07, ERASER)
    pen.line(_placed([(-0.42, 0.42), (-0.72, 0.74)], x, y, radius), radius * 0.12)


def draw_moon(pen: Pen, x: float, y: float, radius: float) -> None:
    """A waning moon with a speck of light."""
    pen.ellipse(x - 0.05 * radius, y, 0.72 * radius, 0.72 * radius)
    pen.ellipse(x + 0.28 * radius, y - 0.16 * radius, 0.6 * radius, 0.6 * radius, ERASER)
    pen.ellipse(x + 0.42 * radius, y - 0.22 * radius, 0.12 * radius, 0.12 * radius)


def draw_fish(pen: Pen, x: float, y: float, radius: float) -> None:
    """A fish that swims left."""
    pen.blob(_placed([(-0.78, 0.02), (-0.2, -0.42), (0.4, -0.02), (-0.2, 0.42)], x, y, radius))
    pen.polygon(_placed([(0.25, 0.0), (0.78, -0.42), (0.66, 0.0), (0.78, 0.42)], x, y, radius))
    pen.ellipse(x - 0.44 * radius, y - 0.1 * radius, 0.09 * radius, 0.09 * radius, ERASER)
    pen.curve(_placed([(-0.16, -0.26), (-0.04, 0.0), (-0.16, 0.26)], x, y, radius), radius * 0.08, ERASER)


def draw_mountain(pen: Pen, x: float, y: float, radius: float) -> None:
    """Two peaks, the nearer one with snow."""
    pen.polygon(_placed([(-0.1, 0.52), (0.4, -0.28), (0.84, 0.52)], x, y, radius))
    pen.polygon(_placed([(-0.86, 0.54), (-0.2, -0.66), (0.46, 0.54)], x, y, radius))
    snow = [(-0.46, -0.14), (-0.32, -0.02), (-0.2, -0.16), (-0.06, -0.02), (0.06, -0.14)]
    pen.line(_placed(snow, x, y, radius), radius * 0.1, ERASER)


def draw_cat(pen: Pen, x: float, y: float, radius: float) -> None:
    """A cat's head with ears, eyes and whiskers."""
    pen.polygon(_placed([(-0.66, 0.0), (-0.6, -0.76), (-0.1, -0.36)], x, y, radius))
    pen.polygon(_placed([(0.66, 0.0), (0.6, -0.76), (0.1, -0.36)], x, y, radius))
    pen.ellipse(x, y + 0.1 * radius, 0.68 * radius, 0.55 * radius)
    for side in (-1, 1):
        pen.ellipse(x + side * 0.27 * radius, y + 0.02 * radius, 0.09 * radius, 0.13 * radius, ERASER)
        for height in (0.24, 0.38):
            whisker = [(side * 0.2, 0.3), (side * 0.52, height)]
            pen.line(_placed(whisker, x, y, radius), radius * 0.05, ERASER)
    pen.polygon(_placed([(-0.08, 0.22), (0.08, 0.22), (0.0, 0.32)], x, y, radius), ERASER)


def draw_star(pen: Pen, x: float, y: float, radius: float) -> None:
    """A star with five points."""
    outer = [(0.0, -0.8), (0.76, -0.25), (0.47, 0.65), (-0.47, 0.65), (-0.76, -0.25)]
    inner = [(0.19, -0.26), (0.31, 0.1), (0.0, 0.32), (-0.31, 0.1), (-0.19, -0.26)]
    pen.polygon(_placed([point for pair in zip(outer, inner, strict=True) for point in pair], x, y, radius))


def draw_flower(pen: Pen, x: float, y: float, radius: float) -> None:
    """Six round petals around a heart."""
    for right, down in ((0.0, -0.46), (0.4, -0.23), (0.4, 0.23), (0.0, 0.46), (-0.4, 0.23), (-0.4, -0.23)):
        pen.ellipse(x + right * radius, y + down * radius, 0.28 * radius, 0.28 * radius)
    pen.ellipse(x, y, 0.3 * radius, 0.3 * radius, ERASER)
    pen.ellipse(x, y, 0.18 * radius, 0.18 * radius)


def draw_boat(pen: Pen, x: float, y: float, radius: float) -> None:
    """A sailing boat with two sails."""
    pen.polygon(_placed([(-0.7, 0.3), (0.7, 0.3), (0.42, 0.66), (-0.46, 0.66)], x, y, radius))
    pen.polygon(_placed([(0.06, -0.78), (0.06, 0.18), (0.64, 0.18)], x, y, radius))
    pen.polygon(_placed([(-0.08, -0.5), (-0.08, 0.18), (-0.52, 0.18)], x, y, radius))


MOTIF_DRAWINGS: dict[str, Callable[[Pen, float, float, float], None]] = {
    "leaf": draw_leaf,
    "moon": draw_moon,
    "fish": draw_fish,
    "mountain": draw_mountain,
    "cat": draw_cat,
    "star": draw_star,
    "flower": draw_flower,
    "boat": draw_boat,
}
