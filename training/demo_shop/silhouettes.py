"""The layers of a product's picture, and which drawing belongs to which kind.

A drawing fills three layers (what is behind the body, the body that carries the pattern, what is in front of it)
and says where the motif's badge goes. Knows nothing of colours.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from training.demo_shop.pen import Pen

FLOOR = 150.0
"""Height, in pixels from the top, at which products stand."""


@dataclass(frozen=True, slots=True)
class Layers:
    """What a product is drawn on, back to front."""

    behind: Pen = field(default_factory=Pen)
    body: Pen = field(default_factory=Pen)
    front: Pen = field(default_factory=Pen)


@dataclass(frozen=True, slots=True)
class Badge:
    """The circle on the body that carries the motif, and how wide a shadow the product throws."""

    x: float
    y: float
    radius: float
    shadow: float = 46
    """Half the shadow's width; 0 for what hangs on a wall."""


DrawSilhouette = Callable[[Layers, int], Badge]
"""(empty layers, shape in [0, NUM_SHAPES)) -> where the badge goes."""
