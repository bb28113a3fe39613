"""Read a dataset, and check the parts that training will use."""

from collections.abc import Sequence
from pathlib import Path

from clairo_core.events import InteractionRules
from clairo_core.progress import Progress
from training.config.preset import VECTORS, DatasetSettings
from training.datasets import Dataset, check_pictures, load_dataset
from training.datasets.code_vectors import with_codes_as_vectors


def open_dataset(
    source: Path,
    settings: DatasetSettings,
    modalities: Sequence[str],
    progress: Progress,
    rules: InteractionRules | None = None,
) -> Dataset:
    """Read the dataset, and decode every picture once if an image encoder will use them.

    `rules` replace those of the source.

    Raises:
        DatasetError: a table or a picture cannot be used; the text names file, row and field.
    """
    dataset = load_dataset(source, code_columns=tuple(settings.code_columns), rules=rules, progress=progress)
    if settings.codes == VECTORS:
        dataset = with_codes_as_vectors(dataset)
    looks_at_pictures = "image" in modalities and dataset.semantic_ids is None
    return check_pictures(dataset, progress) if looks_at_pictures else dataset
