"""Write the state of one fitted part as a folder, and read it back or say what is wrong with it.

A folder holds `<part>.json`, a header that a person can read, and `arrays.npz`. Knows files and arrays; knows
nothing of what the part does with them. Start at `save_array_folder` and `load_array_folder`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clairo_core.array_file import load_arrays, save_arrays
from clairo_core.errors import ClairoError

SCHEMA_VERSION = 1
_ARRAYS_FILE = "arrays.npz"


@dataclass(frozen=True)
class ArrayFolder:
    """A folder that was read; a value is checked when asked for, with an error that names the file."""

    path: Path
    header: Mapping[str, object]
    arrays: Mapping[str, np.ndarray]
    error: type[ClairoError]

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of strings of the header."""
        values = self.header.get(key)
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise self.error(f"{self.path}: {key} is {values!r}, expected a list of strings; copy the folder again")
        return tuple(values)

    def array(self, name: str, dtype: type[np.generic], *shape: int | None) -> np.ndarray:
        """An array of exactly this element type and shape (None: any length), every value of it finite."""
        array = self.arrays.get(name)
        if array is None:
            raise self.error(f"{self.path}: array {name!r} is missing; copy the folder again")
        fits = len(array.shape) == len(shape) and all(
            expected in (None, length) for length, expected in zip(array.shape, shape, strict=True)
        )
        if array.dtype != dtype or not fits:
            lengths = ", ".join("any" if length is None else str(length) for length in shape)
            raise self.error(
                f"{self.path}: array {name!r} is {array.dtype} of shape {array.shape}, "
                f"expected {np.dtype(dtype)} of ({lengths}); copy the folder again"
            )
        if not np.isfinite(array).all():
            raise self.error(f"{self.path}: array {name!r} holds no finite numbers; copy the folder again")
        return array


def save_array_folder(
    folder: Path, part: str, kind: str, arrays: Mapping[str, np.ndarray], **header: str | int | Sequence[str]
) -> None:
    """Write `<part>.json` and the arrays into `folder`, which is made if need be; each file aside, then renamed.

    Args:
        folder: where to write.
        part: what this is, such as "encoder".
        kind: which one of its sort, such as "builtin-text".
        arrays: name -> array.
        header: what else the JSON says.
    """
    folder.mkdir(parents=True, exist_ok=True)
    save_arrays(folder / _ARRAYS_FILE, **arrays)
    content = {"part": part, "kind": kind, "schema_version": SCHEMA_VERSION, **header, "arrays": list(arrays)}
    path = folder / f"{part}.json"
    aside = path.with_name(path.name + ".tmp")
    aside.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    aside.replace(path)


def load_array_folder(folder: Path, part: str, kind: str, error: type[ClairoError]) -> ArrayFolder:
    """Read what `save_array_folder` wrote.

    Raises:
        error: a file is missing or damaged, or the folder holds another kind of part, or one of a newer schema.
    """
    header = _load_header(folder, part, error)
    if header["kind"] != kind:
        raise error(f"{folder} holds the {part} {header['kind']!r}, expected {kind!r}; give another folder")
    names = ArrayFolder(folder, header, {}, error).texts("arrays")
    try:
        arrays = dict(zip(names, load_arrays(folder / _ARRAYS_FILE, *names), strict=True))
    except (OSError, ValueError) as cause:
        raise error(f"{folder / _ARRAYS_FILE} cannot be read ({cause}); copy the folder again") from cause
    return ArrayFolder(folder, header, arrays, error)


def load_kind(folder: Path, part: str, error: type[ClairoError]) -> str:
    """Which kind of `part` the folder holds.

    Raises:
        error: the header is missing or damaged, or of a newer schema.
    """
    return str(_load_header(folder, part, error)["kind"])


def _load_header(folder: Path, part: str, error: type[ClairoError]) -> dict[str, object]:
    path = folder / f"{part}.json"
    try:
        header = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as cause:
        raise error(f"{path} cannot be read ({cause}); give a folder that holds {part}s, or copy it again") from cause
    if not isinstance(header, dict) or header.get("part") != part or not isinstance(header.get("kind"), str):
        raise error(f"{path} does not describe a {part} of some kind; copy the folder again")
    version = header.get("schema_version")
    if not isinstance(version, int) or version < 1:
        raise error(f"{path}: schema_version is {version!r}, expected a whole number; copy the folder again")
    if version > SCHEMA_VERSION:
        raise error(f"{path} has schema version {version}, this CLAIRO reads up to {SCHEMA_VERSION}; update CLAIRO")
    return header
