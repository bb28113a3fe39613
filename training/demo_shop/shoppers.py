"""Generate shoppers with individual tastes, and their purchases in order.

A taste has a visual half (palettes, a pattern, a motif) and a textual half (themes, a make). For a quarter of the
shoppers only the visual half matters, for a quarter only the textual one, for the others both. The next purchase
depends on the taste, on the last purchase (a teapot goes with a mug; a collection is continued), on popularity, and
sometimes on chance.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from training.demo_shop.products import KINDS, MAKES, MOTIFS, PALETTES, PATTERNS, THEMES, Product

NEXT_KINDS: dict[str, tuple[str, str]] = {
    "mug": ("teapot", "notebook"),
    "teapot": ("vase", "mug"),
    "vase": ("lamp", "cushion"),
    "lamp": ("cushion", "poster"),
    "cushion": ("poster", "lamp"),
    "poster": ("vase", "notebook"),
    "notebook": ("tote bag", "backpack"),
    "tote bag": ("t-shirt", "umbrella"),
    "backpack": ("sneaker", "umbrella"),
    "sneaker": ("t-shirt", "backpack"),
    "t-shirt": ("tote bag", "sneaker"),
    "umbrella": ("backpack", "mug"),
}
"""Kinds often bought next, by kind."""

LENGTH_SHARES = (14, 14, 14, 14, 12, 10, 8, 6, 5, 3)
"""Percentage of shoppers who buy 3, 4, ... 12 products; the mean is 6.4."""

SHORTEST_HISTORY = 3

OPENING_DAY = 1_704_067_200
"""1 January 2024, 00:00 UTC, in seconds."""

SECONDS_PER_DAY = 86_400
DAYS_OPEN = 540
LONGEST_PAUSE_DAYS = 45

GIFT_PROBABILITY = 0.06
"""Probability that a purchase is a gift, drawn by popularity alone."""

# Factors on a product's probability.
EYES_AND_WORDS_PULLS = ((150.0, 25.0), (25.0, 150.0), (100.0, 100.0), (100.0, 100.0))
"""Factors of (the favourite palette, the favourite theme), by four equally frequent types of shopper."""
SECOND_CHOICE_SHARE = 0.25
"""Pull of the second palette or theme, as a share of the first one's."""
PATTERN_PULL = 5.0
MOTIF_PULL = 1.5
MAKE_PULL = 4.0
NEXT_KIND_PULL = 6.0
SAME_KIND_PULL = 0.4
SAME_COLLECTION_PULL = 4.0
"""Factor of the last purchase's palette, and of its theme."""

POPULARITY_EXPONENT = 1.0
POPULARITY_OFFSET = 50
"""The product of rank r sells like 1 / (r + offset) ** exponent (Zipf and Mandelbrot): a long tail, no giants."""


@dataclass(frozen=True, slots=True)
class Purchase:
    """One row of the interactions table."""

    user_id: str
    item_id: str
    timestamp: int
    """Seconds since 1970, UTC."""


@dataclass(frozen=True, slots=True)
class _Assortment:
    """The products' attributes as integer columns, their popularity, and transitions between kinds."""

    kind: Int[np.ndarray, "item"]
    palette: Int[np.ndarray, "item"]
    pattern: Int[np.ndarray, "item"]
    motif: Int[np.ndarray, "item"]
    theme: Int[np.ndarray, "item"]
    make: Int[np.ndarray, "item"]
    popularity: Float[np.ndarray, "item"]
    kind_pull: Float[np.ndarray, "last next"]
    """Factor of the next kind, given the last one."""


def go_shopping(products: Sequence[Product], num_users: int, rng: np.random.Generator) -> list[Purchase]:
    """Generate the purchases of `num_users` shoppers; no shopper buys a product twice.

    Returns:
        Purchases by shopper, oldest first, with increasing timestamps.
    """
    assortment = _lay_out(products, rng)
    purchases = []
    for user in range(num_users):
        appeal = _appeal_to_one_shopper(assortment, rng)
        rows = _buy(assortment, appeal, _history_length(rng), rng)
        moment = OPENING_DAY + int(rng.integers(DAYS_OPEN * SECONDS_PER_DAY))
        for row in rows:
            purchases.append(Purchase(f"shopper-{user + 1:04d}", products[row].item_id, moment))
            moment += int(rng.integers(1, LONGEST_PAUSE_DAYS * SECONDS_PER_DAY))
    return purchases


def _lay_out(products: Sequence[Product], rng: np.random.Generator) -> _Assortment:
    """Turn attributes into columns, and draw every product's popularity rank independently of them."""
    ranks = rng.permutation(len(products))
    return _Assortment(
        kind=_column([product.kind for product in products], tuple(KINDS)),
        palette=_column([product.palette for product in products], PALETTES),
        pattern=_column([product.pattern for product in products], PATTERNS),
        motif=_column([product.motif for product in products], MOTIFS),
        theme=_column([product.theme for product in products], tuple(THEMES)),
        make=_column([product.make for product in products], tuple(MAKES)),
        popularity=(ranks + POPULARITY_OFFSET) ** -POPULARITY_EXPONENT,
        kind_pull=np.array([[_kind_pull(last, following) for following in KINDS] for last in KINDS]),
    )


def _kind_pull(last: str, following: str) -> float:
    if following == last:
        return SAME_KIND_PULL
    return NEXT_KIND_PULL if following in NEXT_KINDS[last] else 1.0


def _column(values: Sequence[str], names: Sequence[str]) -> Int[np.ndarray, "item"]:
    index_of = {name: index for index, name in enumerate(names)}
    return np.array([index_of[value] for value in values], dtype=np.int64)


def _history_length(rng: np.random.Generator) -> int:
    shares = np.array(LENGTH_SHARES) / sum(LENGTH_SHARES)
    return SHORTEST_HISTORY + int(rng.choice(len(LENGTH_SHARES), p=shares))


def _appeal_to_one_shopper(assortment: _Assortment, rng: np.random.Generator) -> Float[np.ndarray, "item"]:
    """Draw a taste, and compute every product's appeal, popularity included."""
    eyes_pull, words_pull = EYES_AND_WORDS_PULLS[rng.integers(len(EYES_AND_WORDS_PULLS))]
    appeal: np.ndarray = (
        assortment.popularity
        * _pull_of_two_choices(assortment.palette, len(PALETTES), eyes_pull, rng)
        * _pull_of_two_choices(assortment.theme, len(THEMES), words_pull, rng)
        * np.where(assortment.pattern == rng.integers(len(PATTERNS)), PATTERN_PULL, 1.0)
        * np.where(assortment.motif == rng.integers(len(MOTIFS)), MOTIF_PULL, 1.0)
        * np.where(assortment.make == rng.integers(len(MAKES)), MAKE_PULL, 1.0)
    )
    return appeal


def _pull_of_two_choices(
    values: Int[np.ndarray, "item"], num_values: int, pull: float, rng: np.random.Generator
) -> Float[np.ndarray, "item"]:
    """Pull towards a favourite value, and less towards its companion.

    All shoppers with the same favourite share the companion: the signal that collaborative filtering can learn.
    """
    favourite = int(rng.integers(num_values))
    companion = (favourite + 1) % num_values
    return np.where(values == favourite, pull, np.where(values == companion, pull * SECOND_CHOICE_SHARE, 1.0))


def _buy(
    assortment: _Assortment, appeal: Float[np.ndarray, "item"], length: int, rng: np.random.Generator
) -> list[int]:
    """Draw rows of at most `length` different products, in order of purchase."""
    bought: list[int] = []
    is_left = np.ones(len(appeal), dtype=bool)
    for _ in range(min(length, len(appeal))):
        weights = np.where(is_left, assortment.popularity, 0.0)
        if rng.random() >= GIFT_PROBABILITY:
            weights = np.where(is_left, appeal, 0.0)
            if bought:
                weights = weights * _pull_of_last_purchase(assortment, bought[-1])
        row = int(rng.choice(len(weights), p=weights / weights.sum()))
        bought.append(row)
        is_left[row] = False
    return bought


def _pull_of_last_purchase(assortment: _Assortment, last: int) -> Float[np.ndarray, "item"]:
    """Pull towards complements of the last purchase and its collection, and away from its own kind."""
    pull: np.ndarray = assortment.kind_pull[assortment.kind[last]][assortment.kind]
    pull[assortment.palette == assortment.palette[last]] *= SAME_COLLECTION_PULL
    pull[assortment.theme == assortment.theme[last]] *= SAME_COLLECTION_PULL
    return pull
