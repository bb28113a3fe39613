"""Turn a source of items and interactions in any supported format into a `Dataset`. Start at `load_dataset`.

Each source is read in its own module.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from clairo_core.errors import DatasetError
from clairo_core.events import InteractionRules
from clairo_core.progress import Progress, silent
from training.datasets.columns.code_column_names import expand_code_columns
from training.datasets.dataset import Dataset
from training.datasets.dataset_toml import read_description
from training.datasets.described_dataset import load_described_dataset
from training.datasets.description import DatasetDescription
from training.datasets.pictures.picture_check import check_pictures
from training.datasets.published import KNOWN_SETS, describe_published
from training.datasets.shared_folders import describe_shared_folder, is_shared_folder
from training.datasets.tables.table_files import column_names

__all__ = ["Dataset", "check_pictures", "describe_dataset", "load_dataset"]

DESCRIPTION_NAME = "dataset.toml"


def load_dataset(
    source: Path | str,
    *,
    code_columns: Sequence[str] = (),
    rules: InteractionRules | None = None,
    progress: Progress = silent,
) -> Dataset:
    """Load a dataset's TOML, a folder with a dataset.toml, a data set as published, or a benchmark folder.

    Args:
        source: the TOML or the folder.
        code_columns: precomputed code columns to use, by name or by prefix (`text` for text_0, text_1, ...), instead
            of the columns in the description.
        rules: of interactions, instead of those in the description.

    Raises:
        DatasetError: the source is not recognized or has an error; the text names file, row and field.
    """
    path = Path(source)
    description = describe_dataset(path)
    if code_columns:
        description = _with_code_columns(description, code_columns)
    if rules is not None:
        description = dataclasses.replace(description, rules=rules)
    return load_described_dataset(description, progress)


def describe_dataset(path: Path) -> DatasetDescription:
    """Describe a source, and read none of its tables.

    Raises:
        DatasetError: the source is not recognized, or its description has an error.
    """
    if path.is_file():
        return read_description(path)
    if not path.exists():
        raise DatasetError(f"{path} does not exist; name a dataset's TOML or its folder")
    if (path / DESCRIPTION_NAME).is_file():
        return read_description(path / DESCRIPTION_NAME)
    published = describe_published(path)
    if published is not None:
        return published
    if is_shared_folder(path):
        return describe_shared_folder(path)
    found = ", ".join(sorted(entry.name for entry in path.iterdir())[:10]) or "nothing"
    raise DatasetError(
        f"{path} holds {found}; expected a {DESCRIPTION_NAME}, or the files of {KNOWN_SETS} by their published names; "
        f"write a {DESCRIPTION_NAME} by clairo-train init ITEMS INTERACTIONS, or as docs/datasets.md shows"
    )


def _with_code_columns(description: DatasetDescription, wanted: Sequence[str]) -> DatasetDescription:
    codes = description.codes
    if codes is None:
        raise DatasetError(
            f"dataset {description.name!r} has no file of codes for dataset.code_columns={','.join(wanted)}; "
            "name the file in [codes]"
        )
    columns = expand_code_columns(codes.file, column_names(codes.file), wanted)
    # Sizes and uniqueness were declared for other columns.
    is_as_described = columns == codes.columns
    return dataclasses.replace(
        description,
        codes=codes if is_as_described else dataclasses.replace(codes, columns=columns, sizes=(), unique=False),
    )
