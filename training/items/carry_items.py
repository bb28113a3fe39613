"""Describe a dataset's items by an earlier bundle: known items keep their features, new ones are described by it.

A known item with other content keeps its feature set, which the weights rely on, and its embedding moves. On other
data, all items are new: an id that two shops use names two items.
"""

from dataclasses import replace

import numpy as np

from clairo_core.bundle.bundle import Bundle
from clairo_core.errors import TrainingError
from clairo_core.feature_index import TakenFeatureSets
from clairo_core.features import FeatureSpace
from clairo_core.fusion import FusedItems
from clairo_core.items import described_digest, picture_digest
from training.items.described_items import ContentParts, DescribedItems
from training.items.encode_stage import carried_encode_stage
from training.workbench.workbench import Workbench

ITEMS_AT_ONCE = 256
"""Bounds the decoded pictures in memory."""


def carry_items(bench: Workbench, bundle: Bundle, *, keeps_items: bool = True) -> DescribedItems:
    """Feature sets for a warm start: those of the bundle's catalogue, and its encoders' for all other items.

    Without `keeps_items`, the bundle describes all items, and its catalogue takes no feature set.

    Raises:
        TrainingError: the bundle has no encoders.
        FeatureSpaceFullError: too many new items for the free feature sets.
    """
    fusion, quantizer, known = bundle.fusion, bundle.quantizer, bundle.item_embeddings
    if fusion is None or quantizer is None or known is None:
        raise TrainingError(
            f"bundle {bundle.manifest.bundle_id} {bundle.manifest.why_no_encoders} and cannot describe new items; "
            "train from scratch"
        )
    encoded = {modality: carried_encode_stage(bench, bundle, modality) for modality in bundle.encoders}
    feature_sets: dict[str, tuple[int, ...]] = {}
    embeddings: dict[str, np.ndarray] = {}
    is_present: dict[str, np.ndarray] = {}
    for row, item_id in enumerate(bundle.catalogue.item_ids if keeps_items else ()):
        feature_sets[item_id] = tuple(bundle.catalogue.feature_sets[row].tolist())
        embeddings[item_id] = known.item_embeddings[row]
        is_present[item_id] = known.is_present[row]
    num_moved = 0
    for item in bench.dataset.items if keeps_items else ():
        known_row = bundle.catalogue.find_row(item.item_id)
        if known_row is None or bundle.has_content(
            known_row, described_digest(item.texts, picture_digest(item.read_picture()))
        ):
            continue
        embeddings[item.item_id], lacks = bundle.moved_embedding(known_row, replace(item, vectors={}))
        is_present[item.item_id] = np.array([name not in lacks for name in fusion.modalities])
        num_moved += 1
    new_items = [item for item in bench.dataset.items if item.item_id not in feature_sets]
    taken = TakenFeatureSets(bundle.vocabulary.spelled_categories)
    for feature_set in feature_sets.values():
        taken.add(feature_set)
    for first in range(0, len(new_items), ITEMS_AT_ONCE):
        some = new_items[first : first + ITEMS_AT_ONCE]
        for item, described in zip(some, bundle.describe_items(some, taken), strict=True):
            feature_sets[item.item_id] = described.feature_set
            embeddings[item.item_id] = described.item_embedding
            missing = described.missing_modalities
            is_present[item.item_id] = np.array([name not in missing for name in fusion.modalities])
            taken.add(described.feature_set)
    bench.report(
        f"items: {len(bench.item_ids) - len(new_items)} keep the features that they have in bundle "
        f"{bundle.manifest.bundle_id}, {num_moved} of them with other content, {len(new_items)} are new"
        if keeps_items
        else f"items: {len(new_items)} described by bundle {bundle.manifest.bundle_id}"
    )
    fused = FusedItems(
        np.stack([embeddings[item_id] for item_id in bench.item_ids]),
        np.stack([is_present[item_id] for item_id in bench.item_ids]),
    )
    return DescribedItems(
        np.array([feature_sets[item_id] for item_id in bench.item_ids], dtype=np.int32),
        FeatureSpace(bundle.vocabulary.category_names, bundle.vocabulary.category_sizes),
        f"{bench.dataset.fingerprint}-{'carried' if keeps_items else 'described'}-{bundle.manifest.bundle_id}",
        ContentParts(encoded, fusion, quantizer, fused),
    )
