"""Convert items and features to rows, and rows back."""

from typing import Any

import numpy as np
from sqlalchemy import Row

from clairo_core.attributes import as_json, from_json
from clairo_core.items import Item, described_digest, picture_digest
from service.store.store import CatalogueChange, ChangeKind, StoredFeatures, content_digest


def content_values(item: Item) -> dict[str, Any]:
    """An item's content as columns of `items`."""
    picture = item.read_picture()
    of_picture = picture_digest(picture)
    return {**words_values(item, of_picture), "picture": picture, "picture_digest": of_picture}


def words_values(item: Item, of_picture: str | None) -> dict[str, Any]:
    """The columns that change with an item's words and attributes, beside a picture of this digest."""
    return {
        "texts": [[name, text] for name, text in item.texts.items()],
        "attributes": as_json(item.attributes),
        "content_digest": content_digest(item, of_picture),
    }


def features_values(features: StoredFeatures, of_content: str) -> dict[str, Any]:
    """Features of content with this digest as columns of `item_features`."""
    return {
        "bundle_id": features.bundle_id,
        "feature_set": ",".join(str(value) for value in features.feature_set),
        "item_embedding": features.item_embedding.astype("<f4").tobytes(),
        "missing_modalities": list(features.missing_modalities),
        "described_digest": of_content,
    }


def feature_set_of(stored: str) -> tuple[int, ...]:
    """A feature set from its column."""
    return tuple(int(value) for value in stored.split(","))


def change_from_row(row: Row, bundle_id: str) -> CatalogueChange:
    """A row of catalogue_changes, items and item_features joined."""
    item, digest = None, None
    if row.texts is not None:
        item = Item(item_id=row.item_id, texts=dict(row.texts), attributes=from_json(row.attributes))
        digest = described_digest(item.texts, row.picture_digest)
    features = None
    if row.feature_set is not None:
        features = StoredFeatures(
            bundle_id=bundle_id,
            feature_set=feature_set_of(row.feature_set),
            item_embedding=np.frombuffer(row.item_embedding, dtype="<f4").astype(np.float32),
            missing_modalities=tuple(row.missing_modalities),
        )
    return CatalogueChange(
        version=row.version,
        kind=ChangeKind(row.kind),
        item_id=row.item_id,
        item=item,
        has_picture=row.picture_digest is not None,
        features=features,
        described_digest=digest,
        are_features_current=features is not None and row.described_digest == digest,
    )
