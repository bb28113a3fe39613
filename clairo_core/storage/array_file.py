"""Named arrays in one .npz file, written aside and renamed. No pickle."""

import zipfile
import zlib
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
    # Opened here, as numpy leaves a damaged file open.
    with path.open("rb") as file:
        try:
            with np.load(file, allow_pickle=False) as arrays:
                return tuple(arrays[name] for name in names)
        except (zipfile.BadZipFile, zlib.error, EOFError, AttributeError, TypeError) as error:
            raise ValueError(f"{path.name} is not a whole .npz file: {error}") from error
        except KeyError as error:
            raise ValueError(f"{path.name} lacks an array: {error}") from error
