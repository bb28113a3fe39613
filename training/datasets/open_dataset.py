"""Read a dataset and make sure that what will be used of it can be used."""

from collections.abc import Sequence
from pathlib import Path

from clairo_core.errors import SettingsError
from clairo_core.progress import Progress
from training.config.preset import DatasetSettings
from training.datasets import Dataset, check_pictures, load_dataset
from training.datasets.code_vectors import with_codes_as_vectors

IDS, VECTORS = "ids", "vectors"


def open_dataset(source: Path, settings: DatasetSettings, modalities: Sequence[str], progress: Progress) -> Dataset:
    """The dataset, its pictures decoded once if an encoder is going to look at them.

    Raises:
        DatasetError: a table or a picture cannot be used; the text names file, row and field.
        SettingsError: codes are to be taken in no way that there is.
    """
    if settings.codes not in (IDS, VECTORS):
        raise SettingsError(f"dataset.codes is {settings.codes!r}; choose {IDS} or {VECTORS}")
    dataset = load_dataset(source, code_columns=tuple(settings.code_columns), progress=progress)
    if settings.codes == VECTORS:
        dataset = with_codes_as_vectors(dataset)
    looks_at_pictures = "image" in modalities and dataset.semantic_ids is None
    return check_pictures(dataset, progress) if looks_at_pictures else dataset
