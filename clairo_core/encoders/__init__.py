"""Item content in, modality embeddings out. The built-in encoders need no pretrained weights.

Start at `encoder.ModalityEncoder`, the protocol, and `load_encoder`.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clairo_core.encoders.builtin_image import BuiltinImageEncoder
from clairo_core.encoders.builtin_text import BuiltinTextEncoder
from clairo_core.encoders.encoder import ModalityEmbeddings, ModalityEncoder
from clairo_core.encoders.precomputed import PrecomputedEncoder
from clairo_core.errors import EncoderError
from clairo_core.storage.array_folder import load_array_folder, load_kind

if TYPE_CHECKING:
    from clairo_core.encoders.learned_image import LearnedImageEncoder
    from clairo_core.encoders.onnx_encoder import OnnxImageEncoder, OnnxTextEncoder
    from clairo_core.encoders.open_clip_image import OpenClipEncoder
    from clairo_core.encoders.picture_preparation import PicturePreparation
    from clairo_core.encoders.sentence_transformer import SentenceTransformerEncoder

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
    "load_preparation",
]

# A process that encodes pictures alone does without torch.
_MODULES_WITH_TORCH = {
    "LearnedImageEncoder": "learned_image",
    "OnnxImageEncoder": "onnx_encoder",
    "OnnxTextEncoder": "onnx_encoder",
    "OpenClipEncoder": "open_clip_image",
    "SentenceTransformerEncoder": "sentence_transformer",
}


def __getattr__(name: str) -> Any:
    """Import an encoder that needs torch when it is first used."""
    if name not in _MODULES_WITH_TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES_WITH_TORCH[name]}"), name)


def load_encoder(folder: Path, *, use_gpu: bool = True) -> ModalityEncoder:
    """Load a saved encoder of any kind.

    Args:
        folder: written by the encoder's `save`.
        use_gpu: run library models on a GPU, if available, in half precision.

    Raises:
        EncoderError: the folder is damaged, its kind of encoder is unknown, or a library is not installed.
    """
    from clairo_core.encoders.learned_image import LearnedImageEncoder  # noqa: PLC0415 - see above
    from clairo_core.encoders.onnx_encoder import OnnxImageEncoder, OnnxTextEncoder  # noqa: PLC0415
    from clairo_core.encoders.open_clip_image import OpenClipEncoder  # noqa: PLC0415
    from clairo_core.encoders.sentence_transformer import SentenceTransformerEncoder  # noqa: PLC0415

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
        raise EncoderError(f"{folder} holds the encoder {kind!r}, expected one of {', '.join(loaders)}; update CLAIRO")
    return loaders[kind]()


def load_preparation(folder: Path) -> "PicturePreparation | None":
    """How a saved encoder's pictures are prepared, without its weights. None if it does more than embed them.

    Raises:
        EncoderError: the folder is damaged.
    """
    from clairo_core.encoders.learned_image import PREPARATION, LearnedImageEncoder  # noqa: PLC0415 - see above
    from clairo_core.encoders.onnx_encoder import OnnxImageEncoder  # noqa: PLC0415
    from clairo_core.encoders.open_clip_image import OpenClipEncoder  # noqa: PLC0415
    from clairo_core.encoders.picture_preparation import PicturePreparation  # noqa: PLC0415

    kind = load_kind(folder, "encoder", EncoderError)
    if kind == LearnedImageEncoder.kind:
        return PREPARATION
    if kind not in (OnnxImageEncoder.kind, OpenClipEncoder.kind):
        return None
    header = load_array_folder(folder, "encoder", kind, EncoderError).header
    return PicturePreparation.from_header(header.get("preparation"))
