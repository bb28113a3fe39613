"""Invent the demo shop's products: which kinds exist, how each one looks, and what it is made for.

A product's look (palette, pattern, motif) is shown in its picture alone; its purpose (theme, make) is told in its
words alone; its kind is in both. So a recommender that reads only words, or only pictures, knows half of a taste.
Knows nothing of drawing, sentences or shoppers.
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
"""Kind -> the lowest and the highest price."""

NUM_SHAPES = 3
"""Every kind is drawn in this many shapes: a straight, a tapered and a round mug."""

NUM_SCENES = 3
"""A product stands on a floor, before a disc, or under an arch."""

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
"""Theme -> the brands that sell to it."""

MAKES: dict[str, int] = {
    "handmade": 12,
    "recycled": 0,
    "family firm": 5,
    "built to last": 8,
    "limited run": 15,
    "everyday value": -15,
}
"""How a product is made -> what that adds to its price, in percent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """One product: all that its picture shows, all that its words tell, and its price."""

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
    """Which of the kind's shapes, in [0, NUM_SHAPES)."""
    scene: int
    """What it stands in front of, in [0, NUM_SCENES)."""
    is_mirrored: bool
    tint: int
    """How much lighter (or darker) than its palette it came out, in steps of a colour channel."""


def invent_products(num_items: int, rng: np.random.Generator) -> list[Product]:
    """Invent `num_items` products in which every attribute's values are about equally frequent, and independent."""
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
    """Every value about equally often, in random order."""
    return [values[index] for index in rng.permutation(np.arange(count) % len(values))]


def _price_cents(kind: str, make: str, rng: np.random.Generator) -> int:
    """A whole number of euros by kind and make, less ten cents: 18.90."""
    lowest, highest = KINDS[kind]
    euros = int(rng.integers(lowest, highest + 1))
    return (euros * (100 + MAKES[make]) // 100) * 100 - 10
