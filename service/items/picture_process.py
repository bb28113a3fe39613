"""Encode pictures that come on standard input, until it ends: the main module of a process of `PicturePool`.

    python -m service.items.picture_process FOLDER_OF_ENCODER

Imports neither torch nor the service, so that a process takes 100 MB and starts within a second.
"""

import os
import signal
import struct
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from clairo_core.encoders.builtin_image import BuiltinImageEncoder
from clairo_core.encoders.encoder import ModalityEmbeddings
from clairo_core.items import Item

NICENESS = 5
"""Answers come first."""
_COUNT, _LENGTH = struct.Struct("<I"), struct.Struct("<q")
_NO_PICTURE = -1


def write_pictures(stream: IO[bytes], pictures: Sequence[bytes | None]) -> None:
    """Send pictures: their count, then each one's length and bytes."""
    stream.write(_COUNT.pack(len(pictures)))
    for picture in pictures:
        stream.write(_LENGTH.pack(_NO_PICTURE if picture is None else len(picture)))
        stream.write(picture or b"")
    stream.flush()


def read_pictures(stream: IO[bytes]) -> Iterator[list[bytes | None]]:
    """Receive what `write_pictures` sends, until the stream ends."""
    while count := stream.read(_COUNT.size):
        pictures: list[bytes | None] = []
        for _ in range(_COUNT.unpack(count)[0]):
            (length,) = _LENGTH.unpack(stream.read(_LENGTH.size))
            pictures.append(None if length == _NO_PICTURE else stream.read(length))
        yield pictures


def read_embeddings(stream: IO[bytes], num_pictures: int, dim: int) -> ModalityEmbeddings:
    """Receive embeddings of so many pictures.

    Raises:
        EOFError: the process ended.
    """
    content = stream.read(num_pictures * (4 * dim + 1))
    if len(content) < num_pictures * (4 * dim + 1):
        raise EOFError("a process that encodes pictures ended")
    vectors = np.frombuffer(content, "<f4", num_pictures * dim).reshape(num_pictures, dim)
    is_present = np.frombuffer(content, np.bool_, num_pictures, offset=vectors.nbytes)
    return ModalityEmbeddings(vectors.astype(np.float32), is_present)


def encode_all(encoder: BuiltinImageEncoder, source: IO[bytes], target: IO[bytes]) -> None:
    """Encode each batch of pictures, and send the embeddings."""
    for pictures in read_pictures(source):
        encoded = encoder.encode([Item(item_id="", picture=picture) for picture in pictures])
        target.write(encoded.vectors.astype("<f4").tobytes() + encoded.is_present.tobytes())
        target.flush()


def main() -> None:
    """Run the process."""
    # Control-C reaches every process of a terminal; this one ends with its input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    encode_all(BuiltinImageEncoder.load(Path(sys.argv[1])), sys.stdin.buffer, sys.stdout.buffer)


if __name__ == "__main__":
    main()
