"""Keep modality embeddings by content digest, so that no run and no dataset encodes a content twice.

One folder per encoder. Shards are added and never changed.
"""

import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from clairo_core.encoders import ModalityEmbeddings
from clairo_core.storage.array_file import load_arrays, save_arrays

KEPT_DAYS = 30


def remove_old_caches(folder: Path) -> None:
    """Remove the caches below `folder` that no run has opened for `KEPT_DAYS`.

    Encoders fitted on the data change with it, and nothing looks their embeddings up again.
    """
    oldest = time.time() - KEPT_DAYS * 24 * 3600
    for cache in folder.glob("*"):
        if cache.stat().st_mtime < oldest:
            shutil.rmtree(cache, ignore_errors=True)


class EmbeddingCache:
    """Content digest -> modality embedding, for one encoder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        # For `remove_old_caches`.
        os.utime(folder)
        self._shards: list[ModalityEmbeddings] = []
        self._place: dict[str, tuple[int, int]] = {}
        for path in sorted(folder.glob("shard-*.npz")):
            try:
                digests, vectors, is_present = load_arrays(path, "digests", "vectors", "is_present")
            except (OSError, ValueError):
                # The contents of a damaged shard are encoded again.
                continue
            self._remember(digests.astype(str).tolist(), ModalityEmbeddings(vectors, is_present))

    def __contains__(self, digest: str) -> bool:
        return digest in self._place

    def add(self, digests: Sequence[str], embeddings: ModalityEmbeddings) -> None:
        """Write these rows to disk."""
        # Named by content: two processes that encode the same items write the same file.
        path = self.folder / f"shard-{digests[0][:16]}-{len(digests)}.npz"
        save_arrays(
            path,
            digests=np.array(digests, dtype="S64"),
            vectors=embeddings.vectors,
            is_present=embeddings.is_present,
        )
        self._remember(digests, embeddings)

    def rows(self, digests: Sequence[str]) -> ModalityEmbeddings:
        """The embeddings of these contents, at least one and all of them added before."""
        vectors = np.zeros((len(digests), self._shards[0].vectors.shape[1]), np.float32)
        is_present = np.zeros(len(digests), np.bool_)
        for row, digest in enumerate(digests):
            shard, place = self._place[digest]
            vectors[row] = self._shards[shard].vectors[place]
            is_present[row] = self._shards[shard].is_present[place]
        return ModalityEmbeddings(vectors, is_present)

    def _remember(self, digests: Sequence[str], embeddings: ModalityEmbeddings) -> None:
        self._place |= {digest: (len(self._shards), place) for place, digest in enumerate(digests)}
        self._shards.append(embeddings)
