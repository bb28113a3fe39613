"""Describe items of stored changes under the served bundle, and store their features: one commit for all of them.

Start at `ChangeDescriber.features_of`.
"""

import logging
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace

from clairo_core.errors import ClairoError
from clairo_core.feature_index import TakenFeatureSets
from clairo_core.items import Item
from service.errors import FeatureSetTakenError
from service.items.describer import Describer
from service.live_catalogue import LiveCatalogue
from service.store.store import CatalogueChange, ChangeKind, DescribedContent, Store, StoredFeatures

logger = logging.getLogger("clairo.ingestion")

PICTURES_AT_ONCE = 64
"""In memory; each has at most 10 MB."""


class ChangeDescriber:
    """Features of changed items, from the store or from the bundle's encoders."""

    def __init__(self, live: LiveCatalogue, store: Store, describer: Describer) -> None:
        self._live = live
        self._store = store
        self._describer = describer
        self._refused: set[tuple[str, tuple[int, ...]]] = set()
        """Bundles and feature sets, of items of later changes."""

    async def features_of(self, changes: Sequence[CatalogueChange]) -> dict[str, StoredFeatures]:
        """Newest features of each item that was added or changed, by id. Describe the items that lack them.

        An item that cannot be described keeps earlier features, or has none and is not served.

        Raises:
            FeatureSetTakenError: another process describes one of them, or its content changes, at the same time, or
                an item of a later change has its feature set; call again.
            StoreError: features cannot be stored.
        """
        trained = self._live.bundle.catalogue
        # Every change carries its item's newest content, so one per item suffices.
        newest = {
            change.item_id: change
            for change in changes
            if change.item is not None
            # The bundle was trained on it after it was posted.
            and not (change.kind is ChangeKind.ADDED and trained.find_row(change.item_id) is not None)
        }
        features_of = {item_id: change.features for item_id, change in newest.items() if change.features is not None}
        lacking = [change for change in newest.values() if change.features is None or not change.are_features_current]
        if not lacking:
            return features_of
        is_lacking = {change.item_id for change in lacking}
        taken = TakenFeatureSets(self._live.bundle.vocabulary.spelled_categories)
        for bundle_id, feature_set in self._refused:
            if bundle_id == self._live.bundle_id:
                taken.add(feature_set)
        for item_id, features in features_of.items():
            if item_id not in is_lacking:
                taken.add(features.feature_set)
        described: list[DescribedContent] = []
        for some in _batches(lacking):
            described += await self._describe(some, features_of, taken)
        try:
            await self._store.add_features(described)
        except FeatureSetTakenError as error:
            self._refused |= {(self._live.bundle_id, feature_set) for feature_set in error.feature_sets}
            raise
        return features_of

    def forget_refused(self) -> None:
        """Forget feature sets that the store refused: the catalogue has all of the store's by now."""
        self._refused = set()

    async def _describe(
        self, changes: Sequence[CatalogueChange], features_of: dict[str, StoredFeatures], taken: TakenFeatureSets
    ) -> list[DescribedContent]:
        """Describe newest contents, add the features to both, and return those that the store lacks."""
        pictures = await self._store.read_pictures([change.item_id for change in changes if change.has_picture])
        trained = self._live.bundle.catalogue
        new: list[_Content] = []
        described: list[DescribedContent] = []
        for change in changes:
            if change.item is None or change.described_digest is None:
                continue
            row = trained.find_row(change.item_id)
            if not self._describer.can_describe:
                if row is None:
                    logger.warning("posted item %r is not served: this bundle has no encoders", change.item_id)
                continue
            if row is not None and self._live.bundle.has_content(row, change.described_digest):
                features_of[change.item_id] = self._describer.trained_features(row)
                continue
            item = replace(change.item, picture=pictures.get(change.item_id))
            content = _Content(item, change.described_digest, has_features=change.features is not None)
            if self._live.recommender.catalogue.find_row(change.item_id) is None:
                new.append(content)
            else:
                described += await self._describe_known(content, taken)
        described += await self._describe_new(new, taken)
        features_of.update({of_item.item_id: of_item.features for of_item in described})
        return described

    async def _describe_known(self, content: "_Content", taken: TakenFeatureSets) -> list[DescribedContent]:
        """Describe an item that the catalogue has; it may keep its feature set, and one of the bundle does."""
        item, catalogue = content.item, self._live.recommender.catalogue
        trained_row = self._live.bundle.catalogue.find_row(item.item_id)
        own = tuple(catalogue.feature_sets[catalogue.row_of(item.item_id)].tolist())
        try:
            if trained_row is not None:
                features = await self._describer.describe_moved(trained_row, item)
            else:
                (features,) = await self._describer.describe([item], _TakenByOthers(catalogue.taken, own, taken))
        except Exception as error:
            # Stored already: raising would keep every later change from this process, over restarts too.
            _log_failure(item.item_id, error, keeps_features=True)
            return []
        taken.add(features.feature_set)
        return [DescribedContent(item.item_id, features, content.digest)]

    async def _describe_new(self, contents: Sequence["_Content"], taken: TakenFeatureSets) -> list[DescribedContent]:
        """Describe items that the catalogue lacks, together; if one of them cannot be, in halves."""
        if not contents:
            return []
        in_use = _TakenByOthers(self._live.recommender.catalogue.taken, None, taken)
        try:
            features = await self._describer.describe([content.item for content in contents], in_use)
        except Exception as error:
            if len(contents) == 1:
                _log_failure(contents[0].item.item_id, error, contents[0].has_features)
                return []
            half = len(contents) // 2
            return [
                *await self._describe_new(contents[:half], taken),
                *await self._describe_new(contents[half:], taken),
            ]
        for of_item in features:
            taken.add(of_item.feature_set)
        return [
            DescribedContent(content.item.item_id, of_item, content.digest)
            for content, of_item in zip(contents, features, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class _Content:
    """An item's newest content."""

    item: Item
    digest: str
    has_features: bool
    """Of earlier content."""


@dataclass(frozen=True, slots=True)
class _TakenByOthers:
    """Feature sets of the catalogue but for an item's own, and those of items that are about to enter it."""

    taken: Container[tuple[int, ...]]
    own: tuple[int, ...] | None
    entering: Container[tuple[int, ...]]

    def __contains__(self, feature_set: object) -> bool:
        return feature_set in self.entering or (feature_set != self.own and feature_set in self.taken)


def _batches(changes: Sequence[CatalogueChange]) -> Iterator[list[CatalogueChange]]:
    """Consecutive changes, of at most `PICTURES_AT_ONCE` items with pictures."""
    batch: list[CatalogueChange] = []
    num_pictures = 0
    for change in changes:
        if change.has_picture and num_pictures == PICTURES_AT_ONCE:
            yield batch
            batch, num_pictures = [], 0
        batch.append(change)
        num_pictures += change.has_picture
    yield batch


def _log_failure(item_id: str, error: Exception, keeps_features: bool) -> None:
    outcome = "keeps the features of its earlier content" if keeps_features else "is not served"
    unforeseen = None if isinstance(error, ClairoError) else error
    logger.warning("posted item %r %s: %s", item_id, outcome, error, exc_info=unforeseen)
