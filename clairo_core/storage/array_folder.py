"""Save the state of one fitted part as a folder, and load it with a check of every value.

A folder holds `<part>.json`, a readable header, and `arrays.safetensors`. Start at `save_array_folder` and
`load_array_folder`.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from clairo_core.errors import ClairoError
from clairo_core.storage.replaced_file import replace_text, replaced_file

SCHEMA_VERSION = 1
_ARRAYS_FILE = "arrays.safetensors"
_DTYPES = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U64": np.uint64,
    "U32": np.uint32,
    "U16": np.uint16,
    "U8": np.uint8,
    "BOOL": np.bool_,
}
_HALF_INFINITY = 0x7C00
"""Bits of half precision: higher ones without the sign are NaN."""
_VALUES_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class ArrayFolder:
    """A loaded folder. Each value is checked when it is read; errors name the file."""

    header_path: Path
    header: Mapping[str, object]
    arrays: Mapping[str, np.ndarray]
    error: type[ClairoError]

    def text(self, key: str) -> str:
        """A string of the header."""
        value = self.header.get(key)
        if not isinstance(value, str):
            raise self.error(f"{self.header_path}: {key} is {value!r}, expected a string; copy the folder again")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of strings of the header."""
        values = self.header.get(key)
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise self.error(
                f"{self.header_path}: {key} is {values!r}, expected a list of strings; copy the folder again"
            )
        return tuple(values)

    def array(self, name: str, dtype: np.dtype | type, shape: Sequence[int | None]) -> np.ndarray:
        """An array of exactly this element type and shape (None: any length), all of it finite."""
        # A copy: the place of an array in a file decides the last bit of its products.
        return self.mapped(name, dtype, shape).copy()

    def mapped(self, name: str, dtype: np.dtype | type, shape: Sequence[int | None]) -> np.ndarray:
        """As `array`, but left in the file: read when used, and shared by processes. For large ones to look up in."""
        array = self.arrays.get(name)
        if array is None:
            raise self.error(f"{self.header_path.parent}: array {name!r} is missing; copy the folder again")
        fits = array.dtype == dtype and len(array.shape) == len(shape)
        if not fits or any(want not in (None, got) for got, want in zip(array.shape, shape, strict=True)):
            wanted = tuple("any" if length is None else length for length in shape)
            raise self.error(
                f"{self.header_path.parent}: array {name!r} is {array.dtype} {array.shape}, expected "
                f"{np.dtype(dtype)} {wanted}; copy the folder again"
            )
        if not _is_finite(array):
            raise self.error(
                f"{self.header_path.parent}: array {name!r} has values that are not finite; copy the folder again"
            )
        return array


def _is_finite(array: np.ndarray) -> bool:
    """Whether every value is; makes no mask of the array's length."""
    if not array.size or array.dtype.kind != "f":
        return True
    if array.dtype != np.float16:
        # A minimum is NaN if one value is.
        return math.isfinite(array.min()) and math.isfinite(array.max())
    # NumPy takes seven times as long for the minimum of half precision.
    bits = array.reshape(-1).view(np.uint16)
    starts = range(0, len(bits), _VALUES_AT_ONCE)
    return all((bits[start : start + _VALUES_AT_ONCE] & 0x7FFF).max() < _HALF_INFINITY for start in starts)


def save_array_folder(
    folder: Path, part: str, kind: str, arrays: Mapping[str, np.ndarray], header: Mapping[str, object] | None = None
) -> None:
    """Write `<part>.json` and the arrays into `folder`, created if missing; each file aside, then renamed.

    Args:
        folder: where to write.
        part: such as "encoder".
        kind: of that part, such as "builtin-text".
        arrays: name -> array of any element type that safetensors knows.
        header: further fields of the JSON.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with replaced_file(folder / _ARRAYS_FILE) as aside:
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, aside)
    content = {"part": part, "kind": kind, "schema_version": SCHEMA_VERSION, **(header or {})}
    replace_text(folder / f"{part}.json", json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def load_array_folder(folder: Path, part: str, kind: str, error: type[ClairoError]) -> ArrayFolder:
    """Load a folder that `save_array_folder` wrote.

    Raises:
        error: a file is missing, damaged, of another kind, or of a newer schema.
    """
    header_path = folder / f"{part}.json"
    header = _load_header(header_path, error)
    if header.get("part") != part or header.get("kind") != kind:
        raise error(
            f"{header_path} holds the {header.get('part')} {header.get('kind')!r}, expected the {part} {kind!r}; "
            "give the right folder"
        )
    version = header.get("schema_version")
    if not isinstance(version, int) or version < 1:
        raise error(f"{header_path}: schema_version is {version!r}, expected a whole number; copy the folder again")
    if version > SCHEMA_VERSION:
        raise error(
            f"{header_path} has schema version {version}, this CLAIRO reads up to {SCHEMA_VERSION}; update CLAIRO"
        )
    arrays_path = folder / _ARRAYS_FILE
    try:
        arrays = _mapped_arrays(arrays_path)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as cause:
        raise error(f"{arrays_path} is missing or damaged ({cause}); copy the folder again") from cause
    return ArrayFolder(header_path, header, arrays, error)


def _mapped_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays left in their file; a value that is changed is copied first.

    safetensors checks the file, but maps it for torch alone, whose import takes a second and 200 MB.
    """
    with safe_open(path, framework="np"):
        content = np.asarray(np.memmap(path, np.uint8, mode="c"))
    begin = 8 + int.from_bytes(content[:8].tobytes(), "little")
    arrays = {}
    for name, found in json.loads(content[8:begin].tobytes()).items():
        if name != "__metadata__":
            start, end = found["data_offsets"]
            arrays[name] = content[begin + start : begin + end].view(_DTYPES[found["dtype"]]).reshape(found["shape"])
    return arrays


def load_kind(folder: Path, part: str, error: type[ClairoError]) -> str:
    """The kind of `part` that the folder holds.

    Raises:
        error: the header is missing or damaged, or has no kind.
    """
    header_path = folder / f"{part}.json"
    return ArrayFolder(header_path, _load_header(header_path, error), {}, error).text("kind")


def _load_header(path: Path, error: type[ClairoError]) -> dict[str, object]:
    try:
        header = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as cause:
        raise error(f"{path} is missing; give the folder that holds it") from cause
    except (OSError, ValueError, RecursionError) as cause:
        raise error(f"{path} cannot be read as JSON ({cause}); copy the folder again") from cause
    if not isinstance(header, dict):
        raise error(f"{path} holds a {type(header).__name__}, expected a JSON object; copy the folder again")
    return header
