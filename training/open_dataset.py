"""Read a dataset and make sure that what will be used of it can be used."""

from collections.abc import Sequence
from pathlib import Path

from clairo_core.progress import Progress
from training.datasets import Dataset, check_pictures, load_dataset


def open_dataset(source: Path, code_columns: Sequence[str], modalities: Sequence[str], progress: Progress) -> Dataset:
    """The dataset, its pictures decoded once if an encoder is going to look at them.

    Raises:
        DatasetError: a table or a picture cannot be used; the text names file, row and field.
    """
    dataset = load_dataset(source, code_columns=tuple(code_columns), progress=progress)
    looks_at_pictures = "image" in modalities and dataset.semantic_ids is None
    return check_pictures(dataset, progress) if looks_at_pictures else dataset
