"""Invent shoppers with a taste of their own, and let each of them buy a few products, one after another.

A taste has a half for the eyes (palettes, a pattern, a motif) and a half for the words (themes, a make). For a
quarter of the shoppers the eyes decide, for a quarter the words, for the others both. What is bought next depends
on the taste, on the last purchase (a teapot goes with a mug; a collection is continued), on what is popular, and
now and then on chance. Knows nothing of how a look is drawn or a theme is put into words.
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
"""Kind -> what is often bought after it."""

LENGTH_SHARES = (14, 14, 14, 14, 12, 10, 8, 6, 5, 3)
"""Shoppers, in percent, who buy 3, 4, ... 12 products: 6.4 on average."""

SHORTEST_HISTORY = 3

OPENING_DAY = 1_704_067_200
"""1 January 2024, 00:00 UTC, in seconds."""

SECONDS_PER_DAY = 86_400
DAYS_OPEN = 540
LONGEST_PAUSE_DAYS = 45

GIFT_PROBABILITY = 0.06
"""A purchase for somebody else: only popularity decides."""

# How many times likelier a product becomes by what speaks for it.
EYES_AND_WORDS_PULLS = ((150.0, 25.0), (25.0, 150.0), (100.0, 100.0), (100.0, 100.0))
"""Four equally frequent shoppers: what (the favourite palette, the favourite theme) does for a product."""
SECOND_CHOICE_SHARE = 0.25
"""The second palette or theme pulls with this share of the first one's pull."""
PATTERN_PULL = 5.0
MOTIF_PULL = 1.5
MAKE_PULL = 4.0
NEXT_KIND_PULL = 6.0
SAME_KIND_PULL = 0.4
SAME_COLLECTION_PULL = 4.0
"""The palette, or the theme, of the last purchase once more."""

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
    """The products' attributes as columns of whole numbers, how popular each product is, and what goes with what."""

    kind: Int[np.ndarray, "item"]
    palette: Int[np.ndarray, "item"]
    pattern: Int[np.ndarray, "item"]
    motif: Int[np.ndarray, "item"]
    theme: Int[np.ndarray, "item"]
    make: Int[np.ndarray, "item"]
    popularity: Float[np.ndarray, "item"]
    kind_pull: Float[np.ndarray, "last next"]
    """How much a purchase of one kind speaks for the next one to be of another."""


def go_shopping(products: Sequence[Product], num_users: int, rng: np.random.Generator) -> list[Purchase]:
    """Let `num_users` shoppers buy; nobody buys a product twice.

    Returns:
        Purchases by shopper, each shopper's oldest first with rising timestamps.
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
    """Turn attributes into columns, and give every product a rank of popularity that its attributes do not tell."""
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
    """Draw a taste, and say how much every product appeals to it, popularity included."""
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

    The companion is the same for all who share the favourite: that is what shoppers teach about each other.
    """
    favourite = int(rng.integers(num_values))
    companion = (favourite + 1) % num_values
    return np.where(values == favourite, pull, np.where(values == companion, pull * SECOND_CHOICE_SHARE, 1.0))


def _buy(
    assortment: _Assortment, appeal: Float[np.ndarray, "item"], length: int, rng: np.random.Generator
) -> list[int]:
    """Rows of at most `length` different products, in the order in which they are bought."""
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
    """Towards what goes with the last purchase or continues its collection; away from another one of its kind."""
    pull: np.ndarray = assortment.kind_pull[assortment.kind[last]][assortment.kind]
    pull[assortment.palette == assortment.palette[last]] *= SAME_COLLECTION_PULL
    pull[assortment.theme == assortment.theme[last]] *= SAME_COLLECTION_PULL
    return pull
