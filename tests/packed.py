"""Write a text file, packed if its name ends in .gz or .zst."""

from pathlib import Path

import pyarrow as pa


def write_packed(path: Path, text: str | bytes) -> None:
    compression = {".gz": "gzip", ".zst": "zstd"}.get(path.suffix)
    with pa.output_stream(str(path), compression=compression) as file:
        file.write(text.encode() if isinstance(text, str) else text)
