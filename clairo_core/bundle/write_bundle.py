"""Write a bundle's parts as one folder, aside, and then put it in its place.

    manifest.json                 metadata, and the sha256 of every other file
    encoders/MODALITY/            content -> modality embedding   (not for precomputed codes)
    fusion/  quantizer/           modality embeddings -> item embedding -> semantic id   (not for precomputed codes)
    vocabulary/  catalogue/       features, merge rules; items, their feature sets and tokens
    embeddings.npz                item embeddings, and which modalities each item has   (not for precomputed codes)
    popularity.npz                interactions in training, by item, and users, which order the popular list
    repeats.json                  added to the log-probabilities of items that the user already has
    dislikes.json                 how far items like a disliked one sink   (if they do)
    items/                        words, attributes and small pictures, for display
    items/lines/  items/search/   indexes of these for loading and searching them   (not in older bundles)
    generator/                    the T5 in transformers' format, or a network that predicts all codes at once
    ranking/                      dense head, item weights and their mixture   (if the preset has them)
    users/                        ids and newest items of the training's users   (if they were kept)
    measured-generator/           the generator before its refit, for warm starts   (if the bundle was refitted)
    report/metrics.json           the metrics of the manifest, for people
    report/report.html, charts/   a page about the bundle, by clairo-train report   (not in the manifest)

Each part's own module defines the content of its files.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from clairo_core.attributes import AttributeType
from clairo_core.bundle.bundle_items import index_items, save_items
from clairo_core.bundle.bundle_users import USERS_FOLDER, BundleUsers
from clairo_core.bundle.manifest import (
    BUNDLE_SCHEMA,
    DISLIKES_FILE,
    MANIFEST_FILE,
    MEASURED_GENERATOR,
    REPEATS_FILE,
    BundleManifest,
    bundle_id_of,
    digests_of,
    write_manifest,
)
from clairo_core.catalogue import Catalogue
from clairo_core.encoders import ModalityEncoder
from clairo_core.errors import BundleError
from clairo_core.events import InteractionRules
from clairo_core.fusion import FusedItems, Fusion
from clairo_core.generation.parallel.parallel_checkpoint import PARALLEL_FILES, holds_network
from clairo_core.items import Item
from clairo_core.progress import Progress, silent
from clairo_core.quantizers import Quantizer
from clairo_core.ranking import NO_LIFTS, JointRanking, RepeatLifts, save_dislike_strength
from clairo_core.serving_points import Points
from clairo_core.storage.array_file import save_arrays
from clairo_core.storage.replaced_folder import replaced_folder
from clairo_core.tokens.vocabulary import Vocabulary

_T5_FILES = ("config.json", "model.safetensors")


@dataclass(frozen=True, kw_only=True)
class BundleParts:
    """A trained bundle before it is written."""

    preset: str
    dataset_name: str
    dataset_fingerprint: str
    vocabulary: Vocabulary
    catalogue: Catalogue
    popularity: Int[np.ndarray, "item"]
    """Interactions in training."""
    user_popularity: Float[np.ndarray, "item"] | None = None
    """Users in training, late ones weighing more: orders the popular list. None: interactions do."""
    items: Sequence[Item]
    """In the catalogue's order."""
    generator_folder: Path
    """Its `generator_files` are copied."""
    measured_generator_folder: Path | None = None
    """Copied too, if the bundle was refitted."""
    trained_on: Mapping[str, int] | None = None
    """See `BundleManifest`."""
    trained_until: float | None = None
    """See `BundleManifest`."""
    max_history_items: int = 20
    settings: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    encoders: Mapping[str, ModalityEncoder] = field(default_factory=dict)
    """By modality; empty, and the next three None, for precomputed codes."""
    fusion: Fusion | None = None
    quantizer: Quantizer | None = None
    item_embeddings: FusedItems | None = None
    joint_ranking: JointRanking | None = None
    """None serves the generator alone."""
    repeat_lifts: RepeatLifts = NO_LIFTS
    dislike_strength: float = 0.0
    """See `DislikedNeighbours`; 0 lowers no item."""
    points: Points | None = None
    """The search for each quality; None serves as the settings measure."""
    users: BundleUsers | None = None
    """None keeps no user."""
    rules: InteractionRules | None = None
    """Of the dataset's interactions."""
    attribute_types: Mapping[str, AttributeType] | None = None
    """Of the dataset's attributes that are not text."""


def write_bundle(folder: Path, parts: BundleParts, progress: Progress[Item] = silent) -> BundleManifest:
    """Write all parts aside, then put the folder in place, replacing an earlier bundle.

    Raises:
        BundleError: the parts do not fit each other, or `folder` holds something else.
    """
    check_parts(parts)
    with replaced_folder(folder, marker=MANIFEST_FILE, expected="a bundle", error=BundleError) as aside:
        for name in ("vocabulary", "catalogue", "items", "generator", "report"):
            (aside / name).mkdir()
        parts.vocabulary.save(aside / "vocabulary")
        parts.catalogue.save(aside / "catalogue")
        save_items(aside / "items", parts.items, progress)
        popularity = {"counts": np.asarray(parts.popularity, dtype=np.int64)}
        if parts.user_popularity is not None:
            popularity["users"] = np.asarray(parts.user_popularity, dtype=np.float64)
        save_arrays(aside / "popularity.npz", **popularity)
        if parts.fusion is not None and parts.quantizer is not None and parts.item_embeddings is not None:
            save_content_parts(aside, parts.encoders, parts.fusion, parts.quantizer, parts.item_embeddings)
        for name in generator_files(parts.generator_folder):
            shutil.copyfile(parts.generator_folder / name, aside / "generator" / name)
        if parts.joint_ranking is not None:
            parts.joint_ranking.save(aside / "ranking")
        parts.repeat_lifts.save(aside / REPEATS_FILE)
        if parts.users is not None:
            parts.users.save(aside / USERS_FOLDER)
        if parts.dislike_strength:
            save_dislike_strength(aside / DISLIKES_FILE, parts.dislike_strength)
        recommending = digests_of(aside)
        index_items(aside / "items")
        if parts.measured_generator_folder is not None:
            (aside / MEASURED_GENERATOR).mkdir()
            for name in generator_files(parts.measured_generator_folder):
                shutil.copyfile(parts.measured_generator_folder / name, aside / MEASURED_GENERATOR / name)
        (aside / "report" / "metrics.json").write_text(json.dumps(parts.metrics, indent=2), encoding="utf-8")
        serving = None if parts.points is None else {name: asdict(point) for name, point in parts.points.items()}
        manifest = BundleManifest(
            schema_version=BUNDLE_SCHEMA,
            bundle_id=bundle_id_of(parts.dataset_name, recommending, serving),
            preset=parts.preset,
            dataset_name=parts.dataset_name,
            dataset_fingerprint=parts.dataset_fingerprint,
            encoders={modality: encoder.name for modality, encoder in parts.encoders.items()},
            max_history_items=parts.max_history_items,
            settings=parts.settings,
            metrics=parts.metrics,
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            files=digests_of(aside),
            serving=serving,
            interactions=None if parts.rules is None else parts.rules.as_dict(),
            attribute_types=None if parts.attribute_types is None else dict(parts.attribute_types),
            trained_on=parts.trained_on,
            trained_until=parts.trained_until,
        )
        write_manifest(aside, manifest)
    return manifest


def check_parts(parts: BundleParts) -> None:
    """Check that the parts belong together.

    Raises:
        BundleError: they do not; the message names the parts.
    """
    item_ids = tuple(item.item_id for item in parts.items)
    if item_ids != parts.catalogue.item_ids or len(parts.popularity) != len(item_ids):
        raise BundleError(
            f"{len(item_ids)} items, {len(parts.catalogue)} in the catalogue, {len(parts.popularity)} with a "
            "popularity; give the same items in the same order"
        )
    if parts.user_popularity is not None and len(parts.user_popularity) != len(item_ids):
        raise BundleError(
            f"{len(parts.user_popularity)} items with users, expected {len(item_ids)}; give one number per item"
        )
    content_parts = (parts.fusion, parts.quantizer, parts.item_embeddings)
    if any((part is not None) != bool(parts.encoders) for part in content_parts):
        raise BundleError(
            "some of encoders, fusion, quantizer and item embeddings are missing; give all or none of them"
        )
    if parts.fusion is not None and set(parts.fusion.modalities) != set(parts.encoders):
        raise BundleError(
            f"the fusion has the modalities {list(parts.fusion.modalities)}, the encoders {sorted(parts.encoders)}; "
            "give one encoder for each modality"
        )
    for name in generator_files(parts.generator_folder):
        if not (parts.generator_folder / name).is_file():
            raise BundleError(f"{parts.generator_folder / name} is missing; train the generator first")


def generator_files(folder: Path) -> tuple[str, ...]:
    """Files that a generator of the folder's kind is loaded from."""
    return PARALLEL_FILES if holds_network(folder) else _T5_FILES


def save_content_parts(
    folder: Path,
    encoders: Mapping[str, ModalityEncoder],
    fusion: Fusion,
    quantizer: Quantizer,
    fused: FusedItems,
) -> None:
    """Write encoders, fusion and quantizer, and the embeddings of the bundle's own items."""
    for modality, encoder in encoders.items():
        (folder / "encoders" / modality).mkdir(parents=True)
        encoder.save(folder / "encoders" / modality)
    (folder / "fusion").mkdir()
    fusion.save(folder / "fusion")
    (folder / "quantizer").mkdir()
    quantizer.save(folder / "quantizer")
    save_arrays(folder / "embeddings.npz", item_embeddings=fused.item_embeddings, is_present=fused.is_present)
