"""Embeddings of old encoders go; those that a run used lately stay."""

import os
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from clairo_core.encoders import ModalityEmbeddings
from training.items.embedding_cache import KEPT_DAYS, EmbeddingCache, remove_old_caches

DAY_SECONDS = 24 * 3600


def cache_of(folder: Path, encoder: str, days_ago: float = 0.0) -> EmbeddingCache:
    cache = EmbeddingCache(folder / encoder)
    cache.add(["0" * 64], ModalityEmbeddings(np.ones((1, 2), np.float32), np.ones(1, np.bool_)))
    then = time.time() - days_ago * DAY_SECONDS
    os.utime(cache.folder, (then, then))
    return cache


def test_a_cache_that_no_run_used_for_a_month_is_removed(tmp_path: Path) -> None:
    cache_of(tmp_path, "text-old", KEPT_DAYS + 1)
    cache_of(tmp_path, "text-lately", KEPT_DAYS - 1)
    cache_of(tmp_path, "text-reused", KEPT_DAYS + 1)
    assert "0" * 64 in EmbeddingCache(tmp_path / "text-reused")
    remove_old_caches(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"text-lately", "text-reused"}


def test_without_any_cache_nothing_is_removed(tmp_path: Path) -> None:
    remove_old_caches(tmp_path / "embeddings")


def test_rows_are_found_across_shards_in_any_order_and_more_than_once(tmp_path: Path) -> None:
    digests = [f"{number:016d}" * 4 for number in range(7)]
    vectors = np.arange(14, dtype=np.float32).reshape(7, 2)
    is_present = np.arange(7) % 3 > 0
    cache = EmbeddingCache(tmp_path)
    for begin in (0, 3, 6):
        chunk = slice(begin, begin + 3)
        cache.add(digests[chunk], ModalityEmbeddings(vectors[chunk], is_present[chunk]))
    wanted = [6, 0, 4, 0, 3, 2]
    for opened in (cache, EmbeddingCache(tmp_path)):
        rows = opened.rows([digests[number] for number in wanted])
        assert rows.vectors.tolist() == vectors[wanted].tolist()
        assert rows.is_present.tolist() == is_present[wanted].tolist()


def test_shards_are_parquet_files_of_digests_and_vectors(tmp_path: Path) -> None:
    (shard,) = cache_of(tmp_path, "text").folder.iterdir()
    rows = pq.read_table(shard).to_pylist()
    assert rows == [{"digest": "0" * 64, "vector": [1.0, 1.0], "is_present": True}]


def test_contents_of_a_damaged_shard_are_unknown(tmp_path: Path) -> None:
    cache = cache_of(tmp_path, "text")
    (shard,) = cache.folder.glob("shard-*")
    shard.write_bytes(shard.read_bytes()[:-40])
    assert "0" * 64 not in EmbeddingCache(cache.folder)


def test_memory_holds_one_shard_of_vectors_at_a_time(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path)
    digests = [f"{number:016d}" * 4 for number in range(64)]
    for begin in range(0, 64, 8):
        of_shard = ModalityEmbeddings(np.ones((8, 10_000), np.float32), np.ones(8, np.bool_))
        cache.add(digests[begin : begin + 8], of_shard)
    tracemalloc.start()
    EmbeddingCache(tmp_path).rows(digests[::8])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # The result and each shard have 8 vectors, all shards have 64.
    assert peak < 48 * 40_000
