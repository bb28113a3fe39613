"""Encode many pictures at once in further processes: decoding and describing one takes milliseconds of Python.

Only by the built-in encoder, which holds Python's lock; libraries have threads of their own. The processes start with
the first large batch and end when none came for a while, or with this process: their input ends then.
Start at `PicturePool.around`.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory

import numpy as np

from clairo_core.encoders.builtin_image import BuiltinImageEncoder
from clairo_core.encoders.encoder import ModalityEmbeddings, ModalityEncoder
from clairo_core.items import Item
from clairo_core.progress import Progress, silent
from service.items import picture_process
from service.usable_cores import usable_cores

FEWEST_PICTURES = 16
"""Fewer are encoded here: sending them would take as long."""
PICTURES_PER_TASK = 16
IDLE_SECONDS = 30.0


class PicturePool:
    """Processes that encode pictures, one batch at a time. Thread-safe."""

    def __init__(self, num_processes: int | None = None, *, idle_seconds: float = IDLE_SECONDS) -> None:
        """By default one process per core; with one, this process encodes."""
        self._num_processes = num_processes or usable_cores()
        self._idle_seconds = idle_seconds
        self._running: list[_Running] = []
        self._idle: threading.Timer | None = None
        self._lock = threading.Lock()

    @property
    def process_ids(self) -> list[int]:
        """Of the running processes."""
        return [process.pid for running in self._running for process in running.processes]

    def around(self, encoders: Mapping[str, ModalityEncoder]) -> dict[str, ModalityEncoder]:
        """The encoders, of which the built-in one of pictures encodes large batches in the processes."""
        if self._num_processes == 1:
            return dict(encoders)
        return {
            modality: _PooledEncoder(self, encoder) if isinstance(encoder, BuiltinImageEncoder) else encoder
            for modality, encoder in encoders.items()
        }

    def encode(self, encoder: BuiltinImageEncoder, items: Sequence[Item]) -> ModalityEmbeddings:
        """Embed pictures as the encoder does.

        Raises:
            OSError, EOFError: a process was killed; the next call starts others.
        """
        with self._lock:
            if self._idle is not None:
                self._idle.cancel()
            try:
                encoded = self._running_for(encoder).encode(items)
            except (OSError, EOFError):
                self._stop()
                raise
            self._idle = threading.Timer(self._idle_seconds, self.close)
            self._idle.daemon = True
            self._idle.start()
        return encoded

    def close(self) -> None:
        """End the processes."""
        with self._lock:
            self._stop()

    def _stop(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        while self._running:
            self._running.pop().stop()

    def _running_for(self, encoder: BuiltinImageEncoder) -> "_Running":
        for running in self._running:
            if running.encoder is encoder:
                return running
        # Of the served bundle, and of the one that is about to take over.
        while len(self._running) > 1:
            self._running.pop(0).stop()
        self._running.append(_Running(encoder, self._num_processes))
        return self._running[-1]


class _Running:
    """Running processes of one encoder."""

    def __init__(self, encoder: BuiltinImageEncoder, num_processes: int) -> None:
        self.encoder = encoder
        self._folder = TemporaryDirectory(prefix="clairo-pictures-")
        encoder.save(Path(self._folder.name))
        command = [sys.executable, "-m", picture_process.__name__, self._folder.name]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
        self.processes = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)  # noqa: S603
            for _ in range(num_processes)
        ]
        self._idle: SimpleQueue[subprocess.Popen[bytes]] = SimpleQueue()
        for process in self.processes:
            self._idle.put(process)
        self._threads = ThreadPoolExecutor(num_processes, "clairo-pictures")

    def encode(self, items: Sequence[Item]) -> ModalityEmbeddings:
        parts = [items[start : start + PICTURES_PER_TASK] for start in range(0, len(items), PICTURES_PER_TASK)]
        encoded = list(self._threads.map(self._encode, parts))
        return ModalityEmbeddings(
            np.concatenate([part.vectors for part in encoded]), np.concatenate([part.is_present for part in encoded])
        )

    def stop(self) -> None:
        for process in self.processes:
            process.kill()
        self._threads.shutdown()
        for process in self.processes:
            # Closes its pipes.
            process.communicate()
        self._folder.cleanup()

    def _encode(self, items: Sequence[Item]) -> ModalityEmbeddings:
        process = self._idle.get()
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            picture_process.write_pictures(process.stdin, [_readable_picture(item) for item in items])
            return picture_process.read_embeddings(process.stdout, len(items), self.encoder.dim)
        finally:
            self._idle.put(process)


@dataclass(frozen=True, slots=True)
class _PooledEncoder:
    """The encoder, which encodes large batches in a pool."""

    pool: PicturePool
    encoder: BuiltinImageEncoder

    @property
    def name(self) -> str:
        """The encoder's."""
        return self.encoder.name

    @property
    def modality(self) -> str:
        """The encoder's."""
        return self.encoder.modality

    @property
    def dim(self) -> int:
        """The encoder's."""
        return self.encoder.dim

    def encode(self, items: Sequence[Item], progress: Progress = silent) -> ModalityEmbeddings:
        """As the encoder."""
        if sum(item.picture is not None for item in items) >= FEWEST_PICTURES:
            try:
                return self.pool.encode(self.encoder, items)
            except (OSError, EOFError):
                # A process was killed, for the machine's memory perhaps: one by one it takes less.
                pass
        return self.encoder.encode(items, progress)

    def save(self, folder: Path) -> None:
        """As the encoder."""
        self.encoder.save(folder)


def _readable_picture(item: Item) -> bytes | None:
    try:
        return item.read_picture()
    except OSError:
        # Missing, as the encoder has it.
        return None
