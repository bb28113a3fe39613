"""How an item's features are spelled as tokens: in which order, with which markers, in one language or several.

    shuffled     every view draws an order; merge rules join features
    ordered      always in the order of categories
    marked       ordered, with a marker wherever the codes of another modality begin
    languages    ordered, and each modality is a language: its codes and what tells items apart

A modality's codes are the categories of one name before the number, such as `text_0` and `text_1`. Start at
`spelled_languages`.

Source: `shuffled` is of Hou et al. 2025, "ActionPiece", `marked` of Zhu et al. 2025, "Beyond Unimodal Boundaries" (its
transition tokens), `languages` of Zhai et al. 2025, "Multimodal Quantitative Language for Generative Recommendation".
"""

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from clairo_core.errors import VocabularyError


class Spelling(StrEnum):
    """How all items of a vocabulary are spelled."""

    SHUFFLED = "shuffled"
    ORDERED = "ordered"
    MARKED = "marked"
    LANGUAGES = "languages"


@dataclass(frozen=True, slots=True)
class Language:
    """One way to spell an item, which tells it apart from all others."""

    name: str
    """The modality's, or `all`."""
    places: tuple[int | str, ...]
    """Categories in the order of their tokens, and markers by name."""

    @property
    def categories(self) -> tuple[int, ...]:
        """Categories that are spelled, markers left out."""
        return tuple(place for place in self.places if isinstance(place, int))


def spelled_languages(spelling: Spelling, category_names: Sequence[str]) -> tuple[Language, ...]:
    """The languages of a vocabulary; one for every spelling but `languages`.

    >>> [language.places for language in spelled_languages(Spelling.MARKED, ["text_0", "image_0", "collision"])]
    [(0, 'to image', 1, 2)]
    >>> [language.places for language in spelled_languages(Spelling.LANGUAGES, ["text_0", "image_0", "collision"])]
    [(0, 2), (1, 2)]

    Raises:
        VocabularyError: `marked` or `languages`, but the codes are of fewer than two modalities.
    """
    if spelling in (Spelling.SHUFFLED, Spelling.ORDERED):
        return (Language("all", tuple(range(len(category_names)))),)
    modalities = categories_of_modalities(category_names)
    if len(modalities) < 2:
        raise VocabularyError(
            f"spelling {spelling} with the categories {', '.join(category_names)}; expected codes of two or more "
            "modalities, such as text_0 and image_0; train with fuse.scheme=late"
        )
    of_modalities = set(itertools.chain.from_iterable(modalities.values()))
    rest = tuple(category for category in range(len(category_names)) if category not in of_modalities)
    if spelling is Spelling.LANGUAGES:
        return tuple(Language(modality, (*categories, *rest)) for modality, categories in modalities.items())
    places: list[int | str] = []
    for modality, categories in modalities.items():
        places += [transition_marker(modality), *categories]
    return (Language("all", (*places[1:], *rest)),)


def spelled_markers(spelling: Spelling, category_names: Sequence[str]) -> tuple[str, ...]:
    """Names of the tokens that are no feature: those between modalities, or those that open a task across languages."""
    languages = spelled_languages(spelling, category_names)
    if spelling is not Spelling.LANGUAGES:
        return tuple(place for place in languages[0].places if isinstance(place, str))
    pairs = list(itertools.permutations((language.name for language in languages), 2))
    return tuple(itertools.chain.from_iterable((next_item_marker(*pair), same_item_marker(*pair)) for pair in pairs))


def transition_marker(modality: str) -> str:
    """Name of the marker before a modality's codes."""
    return f"to {modality}"


def next_item_marker(read: str, write: str) -> str:
    """Name of the marker before a history in one language whose next item is written in another one."""
    return f"next item, {read} to {write}"


def same_item_marker(read: str, write: str) -> str:
    """Name of the marker before an item in one language that is written in another one."""
    return f"same item, {read} to {write}"


def categories_of_modalities(category_names: Sequence[str]) -> Mapping[str, tuple[int, ...]]:
    """Categories of each modality's codes, in order of its first one. Names without a number have no modality.

    >>> dict(categories_of_modalities(["text_0", "text_1", "image_0", "collision"]))
    {'text': (0, 1), 'image': (2,)}
    """
    modalities: dict[str, list[int]] = {}
    for category, name in enumerate(category_names):
        match = re.fullmatch(r"(.+)_\d+", name)
        if match:
            modalities.setdefault(match[1], []).append(category)
    return {modality: tuple(categories) for modality, categories in modalities.items()}
