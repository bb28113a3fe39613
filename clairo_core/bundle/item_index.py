"""Keep what reading items.jsonl finds, as arrays: where its lines start, and all attributes.

Written with a bundle and mapped by the service, which then parses no line at its start. Start at `write_item_index`.
"""

import json
from pathlib import Path

import numpy as np

from clairo_core.attributes import AttributeValues, as_json, from_json
from clairo_core.bundle.item_lines import ItemLines, mapped_item_lines
from clairo_core.errors import BundleError
from clairo_core.storage.array_folder import ArrayFolder, load_array_folder, save_array_folder

_PART, _KIND = "items", "lines"


def write_item_index(folder: Path, items: ItemLines) -> None:
    """Write the index of these items into `folder`, created if missing."""
    arrays = {"starts": items.starts}
    values_of = {}
    for number, (name, given) in enumerate(items.attributes.items()):
        arrays |= {f"rows-{number}": given.rows, f"codes-{number}": given.codes}
        values_of[name] = list(as_json({str(code): value for code, value in enumerate(given.values)}).values())
    # Not in the header, which is UTF-8: half a surrogate pair is legal in JSON.
    arrays["values"] = np.frombuffer(json.dumps(values_of).encode("ascii"), dtype=np.uint8)
    save_array_folder(folder, _PART, _KIND, arrays)


def load_item_index(folder: Path, lines: Path) -> ItemLines | None:
    """The items of a file by its written index; None in bundles of before, and where it is not of this file.

    Raises:
        BundleError: a file is missing or damaged.
        OSError: the lines cannot be read.
    """
    if not folder.is_dir():
        return None
    saved = load_array_folder(folder, _PART, _KIND, BundleError)
    starts = saved.mapped("starts", np.int64, (None,))
    if not len(starts) or starts[-1] != lines.stat().st_size:
        return None
    try:
        values_of = json.loads(saved.array("values", np.uint8, (None,)).tobytes())
        attributes = {
            name: _values_in(saved, number, values) for number, (name, values) in enumerate(values_of.items())
        }
    except (ValueError, TypeError, AttributeError) as error:
        raise BundleError(f"{folder}: cannot be read ({error}); copy the bundle again") from error
    is_within = all(_is_within(given, len(starts) - 1) for given in attributes.values())
    if starts[0] or np.any(np.diff(starts) < 1) or not is_within:
        raise BundleError(f"{folder}: arrays do not fit each other; copy the bundle again")
    return mapped_item_lines(lines, starts, attributes)


def _values_in(saved: ArrayFolder, number: int, values: list[object]) -> AttributeValues:
    rows = saved.mapped(f"rows-{number}", np.int32, (None,))
    codes = saved.mapped(f"codes-{number}", np.int32, (len(rows),))
    return AttributeValues(
        rows, codes, tuple(from_json({str(code): value for code, value in enumerate(values)}).values())
    )


def _is_within(given: AttributeValues, num_rows: int) -> bool:
    rows, codes = given.rows, given.codes
    if not len(rows):
        return True
    return bool(rows[0] >= 0 and rows[-1] < num_rows and 0 <= codes.min() <= codes.max() < len(given.values))
