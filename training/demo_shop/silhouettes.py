"""The layers of a product's picture, and the drawing of each kind.

A drawing fills three layers (behind the body, the body with the pattern, in front of it) and returns the place of the
motif's badge. Independent of colours.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from training.demo_shop.pen import Pen

FLOOR = 150.0
"""Height, in pixels from the top, at which products stand."""


@dataclass(frozen=True, slots=True)
class Layers:
    """The layers of a product, back to front."""

    behind: Pen = field(default_factory=Pen)
    body: Pen = field(default_factory=Pen)
    front: Pen = field(default_factory=Pen)


@dataclass(frozen=True, slots=True)
class Badge:
    """The circle on the body for the motif, and the width of the product's shadow."""

    x: float
    y: float
    radius: float
    shadow: float = 46
    """Half the shadow's width; 0 for products on a wall."""


DrawSilhouette = Callable[[Layers, int], Badge]
"""Fill empty layers with a shape in [0, NUM_SHAPES), and return the badge."""
