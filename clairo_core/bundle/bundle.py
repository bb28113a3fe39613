"""The versioned folder that training writes and the service loads: all that recommending takes.

    manifest.json                 what it is, and the sha256 of every other file
    encoders/MODALITY/            content -> modality embedding   (not for precomputed codes)
    fusion/  quantizer/           modality embeddings -> item embedding -> semantic id   (not for precomputed codes)
    vocabulary/  catalogue/       features, merge rules; items, their feature sets and tokens
    embeddings.npz                item embeddings, and which modalities each item has   (not for precomputed codes)
    popularity.npz                interactions in training, by item
    repeats.json                  how much likelier items of the history are than rankers think
    items/                        words, attributes and small pictures, for display
    generator/                    the T5 in transformers' format
    ranking/                      dense head, item weights and how to weigh them   (if the preset has them)
    report/metrics.json           the same metrics as in the manifest, for people

Knows where parts lie; each part's own module knows what is in its files. Start at `load_bundle` and `write_bundle`.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int, Int64

from clairo_core.bundle.bundle_items import PackedPictures, load_items, save_items
from clairo_core.bundle.manifest import (
    BUNDLE_SCHEMA,
    MANIFEST_FILE,
    BundleManifest,
    digests_of,
    read_manifest,
    verify_files,
    write_manifest,
    written_aside,
)
from clairo_core.catalogue import Catalogue, load_catalogue
from clairo_core.encoders import ModalityEncoder, load_encoder
from clairo_core.errors import BundleError
from clairo_core.features import FeatureSpace, nearest_free_feature_set
from clairo_core.fusion import FusedItems, Fusion, load_fusion
from clairo_core.items import Item
from clairo_core.progress import Progress, silent
from clairo_core.quantizers import OpqQuantizer, load_opq
from clairo_core.ranking import NO_LIFTS, JointRanking, RepeatLifts, load_joint_ranking, load_repeat_lifts
from clairo_core.recommender import Recommender, load_recommender
from clairo_core.storage.array_file import load_arrays, save_arrays
from clairo_core.tokens.tokenizer import Tokenizer
from clairo_core.tokens.vocabulary import Vocabulary, load_vocabulary

_REPEATS_FILE = "repeats.json"
_GENERATOR_FILES = ("config.json", "model.safetensors")


@dataclass(frozen=True, kw_only=True)
class BundleParts:
    """What training made; `write_bundle` puts it into a folder."""

    preset: str
    dataset_name: str
    dataset_fingerprint: str
    vocabulary: Vocabulary
    catalogue: Catalogue
    popularity: Int[np.ndarray, "item"]
    """Interactions in training."""
    items: Sequence[Item]
    """In the catalogue's order."""
    generator_folder: Path
    """Copied: config.json and model.safetensors."""
    max_history_items: int = 20
    settings: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    encoders: Mapping[str, ModalityEncoder] = field(default_factory=dict)
    """By modality; empty, and the next three None, for precomputed codes."""
    fusion: Fusion | None = None
    quantizer: OpqQuantizer | None = None
    item_embeddings: FusedItems | None = None
    joint_ranking: JointRanking | None = None
    """None serves the generator alone."""
    repeat_lifts: RepeatLifts = NO_LIFTS


@dataclass(frozen=True)
class DescribedItem:
    """What a bundle makes of an item's content."""

    item_embedding: Float32[np.ndarray, "dim"]
    semantic_id: tuple[int, ...]
    """The nearest codes."""
    feature_set: tuple[int, ...]
    """The nearest that no other item has; as a rule the semantic id and a collision index."""
    tokens: tuple[int, ...]
    """The canonical tokens of the feature set."""
    missing_modalities: tuple[str, ...]
    """Taken as the training mean: the item has none of it, or none that can be read."""


@dataclass(frozen=True, eq=False)
class Bundle:
    """A bundle's parts in memory; the generator's weights are read when a recommender is made."""

    folder: Path
    manifest: BundleManifest
    vocabulary: Vocabulary
    catalogue: Catalogue
    popularity: Int64[np.ndarray, "item"]
    items: tuple[Item, ...]
    """Words and attributes, by row; the pictures are read with `read_picture`."""
    pictures: PackedPictures
    encoders: Mapping[str, ModalityEncoder]
    fusion: Fusion | None
    quantizer: OpqQuantizer | None
    item_embeddings: FusedItems | None
    joint_ranking: JointRanking | None
    repeat_lifts: RepeatLifts

    @property
    def can_ingest(self) -> bool:
        """Whether items can be described from their content; a bundle of precomputed codes cannot."""
        return bool(self.encoders) and self.fusion is not None and self.quantizer is not None

    @property
    def generator_folder(self) -> Path:
        """The T5 in transformers' format."""
        return self.folder / "generator"

    def has_picture(self, row: int) -> bool:
        """Whether the item in this row has a picture that can be shown."""
        return self.pictures.has(row)

    def read_picture(self, row: int) -> bytes | None:
        """The picture of the item in this row as JPEG, PNG or WebP, at most 512 pixels wide and high, or None."""
        return self.pictures.read(row)

    def missing_modalities(self, row: int) -> tuple[str, ...]:
        """Modalities that the item in this row came without."""
        if self.fusion is None or self.item_embeddings is None:
            return ()
        return names_of_missing(self.fusion, self.item_embeddings, row)

    def recommender(
        self,
        device: str = "auto",
        *,
        num_views: int = 5,
        num_beams: int = 50,
        dtype: str = "float32",
        cuda_graphs: bool = True,
    ) -> Recommender:
        """Load the generator and make a recommender of the bundle's own catalogue; see `load_recommender`.

        Raises:
            GeneratorError: the checkpoint does not fit, or there is no such device or dtype.
        """
        return load_recommender(
            self.generator_folder,
            Tokenizer(self.vocabulary),
            self.catalogue,
            self.popularity,
            device=device,
            dtype=dtype,
            num_views=num_views,
            num_beams=num_beams,
            max_history_items=self.manifest.max_history_items,
            joint_ranking=self.joint_ranking,
            repeat_lifts=self.repeat_lifts,
            cuda_graphs=cuda_graphs,
        )

    def describe(self, item: Item, taken: Container[tuple[int, ...]]) -> DescribedItem:
        """Give an item its embedding, codes, feature set and tokens; see `describe_items`."""
        return self.describe_items([item], taken)[0]

    def describe_items(self, items: Sequence[Item], taken: Container[tuple[int, ...]]) -> list[DescribedItem]:
        """Give items their embeddings, codes, feature sets and tokens by the frozen encoders, fusion and quantizer.

        Args:
            items: words, picture, vectors; what is missing or unreadable takes the training mean.
            taken: feature sets in use, `Catalogue.taken`; those that earlier of these items get are in use as well.

        Raises:
            BundleError: the bundle was trained on precomputed codes.
            FeatureSpaceFullError: every feature set is in use.
        """
        if not items:
            return []
        if self.fusion is None or self.quantizer is None or not self.encoders:
            raise BundleError(
                f"bundle {self.manifest.bundle_id} was trained on precomputed codes and cannot describe item "
                f"{items[0].item_id!r}; train a bundle with encoders"
            )
        embeddings = {modality: encoder.encode(items) for modality, encoder in self.encoders.items()}
        fused = self.fusion.fuse(embeddings)
        codes = self.quantizer.encode(fused.item_embeddings)
        space = FeatureSpace(self.vocabulary.category_names, self.vocabulary.category_sizes)
        tokenizer = Tokenizer(self.vocabulary)
        in_use = _TakenAlso(taken, set())
        described = []
        for place, item_embedding in enumerate(fused.item_embeddings):
            feature_set = nearest_free_feature_set(self.quantizer.distances(item_embedding), in_use, space)
            in_use.also.add(feature_set)
            feature_tokens = self.vocabulary.feature_tokens(np.array([feature_set], dtype=np.int32))
            described.append(
                DescribedItem(
                    item_embedding,
                    tuple(codes[place].tolist()),
                    feature_set,
                    tuple(tokenizer.encode_canonical(feature_tokens).tolist()),
                    names_of_missing(self.fusion, fused, place),
                )
            )
        return described


@dataclass(frozen=True, slots=True)
class _TakenAlso:
    """Feature sets in use, and some more."""

    taken: Container[tuple[int, ...]]
    also: set[tuple[int, ...]]

    def __contains__(self, feature_set: object) -> bool:
        return feature_set in self.also or feature_set in self.taken


def write_bundle(folder: Path, parts: BundleParts, progress: Progress[Item] = silent) -> BundleManifest:
    """Write all parts aside, then put the folder in its place, replacing a bundle that is there.

    Raises:
        BundleError: the parts do not fit each other, or `folder` is there and is no bundle.
    """
    check_parts(parts)
    with written_aside(folder, lambda there: (there / MANIFEST_FILE).is_file()) as aside:
        for name in ("vocabulary", "catalogue", "items", "generator", "report"):
            (aside / name).mkdir()
        parts.vocabulary.save(aside / "vocabulary")
        parts.catalogue.save(aside / "catalogue")
        save_items(aside / "items", parts.items, progress)
        save_arrays(aside / "popularity.npz", counts=np.asarray(parts.popularity, dtype=np.int64))
        if parts.fusion is not None and parts.quantizer is not None and parts.item_embeddings is not None:
            save_content_parts(aside, parts.encoders, parts.fusion, parts.quantizer, parts.item_embeddings)
        for name in _GENERATOR_FILES:
            shutil.copyfile(parts.generator_folder / name, aside / "generator" / name)
        if parts.joint_ranking is not None:
            parts.joint_ranking.save(aside / "ranking")
        parts.repeat_lifts.save(aside / _REPEATS_FILE)
        recommending = digests_of(aside)
        (aside / "report" / "metrics.json").write_text(json.dumps(parts.metrics, indent=2), encoding="utf-8")
        manifest = BundleManifest(
            schema_version=BUNDLE_SCHEMA,
            bundle_id=bundle_id_of(parts.dataset_name, recommending),
            preset=parts.preset,
            dataset_name=parts.dataset_name,
            dataset_fingerprint=parts.dataset_fingerprint,
            encoders={modality: encoder.name for modality, encoder in parts.encoders.items()},
            max_history_items=parts.max_history_items,
            settings=parts.settings,
            metrics=parts.metrics,
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            files=digests_of(aside),
        )
        write_manifest(aside, manifest)
    return manifest


def load_bundle(folder: Path) -> Bundle:
    """Read a bundle, once every file's sha256 is what the manifest says.

    Raises:
        BundleNotFoundError: there is none at `folder`.
        BundleManifestError: the manifest is damaged.
        BundleDigestError: a file is missing, truncated or altered; the text names it.
        NewerBundleError: a newer release wrote it.
        ClairoError: a part cannot be read although its digest is right.
    """
    manifest = read_manifest(folder)
    verify_files(folder, manifest)
    encoders = {modality: load_encoder(folder / "encoders" / modality) for modality in sorted(manifest.encoders)}
    items, pictures = load_items(folder / "items")
    (popularity,) = read_arrays(folder / "popularity.npz", "counts")
    bundle = Bundle(
        folder=folder,
        manifest=manifest,
        vocabulary=load_vocabulary(folder / "vocabulary"),
        catalogue=load_catalogue(folder / "catalogue"),
        popularity=popularity,
        items=items,
        pictures=pictures,
        encoders=encoders,
        fusion=load_fusion(folder / "fusion") if encoders else None,
        quantizer=load_opq(folder / "quantizer") if encoders else None,
        item_embeddings=(
            FusedItems(*read_arrays(folder / "embeddings.npz", "item_embeddings", "is_present")) if encoders else None
        ),
        joint_ranking=load_joint_ranking(folder / "ranking", popularity) if (folder / "ranking").is_dir() else None,
        repeat_lifts=load_repeat_lifts(folder / _REPEATS_FILE),
    )
    if not len(bundle.items) == len(bundle.catalogue) == len(bundle.popularity):
        raise BundleError(
            f"{folder}: {len(bundle.items)} items, {len(bundle.catalogue)} in the catalogue, "
            f"{len(bundle.popularity)} with a popularity; train the bundle anew"
        )
    return bundle


def check_parts(parts: BundleParts) -> None:
    """Refuse parts that do not belong together.

    Raises:
        BundleError: they do not.
    """
    item_ids = tuple(item.item_id for item in parts.items)
    if item_ids != parts.catalogue.item_ids or len(parts.popularity) != len(item_ids):
        raise BundleError(
            f"{len(item_ids)} items, {len(parts.catalogue)} in the catalogue, {len(parts.popularity)} with a "
            "popularity; give the same items in the same order"
        )
    content_parts = (parts.fusion, parts.quantizer, parts.item_embeddings)
    if any((part is not None) != bool(parts.encoders) for part in content_parts):
        raise BundleError("give encoders, fusion, quantizer and item embeddings, or none of them")
    if parts.fusion is not None and set(parts.fusion.modalities) != set(parts.encoders):
        raise BundleError(
            f"the fusion is of {list(parts.fusion.modalities)}, the encoders of {sorted(parts.encoders)}; "
            "give one encoder for each modality"
        )
    for name in _GENERATOR_FILES:
        if not (parts.generator_folder / name).is_file():
            raise BundleError(f"{parts.generator_folder / name} is missing; train the generator first")


def save_content_parts(
    folder: Path,
    encoders: Mapping[str, ModalityEncoder],
    fusion: Fusion,
    quantizer: OpqQuantizer,
    fused: FusedItems,
) -> None:
    """Write what turns content into semantic ids, and what it made of the bundle's own items."""
    for modality, encoder in encoders.items():
        (folder / "encoders" / modality).mkdir(parents=True)
        encoder.save(folder / "encoders" / modality)
    (folder / "fusion").mkdir()
    fusion.save(folder / "fusion")
    (folder / "quantizer").mkdir()
    quantizer.save(folder / "quantizer")
    save_arrays(folder / "embeddings.npz", item_embeddings=fused.item_embeddings, is_present=fused.is_present)


def bundle_id_of(dataset_name: str, digests: Mapping[str, str]) -> str:
    """A name that two bundles share only if they recommend alike: `demo-shop-0123456789ab`."""
    readable = re.sub(r"[^a-z0-9]+", "-", dataset_name.lower()).strip("-")
    digest = hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()[:12]
    return f"{readable}-{digest}".lstrip("-")


def names_of_missing(fusion: Fusion, fused: FusedItems, row: int) -> tuple[str, ...]:
    """Modalities whose flag is down."""
    return tuple(
        modality
        for modality, is_present in zip(fusion.modalities, fused.is_present[row], strict=True)
        if not is_present
    )


def read_arrays(path: Path, *names: str) -> tuple[np.ndarray, ...]:
    """`load_arrays`, with the bundle's own error.

    Raises:
        BundleError: the file is damaged, though its digest is right.
    """
    try:
        return load_arrays(path, *names)
    except (OSError, ValueError) as error:
        raise BundleError(f"{path}: cannot be read ({error}); train the bundle anew") from error
