"""Guess the types of attributes that a file has as text. Start at `guess_types`."""

from collections.abc import Sequence

from clairo_core.attributes import PATH_MARK, AttributeType, read_text
from training.datasets.init.column_words import plain
from training.datasets.init.file_sample import FileSample

_LISTS = ("tags", "categories", "genres", "features", "sizes", "colors", "colours", "farben", "groessen")
_BY_VALUES = (AttributeType.BOOLEAN, AttributeType.NUMBER, AttributeType.DATE)
"""The first that all values fit."""


def guess_types(sample: FileSample, attributes: Sequence[str]) -> dict[str, str]:
    """The type of each attribute that is not text; those with a type in the file are left out."""
    guesses = {name: _guess(name, sample.texts(name)) for name in attributes if _is_text(sample, name)}
    return {name: str(guess) for name, guess in guesses.items() if guess is not AttributeType.TEXT}


def _is_text(sample: FileSample, name: str) -> bool:
    return all(isinstance(row.get(name), str | None) for row in sample.rows)


def _guess(name: str, values: Sequence[str]) -> AttributeType:
    if not values:
        return AttributeType.TEXT
    if plain(name) in _LISTS and any("," in value for value in values):
        return AttributeType.LIST
    if sum(PATH_MARK in value for value in values) * 2 > len(values):
        return AttributeType.PATH if _fit(values, AttributeType.PATH) else AttributeType.TEXT
    return next((one for one in _BY_VALUES if _fit(values, one)), AttributeType.TEXT)


def _fit(values: Sequence[str], wanted: AttributeType) -> bool:
    try:
        for value in values:
            read_text(value, wanted)
    except ValueError:
        return False
    return True
