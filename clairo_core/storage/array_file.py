"""Named arrays in one .npz file, written aside and renamed. No pickle."""

import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path

import numpy as np

from clairo_core.storage.replaced_file import replaced_file


def save_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Write the arrays, uncompressed, under their names."""
    with replaced_file(path) as aside, aside.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def load_arrays(path: Path, *names: str) -> tuple[np.ndarray, ...]:
    """The arrays of these names, in this order.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged, or lacks one of the arrays.
    """
    found = _load(path, names)
    for name in names:
        if name not in found:
            raise ValueError(f"{path.name} lacks the array {name!r}")
    return tuple(found[name] for name in names)


def find_array(path: Path, name: str) -> np.ndarray | None:
    """The array of this name, or None if the file, of an older release, lacks it.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged.
    """
    return _load(path, (name,)).get(name)


def _load(path: Path, names: Collection[str]) -> dict[str, np.ndarray]:
    # Opened here, as numpy leaves a damaged file open.
    with path.open("rb") as file:
        try:
            with np.load(file, allow_pickle=False) as arrays:
                return {name: arrays[name] for name in names if name in arrays}
        except (zipfile.BadZipFile, zlib.error, EOFError, AttributeError, TypeError) as error:
            raise ValueError(f"{path.name} is not a whole .npz file: {error}") from error
