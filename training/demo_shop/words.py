"""Write a product's title and description from its kind, its theme and its make.

The text never names anything in the picture (palette, pattern, motif).
"""

from collections.abc import Sequence

import numpy as np

from training.demo_shop.phrases import (
    ASIDES,
    KIND_DETAILS,
    KIND_NOUNS,
    MAKE_PHRASES,
    THEME_CLOSERS,
    THEME_OPENERS,
    THEME_SERIES,
)
from training.demo_shop.products import Product

ASIDE_PROBABILITY = 0.3


def write_words(product: Product, rng: np.random.Generator) -> tuple[str, str]:
    """Write (title, description), such as ("Trailhead Mug", "A mug for hikers who ...")."""
    noun = _one_of(KIND_NOUNS[product.kind], rng)
    title = f"{_one_of(THEME_SERIES[product.theme], rng)} {_as_in_a_title(noun)}"
    sentences = [_one_of(KIND_DETAILS[product.kind], rng), _one_of(MAKE_PHRASES[product.make], rng)]
    if rng.random() < 0.5:
        sentences.reverse()
    sentences.insert(0, _one_of(THEME_OPENERS[product.theme], rng))
    if rng.random() < ASIDE_PROBABILITY:
        sentences.insert(int(rng.integers(1, len(sentences) + 1)), _one_of(ASIDES, rng))
    sentences.append(_one_of(THEME_CLOSERS[product.theme], rng))
    filled = (sentence.format(noun=noun, a_noun=_with_article(noun), brand=product.brand) for sentence in sentences)
    return title, " ".join(sentence[0].upper() + sentence[1:] for sentence in filled)


def _one_of(phrases: Sequence[str], rng: np.random.Generator) -> str:
    return phrases[int(rng.integers(len(phrases)))]


def _with_article(noun: str) -> str:
    """Prefix the noun with its article.

    >>> _with_article("umbrella")
    'an umbrella'
    """
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _as_in_a_title(noun: str) -> str:
    """Capitalize every word.

    >>> _as_in_a_title("pair of sneakers"), _as_in_a_title("t-shirt")
    ('Sneakers', 'T-shirt')
    """
    return " ".join(word[0].upper() + word[1:] for word in noun.removeprefix("pair of ").split())
