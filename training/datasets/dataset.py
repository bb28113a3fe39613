"""A dataset: items and interactions, the input of all training. Start at `Dataset`.

Independent of file formats.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Bool, Float32, Int32, Int64

from clairo_core.attributes import AttributeType
from clairo_core.errors import RowError
from clairo_core.events import InteractionRules
from clairo_core.items import Item
from clairo_core.progress import Progress, silent
from clairo_core.sequences import ItemSequences
from training.datasets.description import OnBadPicture
from training.datasets.tables.table_source import TableFile
from training.datasets.user_sequences import Dislikes, EventCounts, UnreadEvents


@dataclass(frozen=True, slots=True, eq=False)
class Codes:
    """Precomputed codes of every item."""

    semantic_ids: Int32[np.ndarray, "item codebook"]
    names: tuple[str, ...]
    sizes: tuple[int, ...]
    are_unique: bool

    def of_items(self, is_kept: Bool[np.ndarray, "item"]) -> "Codes":
        """Codes of some items; sizes stay."""
        return Codes(self.semantic_ids[is_kept], self.names, self.sizes, self.are_unique)


@dataclass(frozen=True, slots=True, eq=False)
class PictureOrigin:
    """File, field and rows of the items' pictures, for errors about them."""

    path: TableFile
    field: str
    rows: Int64[np.ndarray, "item"]
    """Row of the file, from 0; -1 for an item without one."""
    unreadable_pictures: OnBadPicture

    def of_items(self, is_kept: Bool[np.ndarray, "item"]) -> "PictureOrigin":
        """Origin of some items' pictures."""
        return PictureOrigin(self.path, self.field, self.rows[is_kept], self.unreadable_pictures)


@dataclass(frozen=True, slots=True)
class TimeCuts:
    """The beginnings of both horizons of a split by time, in days since 1970; what happens at a cut comes after it."""

    validation: float
    test: float


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Items, and each user's interactions with them, oldest first."""

    name: str
    items: tuple[Item, ...]
    """In the source's row order."""
    user_ids: tuple[str, ...]
    """In order of first occurrence in the interactions."""
    sequences: ItemSequences
    """Rows of `items`, one sequence per user."""
    semantic_ids: Int32[np.ndarray, "item codebook"] | None
    """Precomputed codes; None if training computes them."""
    codebook_names: tuple[str, ...]
    codebook_sizes: tuple[int, ...]
    codes_are_unique: bool
    """Codes are whole feature sets: no two items share theirs, and no collision index is added."""
    picture_origin: PictureOrigin | None
    fingerprint: str
    """SHA-256 of items, users and what they did, without times: the same for every format and on every machine. With
    `cuts`, also of what comes before each."""
    days: Float32[np.ndarray, "interaction"] | None = None
    """When each interaction of `sequences` happened, in days since 1970; None without times."""
    time_units: tuple[str, ...] = ()
    """Units that the source's numbers were read in; none for dates and positions."""
    rules: InteractionRules = field(default_factory=InteractionRules)
    """How the source's interactions became `sequences`."""
    attribute_types: Mapping[str, AttributeType] = field(default_factory=dict)
    """Of the items' attributes that are not text."""
    dislikes: ItemSequences | None = None
    """Items that each user dislikes, in order of time, one sequence per user; None if there are none."""
    dislike_places: Int64[np.ndarray, "dislike"] | None = None
    """How many interactions of the user's sequence came before each of them."""
    unread: UnreadEvents | None = None
    """Positive events outside `sequences`, for popularity."""
    event_counts: EventCounts | None = None
    """For a report; None if interactions have no types."""
    cuts: TimeCuts | None = None
    """Where a split by time holds out; None where each user's last items are held out."""

    @property
    def modalities(self) -> tuple[str, ...]:
        """Modalities of the items: "text", "image", then the names of vectors."""
        has_text = any(item.text for item in self.items)
        has_picture = any(item.picture is not None for item in self.items)
        named = dict.fromkeys(modality for item in self.items for modality in item.vectors)
        return ("text",) * has_text + ("image",) * has_picture + tuple(named)


def build_dataset(
    name: str,
    items: tuple[Item, ...],
    user_ids: tuple[str, ...],
    sequences: ItemSequences,
    *,
    days: Float32[np.ndarray, "interaction"] | None = None,
    time_units: tuple[str, ...] = (),
    rules: InteractionRules | None = None,
    attribute_types: Mapping[str, AttributeType] | None = None,
    dislikes: Dislikes | None = None,
    unread: UnreadEvents | None = None,
    event_counts: EventCounts | None = None,
    codes: Codes | None = None,
    picture_origin: PictureOrigin | None = None,
    progress: Progress = silent,
) -> Dataset:
    """Combine the parts and compute the fingerprint.

    Raises:
        RowError: a picture file cannot be read.
    """
    dataset = Dataset(
        name=name,
        items=items,
        user_ids=user_ids,
        sequences=sequences,
        semantic_ids=None if codes is None else codes.semantic_ids,
        codebook_names=() if codes is None else codes.names,
        codebook_sizes=() if codes is None else codes.sizes,
        codes_are_unique=codes is not None and codes.are_unique,
        picture_origin=picture_origin,
        fingerprint="",
        days=days,
        time_units=time_units,
        rules=InteractionRules() if rules is None else rules,
        attribute_types=attribute_types or {},
        dislikes=None if dislikes is None else dislikes.items,
        dislike_places=None if dislikes is None else dislikes.places,
        unread=unread,
        event_counts=event_counts,
    )
    return with_items(dataset, items, progress)


def with_items(dataset: Dataset, items: tuple[Item, ...], progress: Progress = silent) -> Dataset:
    """The dataset with other content of its items, and the fingerprint of that.

    Raises:
        RowError: a picture file cannot be read.
    """
    digest = hashlib.sha256()
    for item in progress(items, "fingerprinting items", len(items)):
        digest.update(_item_line(item))
    digest.update(_json_line(dataset.user_ids))
    # Little-endian on every machine.
    digest.update(np.ascontiguousarray(dataset.sequences.items, dtype="<i4").tobytes())
    digest.update(np.ascontiguousarray(dataset.sequences.offsets, dtype="<i8").tobytes())
    if dataset.semantic_ids is not None:
        digest.update(_json_line([dataset.codebook_names, dataset.codebook_sizes, dataset.codes_are_unique]))
        digest.update(np.ascontiguousarray(dataset.semantic_ids, dtype="<i4").tobytes())
    for name, part in _typed_parts(dataset).items():
        if part is not None:
            digest.update(_json_line([name, len(part)]))
            digest.update(np.ascontiguousarray(part, dtype=part.dtype.newbyteorder("<")).tobytes())
    return replace(dataset, items=items, fingerprint=digest.hexdigest())


def _typed_parts(dataset: Dataset) -> dict[str, np.ndarray | None]:
    """What types of interactions add; nothing where all are alike."""
    dislikes, unread = dataset.dislikes, dataset.unread
    return {
        "weights": dataset.sequences.weights,
        "is_target": dataset.sequences.is_target,
        "dislikes": None if dislikes is None else dislikes.items,
        "dislike offsets": None if dislikes is None else dislikes.offsets,
        "dislike places": dataset.dislike_places,
        "unread": None if unread is None else unread.items.items,
        "unread offsets": None if unread is None else unread.items.offsets,
        "unread weights": None if unread is None else unread.items.weights,
    }


def _item_line(item: Item) -> bytes:
    try:
        picture = item.read_picture()
    except OSError as error:
        raise RowError(f"item {item.item_id!r}: its picture cannot be read ({error}); check its permissions") from error
    vectors = {
        modality: np.ascontiguousarray(vector, dtype="<f4").data.hex() for modality, vector in item.vectors.items()
    }
    picture_digest = None if picture is None else hashlib.sha256(picture).hexdigest()
    attributes = sorted(item.attributes.items())
    return _json_line([item.item_id, list(item.texts.items()), picture_digest, sorted(vectors.items()), attributes])


def _json_line(content: object) -> bytes:
    # ASCII with every text in quotes: different contents give different lines.
    return json.dumps(content).encode() + b"\n"
