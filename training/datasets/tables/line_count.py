"""Count the lines of a text file, for progress bars."""

from pathlib import Path

from training.datasets.tables.packed_files import is_packed

_BLOCK_BYTES = 16 * 1024 * 1024


def count_lines(path: Path) -> int | None:
    """Count lines, a last line without line end included. None for packed files, which would have to be unpacked."""
    if is_packed(path):
        return None
    num_line_ends, last_block = 0, b"\n"
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            num_line_ends += block.count(b"\n")
            last_block = block
    return num_line_ends + (not last_block.endswith(b"\n"))
