"""Find every fault of a dataset's TOML, not the first alone. Start at `sound_description`."""

from pathlib import Path

from clairo_core.errors import DatasetError, DescriptionError
from training.datasets.check.faults import FaultLog
from training.datasets.dataset_toml import describe
from training.datasets.description import DatasetDescription
from training.datasets.toml_section import load_toml


def sound_description(path: Path, faults: FaultLog) -> DatasetDescription | None:
    """Read a dataset's TOML without its faulty keys; None if those are needed."""
    removed: set[tuple[int, str]] = set()
    try:
        content = load_toml(path)
        while True:
            try:
                return describe(path, content)
            except DescriptionError as error:
                key = error.key.split(".")[0]
                if (id(error.section), key) in removed:
                    # A required key, missing since it was faulty: one fault, not two.
                    return None
                faults.add(error)
                if key not in error.section:
                    return None
                del error.section[key]
                removed.add((id(error.section), key))
    except DatasetError as error:
        faults.add(error)
        return None
