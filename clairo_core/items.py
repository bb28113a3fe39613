"""Items and user histories. Everything here is frozen."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from jaxtyping import Float

from clairo_core.attributes import Value


class PictureFile(Protocol):
    """Holds an encoded picture, as a `Path` does."""

    def read_bytes(self) -> bytes:
        """Read the picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A product: words, a picture, any further modality as a vector. Any of them may be missing."""

    item_id: str
    texts: Mapping[str, str] = field(default_factory=dict)
    """Text fields in reading order, such as title, then description."""
    picture: bytes | PictureFile | None = None
    """An encoded JPEG, PNG or WebP, or the file that holds one."""
    vectors: Mapping[str, Float[np.ndarray, "dim"]] = field(default_factory=dict)
    """Modality name -> precomputed modality embedding (audio, video, ...)."""
    attributes: Mapping[str, Value] = field(default_factory=dict)
    """For filters and pages: category, brand, price. Never read by an encoder."""

    @property
    def text(self) -> str:
        """All text fields in order, one per line; empty if there are none."""
        return "\n".join(text for text in self.texts.values() if text)

    @property
    def title(self) -> str:
        """The first non-empty text field, else the id."""
        return next((text for text in self.texts.values() if text), self.item_id)

    def read_picture(self) -> bytes | None:
        """The encoded picture, read from its file if necessary; None if the item has none.

        Raises:
            OSError: the file cannot be read.
        """
        picture = self.picture
        return picture if picture is None or isinstance(picture, bytes) else picture.read_bytes()


def described_digest(texts: Mapping[str, str], of_picture: str | None) -> str:
    """SHA-256 of the words and the picture's `picture_digest`: items of equal digests are described alike.

    >>> described_digest({"title": "Mug "}, None) == described_digest({"name": "Mug", "care": ""}, None)
    True
    """
    words = "\n".join(text.strip() for text in texts.values() if text.strip())
    return hashlib.sha256(json.dumps([words, of_picture]).encode()).hexdigest()


def picture_digest(picture: bytes | None) -> str | None:
    """Hexadecimal SHA-256 of an encoded picture; None without one."""
    return hashlib.sha256(picture).hexdigest() if picture else None


@dataclass(frozen=True, slots=True)
class UserHistory:
    """The items that one user interacted with, oldest first."""

    item_ids: tuple[str, ...]
