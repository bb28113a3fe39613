"""A bundle in memory: all parts that recommending takes. Made by `load_bundle.load_bundle`."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32, Float64, Int64, Real

from clairo_core.build_recommender import load_recommender
from clairo_core.bundle.bundle_items import PackedPictures
from clairo_core.bundle.bundle_users import NO_USERS, BundleUsers
from clairo_core.bundle.described_items import DescribedItem, describe_content, fuse_content, missing_modalities
from clairo_core.bundle.item_lines import ItemLines
from clairo_core.bundle.manifest import MEASURED_GENERATOR, BundleManifest
from clairo_core.catalogue import Catalogue
from clairo_core.encoders import ModalityEncoder
from clairo_core.encoders.item_content import IMAGE, TEXT
from clairo_core.errors import BundleError
from clairo_core.fusion import FusedItems, Fusion
from clairo_core.items import Item, described_digest, picture_digest
from clairo_core.quantizers import Quantizer
from clairo_core.ranking import JointRanking, RepeatLifts, disliked_neighbours
from clairo_core.recommender import Recommender
from clairo_core.selection.search_index import SearchIndex
from clairo_core.serving_points import BALANCED, ServingPoint, same_for_all
from clairo_core.tokens.tokenizer import Tokenizer
from clairo_core.tokens.vocabulary import Vocabulary


@dataclass(frozen=True, eq=False)
class Bundle:
    """A bundle's parts in memory. The generator's weights are read when a recommender is made."""

    folder: Path
    manifest: BundleManifest
    vocabulary: Vocabulary
    catalogue: Catalogue
    popularity: Int64[np.ndarray, "item"]
    """Interactions in training."""
    user_popularity: Float64[np.ndarray, "item"] | None
    """Users in training, late ones weighing more; None in older bundles."""
    items: ItemLines
    """Words and attributes, by row; `read_picture` reads the pictures."""
    pictures: PackedPictures
    encoders: Mapping[str, ModalityEncoder]
    fusion: Fusion | None
    quantizer: Quantizer | None
    item_embeddings: FusedItems | None
    joint_ranking: JointRanking | None
    repeat_lifts: RepeatLifts
    users: BundleUsers = NO_USERS
    """The training's users, if they were kept."""
    search_index: SearchIndex | None = None
    """Of `items`; None in older bundles, whose items are read by the first searches."""
    dislike_strength: float = 0.0
    """See `DislikedNeighbours`; 0 in older bundles."""

    @property
    def can_ingest(self) -> bool:
        """Whether items can be described from their content; see `why_no_encoders` of the manifest."""
        return bool(self.encoders) and self.fusion is not None and self.quantizer is not None

    @property
    def popularity_of_users(self) -> Real[np.ndarray, "item"]:
        """Users in training, by row; in bundles of before, interactions."""
        return self.popularity if self.user_popularity is None else self.user_popularity

    @property
    def generator_folder(self) -> Path:
        """The T5 in transformers' format, or a network of kind `parallel`."""
        return self.folder / "generator"

    @property
    def measured_generator_folder(self) -> Path:
        """The generator as it was measured: it has not learned what measured it."""
        measured = self.folder / MEASURED_GENERATOR
        return measured if measured.is_dir() else self.generator_folder

    def has_picture(self, row: int) -> bool:
        """Whether a picture of the item in this row can be shown."""
        return self.pictures.has(row)

    def read_picture(self, row: int) -> bytes | None:
        """The picture of the item in this row as JPEG, PNG or WebP, at most 512 pixels wide and high, or None."""
        return self.pictures.read(row)

    def has_content(self, row: int, digest: str) -> bool:
        """Whether `items.described_digest` is of the content that the item in this row was trained on, or shows."""
        texts = self.items[row].texts
        if digest == described_digest(texts, self.pictures.digest(row)):
            return True
        # An export for the next training holds the picture as the bundle shows it.
        shown = self.read_picture(row)
        return shown is not None and digest == described_digest(texts, picture_digest(shown))

    def missing_modalities(self, row: int) -> tuple[str, ...]:
        """Modalities that the item in this row lacks."""
        if self.fusion is None or self.item_embeddings is None:
            return ()
        return missing_modalities(self.fusion, self.item_embeddings, row)

    def recommender(
        self,
        device: str = "auto",
        *,
        num_views: int | None = None,
        num_beams: int | None = None,
        dtype: str = "float32",
        cuda_graphs: bool = True,
    ) -> Recommender:
        """Load the generator and build a recommender of the bundle's own catalogue; see `load_recommender`.

        It searches as the bundle was measured, unless `num_views` or `num_beams` replaces its balanced point's, and
        then for every quality.

        Raises:
            GeneratorError: the checkpoint does not fit, or the device or dtype is unavailable.
        """
        points = self.manifest.points
        balanced = points[BALANCED]
        if num_views is not None or num_beams is not None:
            balanced = ServingPoint(num_views or balanced.num_views, num_beams or balanced.num_beams)
            points = same_for_all(balanced)
        embeddings = None if self.item_embeddings is None else self.item_embeddings.item_embeddings
        recommender = load_recommender(
            self.generator_folder,
            Tokenizer(self.vocabulary),
            self.catalogue,
            self.popularity_of_users,
            device=device,
            dtype=dtype,
            num_views=balanced.num_views,
            num_beams=balanced.num_beams,
            max_history_items=self.manifest.max_history_items,
            joint_ranking=self.joint_ranking,
            repeat_lifts=self.repeat_lifts,
            item_embeddings=embeddings,
            cuda_graphs=cuda_graphs,
        )
        neighbours = disliked_neighbours(self.dislike_strength, embeddings)
        return recommender.with_points(points).with_disliked_neighbours(neighbours)

    def with_counts_of_training(self, recommender: Recommender) -> Recommender:
        """A recommender of this bundle without what `Recommender.with_counts` added; posted items stay."""
        recommender = recommender.with_popularity(self.popularity_of_users)
        if recommender.joint_ranking is None or self.joint_ranking is None:
            return recommender
        return recommender.ranked_by(recommender.joint_ranking.with_counts_of(self.joint_ranking))

    def moved_embedding(self, row: int, item: Item) -> tuple[Float32[np.ndarray, "dim"], tuple[str, ...]]:
        """Embedding of a trained item with other content, and the modalities that it lacks.

        It moves by the difference that the content makes, so what training learned about the item stays.

        Raises:
            BundleError: the bundle has no encoders.
        """
        if self.fusion is None or self.item_embeddings is None or not self.encoders:
            raise BundleError(
                f"bundle {self.manifest.bundle_id} {self.manifest.why_no_encoders} and cannot describe item "
                f"{item.item_id!r}; train a bundle with encoders"
            )
        trained = Item(item_id=item.item_id, texts=self.items[row].texts, picture=self.read_picture(row))
        fused = fuse_content([trained, item], self.encoders, self.fusion)
        before, after = fused.item_embeddings
        moved = (self.item_embeddings.item_embeddings[row] + (after - before)).astype(np.float32)
        lacks = {*missing_modalities(self.fusion, fused, 1)}
        # Vectors of further modalities came with the training data, and stay.
        lacks -= {*self.encoders} - {TEXT, IMAGE} - {*self.missing_modalities(row)}
        return moved, tuple(modality for modality in self.fusion.modalities if modality in lacks)

    def dense_vectors(
        self, row: int, item_embedding: Float[np.ndarray, "dim"]
    ) -> Float32[np.ndarray, "head dense"] | None:
        """Each dense head's vector of an item with this embedding; None without a dense head.

        A trained item's own part stays: its vectors move by the difference of embeddings through the content maps.
        """
        if self.joint_ranking is None:
            return None
        heads = self.joint_ranking.dense_heads
        if row >= len(self.items) or self.item_embeddings is None:
            return heads.vectors_of(item_embedding)
        return heads.vectors_of(item_embedding - self.item_embeddings.item_embeddings[row], row)

    def describe(self, item: Item, taken: Container[tuple[int, ...]]) -> DescribedItem:
        """Describe one item; see `describe_items`."""
        return self.describe_items([item], taken)[0]

    def describe_items(self, items: Sequence[Item], taken: Container[tuple[int, ...]]) -> list[DescribedItem]:
        """Describe items by the frozen encoders, fusion and quantizer: embedding, codes, feature set and tokens.

        Args:
            items: words, picture, vectors; a missing or unreadable modality takes the training mean.
            taken: feature sets in use, such as `Catalogue.taken`; earlier items' own feature sets are added to them.

        Raises:
            BundleError: the bundle has no encoders.
            FeatureSpaceFullError: every feature set is in use.
        """
        if not items:
            return []
        if self.fusion is None or self.quantizer is None or not self.encoders:
            raise BundleError(
                f"bundle {self.manifest.bundle_id} {self.manifest.why_no_encoders} and cannot describe item "
                f"{items[0].item_id!r}; train a bundle with encoders"
            )
        return describe_content(items, taken, self.encoders, self.fusion, self.quantizer, self.vocabulary)
