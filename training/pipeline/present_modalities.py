"""Leave out the modalities that no item of a dataset has, so that a shop without pictures trains by its words."""

import dataclasses
from collections.abc import Callable

from clairo_core.errors import SettingsError
from training.config.load_preset import check_together
from training.config.preset import Preset
from training.datasets import Dataset

_OF_EVERY_ITEM = ("text", "image")
"""What presets name by default; another modality that is absent is an error of the settings."""


def with_present_modalities(preset: Preset, dataset: Dataset, report: Callable[[str], None]) -> Preset:
    """The preset without words or pictures that the dataset lacks; unchanged where nothing would be left.

    Raises:
        SettingsError: another modality is absent, or other settings do not go with those that are left.
    """
    if dataset.semantic_ids is not None:
        return preset
    of_items, listed = dataset.modalities, preset.encode.modalities
    unknown = [one for one in listed if one not in (*_OF_EVERY_ITEM, *of_items)]
    if unknown:
        raise SettingsError(
            f"encode.modalities is {', '.join(listed)}, but no item of {dataset.name} has {' or '.join(unknown)}; "
            f"expected {' and '.join(_OF_EVERY_ITEM)}, which are built in, or columns under [items.vectors] of the "
            f"dataset's TOML; this dataset has {', '.join(of_items) or 'none'}"
        )
    absent = [one for one in listed if one in _OF_EVERY_ITEM and one not in of_items]
    present = tuple(one for one in listed if one not in absent)
    if not absent or not present:
        return preset
    report(f"encode: no item has {' or '.join(absent)}, so modalities are {', '.join(present)}")
    of_present = dataclasses.replace(preset, encode=dataclasses.replace(preset.encode, modalities=present))
    check_together(of_present)
    return of_present
