"""Find every fault of a dataset's TOML, not the first alone. Start at `sound_description`."""

from pathlib import Path

from clairo_core.errors import DatasetError, DescriptionError
from training.datasets.check.faults import FaultLog
from training.datasets.dataset_toml import describe
from training.datasets.description import DatasetDescription
from training.datasets.toml_section import load_toml


def sound_description(path: Path, faults: FaultLog) -> DatasetDescription | None:
    """Read a dataset's TOML without its faulty keys; None if those are needed."""
    try:
        content = load_toml(path)
        while True:
            try:
                return describe(path, content)
            except DescriptionError as error:
                faults.add(error)
                key = error.key.split(".")[0]
                if key not in error.section:
                    return None
                del error.section[key]
    except DatasetError as error:
        faults.add(error)
        return None
