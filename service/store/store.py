"""The interface of a store: posted items, their features, and the catalogue's versions.

A catalogue version is one change: an item added, changed, retired or restored. Versions count up from 1 per namespace
and are never reused, so the changes in order rebuild the catalogue after a restart, and a process at version n reads
the changes after n. An item has one content and, per bundle that has served it, one set of features.

`sql_store.SqlStore` implements it.
"""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

import numpy as np
from jaxtyping import Float32

from clairo_core.feature_index import SpelledCategories
from clairo_core.items import Item, picture_digest
from service.store.item_patch import ItemPatch


class ChangeKind(StrEnum):
    """Kind of change of a catalogue version."""

    ADDED = "added"
    CHANGED = "changed"
    """Words, attributes or picture are new."""
    RETIRED = "retired"
    RESTORED = "restored"
    """Recommendable again after it was retired; its content may be new too."""


@dataclass(frozen=True, slots=True)
class StoredFeatures:
    """An item's features under one bundle."""

    bundle_id: str
    feature_set: tuple[int, ...]
    item_embedding: Float32[np.ndarray, "dim"]
    missing_modalities: tuple[str, ...]
    spelled: SpelledCategories = ()
    """To be written: categories by which each language of the bundle tells items apart; none means all at once."""


@dataclass(frozen=True, slots=True)
class DescribedContent:
    """Features of an item, and `items.described_digest` of the content that they describe."""

    item_id: str
    features: StoredFeatures
    digest: str


@dataclass(frozen=True, slots=True)
class CatalogueChange:
    """A catalogue version, with all that is needed to apply it."""

    version: int
    kind: ChangeKind
    item_id: str
    item: Item | None
    """The posted item without its picture; None if an item of the bundle was retired."""
    has_picture: bool
    features: StoredFeatures | None
    """Under the requested bundle; None if it has not described the item."""
    described_digest: str | None = None
    """`items.described_digest` of the item's newest content."""
    are_features_current: bool = True
    """Whether the features describe that content, not an earlier one."""


class WriteOutcome(StrEnum):
    """Outcome for a written item."""

    CREATED = "created"
    CHANGED = "changed"
    RESTORED = "restored"
    UNCHANGED = "unchanged"
    """It had this content already and was not retired. Nothing was written."""


@dataclass(frozen=True, slots=True)
class ItemWrite:
    """An item to add or change to this content."""

    item: Item
    features: StoredFeatures | None
    """For an item that the store lacks; None if the bundle has the item and only its content is new."""
    keeps_picture: bool = False
    """Whether an item that the store has keeps its picture; `item.picture` is then for one that it lacks."""


@dataclass(frozen=True, slots=True)
class BundleActivation:
    """A bundle went into service."""

    bundle_id: str
    path: str
    metrics: Mapping[str, float]
    activated_at: datetime


class Store(Protocol):
    """Posted items and catalogue versions of one namespace. Each writing method is one transaction."""

    async def open(self) -> None:
        """Connect, and migrate the schema or check that it is current.

        Raises:
            StoreError: the database cannot be used.
            NewerStoreError: a newer CLAIRO wrote it.
            OutdatedStoreError: an older CLAIRO wrote it, and migrating was not allowed.
        """

    async def close(self) -> None:
        """Close all connections."""

    async def add_item(self, item: Item, features: StoredFeatures | None) -> int:
        """Store a posted item with its picture durably. Return the new catalogue version.

        A retired item is restored with this content; `features` are then left out, and its own ones stay.

        Raises:
            DuplicateItemError: the namespace has an item of this id that is not retired.
            InvalidItemError: an attribute is not of its name's type.
            FeatureSetTakenError: another posted item has this feature set under this bundle.
            StoreError: nothing was written.
        """

    async def write_items(self, writes: Sequence[ItemWrite]) -> list[WriteOutcome]:
        """Add, change or restore items of distinct ids, all or none. Return each one's outcome.

        Each item that differs makes a catalogue version, in order. Existing features stay.

        Raises:
            InvalidItemError: an attribute is not of its name's type.
            FeatureSetTakenError: another posted item has one of their feature sets under this bundle.
            StoreError: nothing was written.
        """

    async def patch_items(self, patches: Sequence[ItemPatch], trained: Mapping[str, Item]) -> list[WriteOutcome]:
        """Change fields of items of distinct ids, all or none. Return each one's outcome, changed or unchanged.

        Each item that differs makes a catalogue version, in order. Features stay, and a retired item stays retired.

        Args:
            patches: of items that the store or `trained` has.
            trained: the bundle's items with their pictures, by id: the content to change where the store has none.

        Raises:
            InvalidItemError: an attribute is not of its name's type, or nothing would be left to describe an item by.
            StoreError: nothing was written.
        """

    async def add_features(self, described: Sequence[DescribedContent]) -> None:
        """Store features of distinct items under one bundle, in place of those of earlier content: all or none.

        The version stays.

        Raises:
            FeatureSetTakenError: another posted item is alike under this bundle, another process described one of
                these contents first, or one has changed since.
            StoreError: nothing was written.
        """

    async def retire_item(self, item_id: str) -> int:
        """Retire an item, posted or the bundle's. Return the catalogue version that retired it.

        Idempotent: an item already retired makes no new version.

        Raises:
            StoreError: nothing was written.
        """

    async def changes_since(self, version: int, bundle_id: str, limit: int | None = None) -> Sequence[CatalogueChange]:
        """List changes after `version`, oldest first and at most `limit`, with features under `bundle_id`."""

    async def read_picture(self, item_id: str) -> bytes | None:
        """Read a posted item's encoded picture; None if it has none or was not posted."""

    async def read_pictures(self, item_ids: Collection[str]) -> Mapping[str, bytes]:
        """Read encoded pictures of posted items, by id; those without one are left out."""

    async def read_item_digest(self, item_id: str) -> str | None:
        """Read a posted item's `item_digest`; None if it was not posted."""

    async def record_bundle_activation(self, bundle_id: str, path: str, metrics: Mapping[str, float]) -> None:
        """Record durably that a bundle went into service.

        Raises:
            StoreError: nothing was written.
        """

    async def bundle_activations(self) -> Sequence[BundleActivation]:
        """List activations, oldest first. The last one names the bundle to serve."""


def item_digest(item: Item, picture: bytes | None) -> str:
    """SHA-256 over words, attributes and picture; equal if and only if the content is."""
    return content_digest(item, picture_digest(picture))


def content_digest(item: Item, of_picture: str | None) -> str:
    """`item_digest` of an item whose picture has this `picture_digest`."""
    content = [list(item.texts.items()), sorted(item.attributes.items()), of_picture]
    return hashlib.sha256(json.dumps(content, ensure_ascii=True).encode()).hexdigest()
