"""Content -> modality embedding. The built-in encoders need no weights."""

from clairo_core.encoders.builtin_image import BuiltinImageEncoder
from clairo_core.encoders.builtin_text import BuiltinTextEncoder
from clairo_core.encoders.encoder import ModalityEmbeddings, ModalityEncoder, load_encoder

__all__ = ["BuiltinImageEncoder", "BuiltinTextEncoder", "ModalityEmbeddings", "ModalityEncoder", "load_encoder"]
