"""Keep modality embeddings by content digest, so that no run and no dataset encodes a content twice.

One folder per encoder, of Parquet files: digest, vector, is_present. Shards are added and never changed; vectors are
in memory a shard at a time.
"""

import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from clairo_core.encoders import ModalityEmbeddings
from clairo_core.storage.replaced_file import replaced_file

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
        for path in sorted(folder.glob("shard-*.parquet")):
            try:
                digests, _, _ = _load_shard(path)
            except (OSError, ValueError, pa.ArrowException):
                # The contents of a damaged shard are encoded again.
                continue
            self._shard_of |= dict.fromkeys(digests, path)

    def __contains__(self, digest: str) -> bool:
        return digest in self._shard_of

    def add(self, digests: Sequence[str], embeddings: ModalityEmbeddings) -> None:
        """Write these rows to disk."""
        # Named by content: two processes that encode the same items write the same file.
        path = self.folder / f"shard-{digests[0][:16]}-{len(digests)}.parquet"
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(embeddings.vectors.ravel()), embeddings.vectors.shape[1])
        columns = {"digest": pa.array(digests), "vector": vectors, "is_present": pa.array(embeddings.is_present)}
        with replaced_file(path) as aside:
            # Vectors neither repeat nor shrink.
            pq.write_table(pa.table(columns), aside, compression="none", use_dictionary=False, write_page_checksum=True)
        self._shard_of |= dict.fromkeys(digests, path)

    def rows(self, digests: Sequence[str]) -> ModalityEmbeddings:
        """The embeddings of these contents, at least one and all of them added before."""
        dim = _load_shard(self._shard_of[digests[0]])[1].shape[1]
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
    """Digests, vectors and whether each is present. OSError, ValueError or ArrowException if the file is damaged."""
    table = pq.read_table(path, page_checksum_verification=True)
    digests, vectors, is_present = (table[name].combine_chunks() for name in ("digest", "vector", "is_present"))
    values = vectors.flatten().to_numpy().reshape(len(digests), -1)
    return digests.to_pylist(), values, is_present.to_numpy(zero_copy_only=False)
