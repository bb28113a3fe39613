"""Load a bundle and its recommender once, for worker processes that are forked afterwards. Start at `preload`."""

import asyncio
import multiprocessing
import os
from dataclasses import dataclass
from pathlib import Path

import torch

from clairo_core.bundle.bundle import Bundle
from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.items import UserHistory
from clairo_core.recommendation import RecommendationRequest
from clairo_core.recommender import Recommender
from service.app import open_store
from service.bundles.shelf import BundleShelf
from service.bundles.swap import first_bundle
from service.serving import recommender_of
from service.settings import Settings
from service.store.sql_store import SqlStore

NVML_VARIABLE = "PYTORCH_NVML_BASED_CUDA_CHECK"
"""torch then looks for GPUs without opening CUDA, which no fork could use any more."""


@dataclass(frozen=True, slots=True)
class Preloaded:
    """A bundle on the CPU, ready to answer."""

    bundle: Bundle
    recommender: Recommender


def preload(settings: Settings) -> Preloaded | None:
    """Load the bundle that workers will serve first, and warm up; None if a GPU will compute.

    Raises:
        BundleError: it cannot be served.
        StoreError: the store, which knows the bundle activated last, cannot be read.
    """
    os.environ.setdefault(NVML_VARIABLE, "1")
    if settings.device != "cpu" and not (settings.device == "auto" and not torch.cuda.is_available()):
        return None
    shelf = BundleShelf(settings.bundle, settings.bundles_dir, settings.bundle_copies)
    if shelf.is_remote:
        # The library that connects starts threads, and only a process without any can fork workers.
        with multiprocessing.get_context("fork").Pool(1) as pool:
            bundle = load_bundle(pool.apply(_folder_of_first, (settings,)))
    else:
        bundle = asyncio.run(_first_bundle(settings, shelf))
    recommender = recommender_of(bundle, settings)
    history = UserHistory(recommender.catalogue.item_ids[: recommender.max_history_items])
    recommender.recommend_batch([RecommendationRequest(history=history, limit=1)])
    return Preloaded(bundle, recommender)


def _folder_of_first(settings: Settings) -> Path:
    """Fetch and try the first bundle in another process; return its folder on this machine."""
    shelf = BundleShelf(settings.bundle, settings.bundles_dir, settings.bundle_copies)
    return asyncio.run(_first_bundle(settings, shelf)).folder


async def _first_bundle(settings: Settings, shelf: BundleShelf) -> Bundle:
    if settings.bundles_dir is None:
        return shelf.load_configured()
    store = SqlStore(settings.store_location, settings.namespace, may_migrate=settings.migrate or None)
    try:
        await open_store(store, settings.database_wait_seconds)
        return await first_bundle(settings, None, shelf, store)
    finally:
        await store.close()
