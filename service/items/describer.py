"""Describe items: encoders, fusion and quantizer of the served bundle turn content into features.

Start at `Describer.describe_new`.
"""

import asyncio
from collections.abc import Container, Iterable, Sequence
from dataclasses import replace

from clairo_core.catalogue import Catalogue
from clairo_core.encoders.item_content import IMAGE
from clairo_core.encoders.pictures import decode_picture
from clairo_core.items import Item
from service.errors import CannotIngestError
from service.items.picture_pool import PicturePool
from service.live_catalogue import LiveCatalogue
from service.store.store import StoredFeatures
from service.telemetry.metrics import Metrics
from service.telemetry.tracing import step


class Describer:
    """Items -> features, by the bundle that `live` has at the time of the call."""

    def __init__(self, live: LiveCatalogue, metrics: Metrics, pictures: PicturePool | None = None) -> None:
        """`pictures` encodes large batches; by default, this process does."""
        self._live = live
        self._metrics = metrics
        self._pictures = pictures or PicturePool(1)

    @property
    def can_describe(self) -> bool:
        """Whether the bundle has encoders."""
        return self._live.bundle.can_ingest

    def check_can_describe(self) -> None:
        """Refuse new items under a bundle without encoders.

        Raises:
            CannotIngestError: the bundle has no encoders.
        """
        if not self.can_describe:
            raise CannotIngestError(
                f"bundle {self._live.bundle_id} {self._live.bundle.manifest.why_no_encoders} and has no encoders for "
                "new items; "
                "serve a bundle trained on pictures and words"
            )

    async def describe(self, items: Sequence[Item], taken: Container[tuple[int, ...]]) -> list[StoredFeatures]:
        """Describe items, in order. No feature set is in `taken` or used by an earlier one of them.

        Raises:
            FeatureSpaceFullError: no feature set is free.
        """
        with step("clairo.encode"), self._metrics.timed_encoding():
            bundle = replace(self._live.bundle, encoders=self._pictures.around(self._live.bundle.encoders))
            described = await asyncio.to_thread(bundle.describe_items, items, taken)
        return [
            StoredFeatures(
                bundle_id=self._live.bundle_id,
                feature_set=tuple(int(value) for value in of_item.feature_set),
                item_embedding=of_item.item_embedding,
                missing_modalities=tuple(of_item.missing_modalities),
                spelled=self._live.bundle.vocabulary.spelled_categories,
            )
            for of_item in described
        ]

    async def warm_up(self) -> None:
        """Describe one of the bundle's own items: no first client waits for libraries that encoders import late."""
        bundle = self._live.bundle
        if bundle.can_ingest and bundle.items:
            item = replace(bundle.items[0], picture=bundle.read_picture(0))
            # Not the catalogue's: a full one is no reason not to start.
            await asyncio.to_thread(bundle.describe_items, [item], ())

    async def describe_moved(self, row: int, item: Item) -> StoredFeatures:
        """Describe an item of the bundle with other content: its embedding moves, its feature set stays."""
        with step("clairo.encode"), self._metrics.timed_encoding():
            embedding, missing = await asyncio.to_thread(self._live.bundle.moved_embedding, row, item)
        return replace(self.trained_features(row), item_embedding=embedding, missing_modalities=missing)

    def trained_features(self, row: int) -> StoredFeatures:
        """Features of an item of the bundle, as trained."""
        bundle = self._live.bundle
        if bundle.item_embeddings is None:
            raise CannotIngestError(f"bundle {self._live.bundle_id} has no item embeddings; serve one with encoders")
        return StoredFeatures(
            bundle_id=self._live.bundle_id,
            feature_set=tuple(int(value) for value in bundle.catalogue.feature_sets[row]),
            item_embedding=bundle.item_embeddings.item_embeddings[row],
            missing_modalities=bundle.missing_modalities(row),
        )

    async def describe_new(self, items: Sequence[Item], catalogue: Catalogue) -> list[StoredFeatures]:
        """Describe items as clients sent them: as `describe`, but a picture that cannot be decoded is refused.

        Raises:
            UnreadablePictureError, ContentTooLargeError: a picture cannot be used.
            FeatureSpaceFullError: no feature set is free.
        """
        fusion = self._live.bundle.fusion
        described = await self.describe(items, catalogue.taken)
        # A picture that has an embedding was decoded for it. Encoders take a damaged picture for a missing one.
        reads_pictures = fusion is not None and IMAGE in fusion.modalities
        await check_pictures(
            item.read_picture()
            for item, features in zip(items, described, strict=True)
            if not reads_pictures or IMAGE in features.missing_modalities
        )
        return described


async def check_pictures(pictures: Iterable[bytes | None]) -> None:
    """Decode every picture.

    Raises:
        UnreadablePictureError, ContentTooLargeError: one cannot be used.
    """
    for picture in pictures:
        if picture is not None:
            await asyncio.to_thread(decode_picture, picture)
