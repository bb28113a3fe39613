"""Content -> modality embedding. The built-in encoders need no weights from anywhere."""

from pathlib import Path

from clairo_core.array_folder import load_kind
from clairo_core.encoders.builtin_image import BuiltinImageEncoder
from clairo_core.encoders.builtin_text import BuiltinTextEncoder
from clairo_core.encoders.encoder import ModalityEmbeddings, ModalityEncoder
from clairo_core.errors import EncoderError

__all__ = ["BuiltinImageEncoder", "BuiltinTextEncoder", "ModalityEmbeddings", "ModalityEncoder", "load_encoder"]


def load_encoder(folder: Path) -> ModalityEncoder:
    """Read an encoder that its `save` wrote.

    Raises:
        EncoderError: the folder is damaged, or holds a kind of encoder that this CLAIRO does not know.
    """
    kind = load_kind(folder, "encoder", EncoderError)
    if kind == BuiltinTextEncoder.name:
        return BuiltinTextEncoder.load(folder)
    if kind == BuiltinImageEncoder.name:
        return BuiltinImageEncoder.load(folder)
    raise EncoderError(f"{folder} holds the encoder {kind!r}, which this CLAIRO does not know; update CLAIRO")
