"""Leave out the modalities that no item of a dataset has, so that a shop without pictures trains by its words."""

import dataclasses
from collections.abc import Callable

from training.config.preset import Preset
from training.datasets import Dataset

_OF_EVERY_ITEM = ("text", "image")
"""What presets name by default; another modality that is absent is an error of the settings."""


def with_present_modalities(preset: Preset, dataset: Dataset, report: Callable[[str], None]) -> Preset:
    """The preset without words or pictures that the dataset lacks; unchanged where nothing would be left."""
    if dataset.semantic_ids is not None:
        return preset
    absent = [one for one in preset.encode.modalities if one in _OF_EVERY_ITEM and one not in dataset.modalities]
    present = tuple(one for one in preset.encode.modalities if one not in absent)
    if not absent or not present:
        return preset
    report(f"encode: no item has {' or '.join(absent)}, so modalities are {', '.join(present)}")
    return dataclasses.replace(preset, encode=dataclasses.replace(preset.encode, modalities=present))
