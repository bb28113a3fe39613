"""Embeddings of old encoders go; those that a run used lately stay."""

import os
import time
from pathlib import Path

import numpy as np

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
