"""Generate the demo shop's products: kind, look, purpose and price.

A product's look (palette, pattern, motif) shows only in its picture, its purpose (theme, make) only in its text, its
kind in both. A recommender that uses only text or only pictures therefore learns half of a taste.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

KINDS: dict[str, tuple[int, int]] = {
    "mug": (11, 24),
    "teapot": (29, 62),
    "vase": (19, 54),
    "lamp": (39, 119),
    "cushion": (19, 45),
    "poster": (12, 38),
    "notebook": (7, 19),
    "tote bag": (14, 32),
    "backpack": (45, 119),
    "sneaker": (55, 125),
    "t-shirt": (18, 39),
    "umbrella": (22, 49),
}
"""Lowest and highest price by kind."""

NUM_SHAPES = 3
"""Shapes per kind, such as a straight, a tapered and a round mug."""

NUM_SCENES = 3
"""Scenes: a floor, a disc, an arch."""

PALETTES = (
    "fjord",
    "terracotta",
    "fir",
    "mustard",
    "plum",
    "blush",
    "lagoon",
    "charcoal",
    "cherry",
    "midnight",
)
PATTERNS = ("plain", "stripes", "pinstripes", "dots", "checks", "zigzag", "waves", "scallops")
MOTIFS = ("leaf", "moon", "fish", "mountain", "cat", "star", "flower", "boat")

THEMES: dict[str, tuple[str, ...]] = {
    "hiking": ("Northtrail", "Cairn & Co", "Hollow Ridge"),
    "breakfast": ("Slow Sunday", "Crumb House", "Early Table"),
    "artists": ("Atelier Nine", "Loose Sketch", "Kiln Street"),
    "nursery": ("Little Otto", "Nap & Nest", "Wee Parade"),
    "weddings": ("Ever & After", "Toast Hall", "Vow Lane"),
    "students": ("Room 12", "Campus Corner", "First Keys"),
    "commuters": ("Platform Four", "Halfpast", "Citywise"),
    "readers": ("Dog-Eared", "Last Chapter", "Paper Lantern"),
    "gardeners": ("Potting Shed", "Seed & Spade", "Allotment 7"),
    "music": ("Side B", "Encore Works", "Backline"),
}
"""Brands by theme."""

MAKES: dict[str, int] = {
    "handmade": 12,
    "recycled": 0,
    "family firm": 5,
    "built to last": 8,
    "limited run": 15,
    "everyday value": -15,
}
"""Surcharge in percent by make."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """One product: the attributes of its picture, the attributes of its text, and its price."""

    item_id: str
    kind: str
    palette: str
    pattern: str
    motif: str
    theme: str
    make: str
    brand: str
    price_cents: int
    shape: int
    """Index of the kind's shape, in [0, NUM_SHAPES)."""
    scene: int
    """Index of the scene, in [0, NUM_SCENES)."""
    is_mirrored: bool
    tint: int
    """Offset from the palette in steps of a colour channel; positive is lighter."""


def invent_products(num_items: int, rng: np.random.Generator) -> list[Product]:
    """Generate `num_items` products; attributes are independent, their values about equally frequent."""
    kinds = _shuffled_evenly(tuple(KINDS), num_items, rng)
    palettes = _shuffled_evenly(PALETTES, num_items, rng)
    patterns = _shuffled_evenly(PATTERNS, num_items, rng)
    motifs = _shuffled_evenly(MOTIFS, num_items, rng)
    themes = _shuffled_evenly(tuple(THEMES), num_items, rng)
    makes = _shuffled_evenly(tuple(MAKES), num_items, rng)
    return [
        Product(
            item_id=f"{kinds[row].replace(' ', '-')}-{row + 1:04d}",
            kind=kinds[row],
            palette=palettes[row],
            pattern=patterns[row],
            motif=motifs[row],
            theme=themes[row],
            make=makes[row],
            brand=THEMES[themes[row]][rng.integers(len(THEMES[themes[row]]))],
            price_cents=_price_cents(kinds[row], makes[row], rng),
            shape=int(rng.integers(NUM_SHAPES)),
            scene=int(rng.integers(NUM_SCENES)),
            is_mirrored=bool(rng.integers(2)),
            tint=int(rng.integers(-7, 8)),
        )
        for row in range(num_items)
    ]


def _shuffled_evenly(values: Sequence[str], count: int, rng: np.random.Generator) -> list[str]:
    """Draw every value about equally often, in random order."""
    return [values[index] for index in rng.permutation(np.arange(count) % len(values))]


def _price_cents(kind: str, make: str, rng: np.random.Generator) -> int:
    """A whole number of euros by kind and make, less ten cents: 18.90."""
    lowest, highest = KINDS[kind]
    euros = int(rng.integers(lowest, highest + 1))
    return (euros * (100 + MAKES[make]) // 100) * 100 - 10
