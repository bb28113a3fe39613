"""Cover a layer with a surface pattern: stripes, dots, checks, waves and others.

Independent of the product: its silhouette cuts the pattern out afterwards.
"""

from collections.abc import Callable, Iterator

from training.demo_shop.pen import SIDE, Pen


def _every(step: float) -> Iterator[float]:
    """Yield 0, step, 2 step, ... up to the far side of the picture."""
    return (count * step for count in range(int(SIDE // step) + 2))


def draw_plain(pen: Pen) -> None:
    """Leave the layer empty."""


def draw_stripes(pen: Pen) -> None:
    """Broad bands across."""
    for y in _every(18):
        pen.box(0, y, SIDE, y + 8)


def draw_pinstripes(pen: Pen) -> None:
    """Thin lines from top to bottom."""
    for x in _every(9):
        pen.box(x, 0, x + 2.5, SIDE)


def draw_dots(pen: Pen) -> None:
    """Round dots, every other row shifted by half."""
    for row, y in enumerate(_every(12)):
        for x in _every(14):
            pen.ellipse(x + 7 * (row % 2), y, 3.5, 3.5)


def draw_checks(pen: Pen) -> None:
    """A chessboard."""
    for row, y in enumerate(_every(13)):
        for x in _every(26):
            left = x + 13 * (row % 2)
            pen.box(left, y, left + 13, y + 13)


def draw_zigzag(pen: Pen) -> None:
    """Pointed lines across."""
    for y in _every(18):
        pen.line([(x, y + 9 * (turn % 2)) for turn, x in enumerate(_every(10))], 4)


def draw_waves(pen: Pen) -> None:
    """Soft round lines across."""
    for y in _every(15):
        pen.curve([(x, y + 7 * (turn % 2)) for turn, x in enumerate(_every(13))], 3)


def draw_scallops(pen: Pen) -> None:
    """Overlapping scales, like roof tiles."""
    for row, y in enumerate(_every(10)):
        for x in _every(20):
            pen.arc(x + 10 * (row % 2), y, 10, 10, 0, 180, 2.5)


PATTERN_DRAWINGS: dict[str, Callable[[Pen], None]] = {
    "plain": draw_plain,
    "stripes": draw_stripes,
    "pinstripes": draw_pinstripes,
    "dots": draw_dots,
    "checks": draw_checks,
    "zigzag": draw_zigzag,
    "waves": draw_waves,
    "scallops": draw_scallops,
}
