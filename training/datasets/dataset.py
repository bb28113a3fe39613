"""A dataset: items and interactions, the input of all training. Start at `Dataset`.

Independent of file formats.
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, Int32, Int64

from clairo_core.errors import RowError
from clairo_core.events import InteractionRules
from clairo_core.items import Item
from clairo_core.progress import Progress, silent
from clairo_core.sequences import ItemSequences
from training.datasets.description import OnBadPicture


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

    path: Path
    field: str
    rows: Int64[np.ndarray, "item"]
    """Row of the file, from 0; -1 for an item without one."""
    unreadable_pictures: OnBadPicture

    def of_items(self, is_kept: Bool[np.ndarray, "item"]) -> "PictureOrigin":
        """Origin of some items' pictures."""
        return PictureOrigin(self.path, self.field, self.rows[is_kept], self.unreadable_pictures)


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
    """SHA-256 of all fields but name, picture origin and days: the same for every format and on every machine."""
    days: Float32[np.ndarray, "interaction"] | None = None
    """When each interaction of `sequences` happened, in days since 1970; None without times."""
    rules: InteractionRules = field(default_factory=InteractionRules)
    """How the source's interactions became `sequences`."""
    dislikes: ItemSequences | None = None
    """Rows of the items that each user dislikes; None without negative events."""

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
    rules: InteractionRules | None = None,
    codes: Codes | None = None,
    picture_origin: PictureOrigin | None = None,
    progress: Progress = silent,
) -> Dataset:
    """Combine the parts and compute the fingerprint.

    Raises:
        RowError: a picture file cannot be read.
    """
    return Dataset(
        name=name,
        items=items,
        user_ids=user_ids,
        sequences=sequences,
        semantic_ids=None if codes is None else codes.semantic_ids,
        codebook_names=() if codes is None else codes.names,
        codebook_sizes=() if codes is None else codes.sizes,
        codes_are_unique=codes is not None and codes.are_unique,
        picture_origin=picture_origin,
        fingerprint=_fingerprint(items, user_ids, sequences, codes, progress),
        days=days,
        rules=InteractionRules() if rules is None else rules,
    )


def _fingerprint(
    items: tuple[Item, ...],
    user_ids: tuple[str, ...],
    sequences: ItemSequences,
    codes: Codes | None,
    progress: Progress,
) -> str:
    digest = hashlib.sha256()
    for item in progress(items, "fingerprinting items", len(items)):
        digest.update(_item_line(item))
    digest.update(_json_line(user_ids))
    # Little-endian on every machine.
    digest.update(np.ascontiguousarray(sequences.items, dtype="<i4").tobytes())
    digest.update(np.ascontiguousarray(sequences.offsets, dtype="<i8").tobytes())
    if codes is not None:
        digest.update(_json_line([codes.names, codes.sizes, codes.are_unique]))
        digest.update(np.ascontiguousarray(codes.semantic_ids, dtype="<i4").tobytes())
    return digest.hexdigest()


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
