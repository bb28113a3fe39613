"""Keep modality embeddings by content digest, so that no run and no dataset encodes a content twice.

One folder per encoder. Shards are added and never changed; vectors are in memory a shard at a time.
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
        self._shard_of: dict[str, Path] = {}
        for path in sorted(folder.glob("shard-*.npz")):
            try:
                digests, _, _ = _load_shard(path)
            except (OSError, ValueError):
                # The contents of a damaged shard are encoded again.
                continue
            self._shard_of |= dict.fromkeys(digests, path)

    def __contains__(self, digest: str) -> bool:
        return digest in self._shard_of

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
        self._shard_of |= dict.fromkeys(digests, path)

    def rows(self, digests: Sequence[str], dim: int) -> ModalityEmbeddings:
        """The embeddings of these contents, all of them added before."""
        vectors = np.zeros((len(digests), dim), np.float32)
        is_present = np.zeros(len(digests), np.bool_)
        rows_of: dict[Path, list[int]] = {}
        for row, digest in enumerate(digests):
            rows_of.setdefault(self._shard_of[digest], []).append(row)
        for path, rows in rows_of.items():
            of_shard, shard_vectors, shard_is_present = _load_shard(path)
            place_of = {digest: place for place, digest in enumerate(of_shard)}
            places = [place_of[digests[row]] for row in rows]
            vectors[rows], is_present[rows] = shard_vectors[places], shard_is_present[places]
        return ModalityEmbeddings(vectors, is_present)


def _load_shard(path: Path) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Digests, vectors and whether each is present. OSError or ValueError if the file is damaged."""
    digests, vectors, is_present = load_arrays(path, "digests", "vectors", "is_present")
    return digests.astype(str).tolist(), vectors, is_present
