"""How many lines a text file has: the end of a progress bar."""

from pathlib import Path

_BLOCK_BYTES = 16 * 1024 * 1024


def count_lines(path: Path) -> int | None:
    """The number of lines, the last one with or without a line end.

    None for a gzip file, which would have to be unpacked for it.
    """
    if path.suffix == ".gz":
        return None
    num_line_ends, last_block = 0, b"\n"
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            num_line_ends += block.count(b"\n")
            last_block = block
    return num_line_ends + (not last_block.endswith(b"\n"))
