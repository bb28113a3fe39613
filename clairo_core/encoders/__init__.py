"""Content -> modality embedding. The built-in encoders need no weights from anywhere."""

from collections.abc import Callable
from pathlib import Path

from clairo_core.encoders.builtin_image import BuiltinImageEncoder
from clairo_core.encoders.builtin_text import BuiltinTextEncoder
from clairo_core.encoders.encoder import ModalityEmbeddings, ModalityEncoder
from clairo_core.encoders.learned_image import LearnedImageEncoder
from clairo_core.encoders.onnx_encoder import OnnxImageEncoder, OnnxTextEncoder
from clairo_core.encoders.open_clip_image import OpenClipEncoder
from clairo_core.encoders.precomputed import PrecomputedEncoder
from clairo_core.encoders.sentence_transformer import SentenceTransformerEncoder
from clairo_core.errors import EncoderError
from clairo_core.storage.array_folder import load_kind

__all__ = [
    "BuiltinImageEncoder",
    "BuiltinTextEncoder",
    "LearnedImageEncoder",
    "ModalityEmbeddings",
    "ModalityEncoder",
    "OnnxImageEncoder",
    "OnnxTextEncoder",
    "OpenClipEncoder",
    "PrecomputedEncoder",
    "SentenceTransformerEncoder",
    "load_encoder",
]


def load_encoder(folder: Path, *, use_gpu: bool = True) -> ModalityEncoder:
    """Read an encoder that its `save` wrote.

    Args:
        folder: where it lies.
        use_gpu: whether a model of a library may go to a GPU, in half precision, where there is one.

    Raises:
        EncoderError: the folder is damaged, holds a kind of encoder that this CLAIRO does not know, or needs a library
            that is not installed.
    """
    loaders: dict[str, Callable[[], ModalityEncoder]] = {
        BuiltinTextEncoder.name: lambda: BuiltinTextEncoder.load(folder),
        BuiltinImageEncoder.name: lambda: BuiltinImageEncoder.load(folder),
        LearnedImageEncoder.kind: lambda: LearnedImageEncoder.load(folder),
        OnnxImageEncoder.kind: lambda: OnnxImageEncoder(folder),
        OnnxTextEncoder.kind: lambda: OnnxTextEncoder(folder),
        OpenClipEncoder.kind: lambda: OpenClipEncoder.load(folder, use_gpu=use_gpu),
        PrecomputedEncoder.kind: lambda: PrecomputedEncoder.load(folder),
        SentenceTransformerEncoder.kind: lambda: SentenceTransformerEncoder.load(folder, use_gpu=use_gpu),
    }
    kind = load_kind(folder, "encoder", EncoderError)
    if kind not in loaders:
        raise EncoderError(f"{folder} holds the encoder {kind!r}, which this CLAIRO does not know; update CLAIRO")
    return loaders[kind]()
