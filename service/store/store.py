"""What the service asks of a store: items posted since training, their features, and the catalogue's versions.

A catalogue version is one change: an item added, changed, retired, or brought back. Versions count up from 1 in a
namespace and are never reused, so the changes in order rebuild the catalogue after a restart, and a process that
knows up to version n asks for what came after. Content is kept apart from features: an item has one content and, for
every bundle that has served it, the features which that bundle's encoders gave it.

Knows nothing of SQL; `sql_store.SqlStore` is the real one.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

import numpy as np
from jaxtyping import Float32

from clairo_core.items import Item


class ChangeKind(StrEnum):
    """What one catalogue version did."""

    ADDED = "added"
    CHANGED = "changed"
    """Other words, attributes or picture; features stay as they are."""
    RETIRED = "retired"
    RESTORED = "restored"
    """Recommended again after it was retired; its content may have changed as well."""


@dataclass(frozen=True, slots=True)
class StoredFeatures:
    """What one bundle made of an item; published once, never changed."""

    bundle_id: str
    feature_set: tuple[int, ...]
    item_embedding: Float32[np.ndarray, "dim"]
    missing_modalities: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CatalogueChange:
    """One catalogue version, with what is needed to apply it."""

    version: int
    kind: ChangeKind
    item_id: str
    item: Item | None
    """The posted item without its picture; None where an item of the bundle was retired."""
    has_picture: bool
    features: StoredFeatures | None
    """As the bundle that was asked for gave them; None if it never saw the item."""


class WriteOutcome(StrEnum):
    """What became of an item that was written."""

    CREATED = "created"
    CHANGED = "changed"
    RESTORED = "restored"
    UNCHANGED = "unchanged"
    """It was there, with the same content, and not retired: nothing was written."""


@dataclass(frozen=True, slots=True)
class ItemWrite:
    """An item to be there, with this content, whatever was there before."""

    item: Item
    features: StoredFeatures | None
    """For an item that the store does not have; None where the bundle has the item and only its content is new."""


@dataclass(frozen=True, slots=True)
class BundleActivation:
    """A bundle began to be served."""

    bundle_id: str
    path: str
    metrics: Mapping[str, float]
    activated_at: datetime


class Store(Protocol):
    """Posted items and catalogue versions of one namespace. Every method that writes is one transaction."""

    async def open(self) -> None:
        """Connect, and see to it that the schema is up to date.

        Raises:
            StoreError: the database cannot be used.
            NewerStoreError: it was written by a newer CLAIRO.
            OutdatedStoreError: it was written by an older one, and we may not change it.
        """

    async def close(self) -> None:
        """Let go of every connection."""

    async def add_item(self, item: Item, features: StoredFeatures) -> int:
        """Keep a posted item, picture bytes included, for good; return the catalogue version it makes.

        Raises:
            DuplicateItemError: the namespace has an item of this id.
            FeatureSetTakenError: another posted item has this feature set under this bundle.
            StoreError: nothing was written.
        """

    async def write_items(self, writes: Sequence[ItemWrite]) -> list[WriteOutcome]:
        """Add, change or bring back items of distinct ids, all or none of them; say what became of each.

        Every item that is not as it was makes a catalogue version, in their order. Features that are there stay.

        Raises:
            FeatureSetTakenError: another posted item has a feature set of theirs under this bundle.
            StoreError: nothing was written.
        """

    async def add_features(self, item_id: str, features: StoredFeatures) -> None:
        """Keep what another bundle made of an item posted before. The catalogue version stays.

        Raises:
            FeatureSetTakenError: another posted item has this feature set under this bundle.
            StoreError: nothing was written.
        """

    async def retire_item(self, item_id: str) -> int:
        """Keep an item, posted or the bundle's, out of recommendations; return the catalogue version it made.

        An item retired before stays retired, and no new version is made.

        Raises:
            StoreError: nothing was written.
        """

    async def changes_since(self, version: int, bundle_id: str) -> Sequence[CatalogueChange]:
        """Every change after `version`, oldest first, with the features that `bundle_id` gave."""

    async def read_picture(self, item_id: str) -> bytes | None:
        """A posted item's encoded picture; None if it has none or was not posted."""

    async def read_item_digest(self, item_id: str) -> str | None:
        """A posted item's `item_digest`; None if it was not posted."""

    async def record_bundle_activation(self, bundle_id: str, path: str, metrics: Mapping[str, float]) -> None:
        """Keep for good that a bundle is served from now on.

        Raises:
            StoreError: nothing was written.
        """

    async def bundle_activations(self) -> Sequence[BundleActivation]:
        """Every activation, oldest first: the last one is of the bundle that is to be served."""


def item_digest(item: Item, picture: bytes | None) -> str:
    """SHA-256 over words, attributes and picture: equal exactly when the content is."""
    picture_digest = hashlib.sha256(picture).hexdigest() if picture else None
    content = [list(item.texts.items()), sorted(item.attributes.items()), picture_digest]
    return hashlib.sha256(json.dumps(content, ensure_ascii=True).encode()).hexdigest()
