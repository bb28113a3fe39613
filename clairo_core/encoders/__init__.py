"""Content -> modality embedding. The built-in encoders need no weights from anywhere."""

from pathlib import Path

from clairo_core.array_folder import load_kind
from clairo_core.encoders.builtin_image import BuiltinImageEncoder
from clairo_core.encoders.builtin_text import BuiltinTextEncoder
from clairo_core.encoders.encoder import ModalityEmbeddings, ModalityEncoder
from clairo_core.encoders.open_clip_image import OpenClipEncoder
from clairo_core.encoders.precomputed import PrecomputedEncoder
from clairo_core.encoders.sentence_transformer import SentenceTransformerEncoder
from clairo_core.errors import EncoderError

__all__ = [
    "BuiltinImageEncoder",
    "BuiltinTextEncoder",
    "ModalityEmbeddings",
    "ModalityEncoder",
    "OpenClipEncoder",
    "PrecomputedEncoder",
    "SentenceTransformerEncoder",
    "load_encoder",
]


def load_encoder(folder: Path) -> ModalityEncoder:
    """Read an encoder that its `save` wrote.

    Raises:
        EncoderError: the folder is damaged, holds a kind of encoder that this CLAIRO does not know, or needs a library
            that is not installed.
    """
    kind = load_kind(folder, "encoder", EncoderError)
    if kind == BuiltinTextEncoder.name:
        return BuiltinTextEncoder.load(folder)
    if kind == BuiltinImageEncoder.name:
        return BuiltinImageEncoder.load(folder)
    if kind == PrecomputedEncoder.kind:
        return PrecomputedEncoder.load(folder)
    if kind == SentenceTransformerEncoder.kind:
        return SentenceTransformerEncoder.load(folder)
    if kind == OpenClipEncoder.kind:
        return OpenClipEncoder.load(folder)
    raise EncoderError(f"{folder} holds the encoder {kind!r}, which this CLAIRO does not know; update CLAIRO")
