"""Encode an item's picture by any open_clip model. Start at `OpenClipEncoder.encode`.

Only a model given by name and tag, or by its name on the hub, is downloaded.

Source: Radford et al. 2021, "Learning Transferable Visual Models From Natural Language Supervision"; the default is
CLIP ViT-L/14. We differ: pictures are first decoded upright, transparency on white, large JPEGs at a fraction of
their size, and only the image half of the model is used.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Float32
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from clairo_core.encoders.encoder import ModalityEmbeddings
from clairo_core.encoders.item_content import IMAGE, batches_of
from clairo_core.encoders.optional_library import optional_library, quiet_transformers
from clairo_core.encoders.picture_preparation import PicturePreparation, ResizedPictures, resized_pictures
from clairo_core.errors import EncoderError
from clairo_core.items import Item
from clairo_core.progress import Progress, silent
from clairo_core.storage.array_folder import load_array_folder, save_array_folder

DEFAULT_MODEL = "ViT-L-14/openai"
BATCH_SIZE = 32
_CONFIG_FILE = "open_clip_config.json"
_NO_TEXT = {"context_length": 2, "vocab_size": 4, "width": 8, "heads": 1, "layers": 1}
"""open_clip builds both halves of a model; this text half is discarded."""


class OpenClipEncoder:
    """Picture -> image embedding of unit length. Make one with `from_pretrained`."""

    kind: ClassVar[str] = "open_clip"
    modality: ClassVar[str] = IMAGE

    def __init__(self, visual: Any, shape: Mapping[str, Any], preparation: PicturePreparation, source: str) -> None:
        """`visual`: the model's image half; `shape`: the part of open_clip's model_cfg that rebuilds it."""
        self.visual = visual.eval()
        self.shape = dict(shape)
        self.preparation = preparation
        self.source = source
        self.dim = int(shape["embed_dim"])

    @property
    def name(self) -> str:
        """The library and the model, such as `open_clip:ViT-L-14/openai`."""
        return f"{self.kind}:{self.source}"

    @classmethod
    def from_pretrained(cls, name: str = DEFAULT_MODEL) -> "OpenClipEncoder":
        """Load a model by `NAME/TAG` (or a file of weights as tag), `hf-hub:OWNER/NAME`, or a local folder.

        Raises:
            EncoderError: the library is not installed, the model is unknown, or the tag is missing (the weights would
                be random).
        """
        library = optional_library("open_clip", "open_clip_torch")
        folder = Path(name.removeprefix("local-dir:")).expanduser()
        if name.startswith("local-dir:") or folder.is_dir():
            if not (folder / _CONFIG_FILE).is_file():
                raise EncoderError(f"{folder / _CONFIG_FILE} is missing; give a folder in open_clip's format")
            return cls(*_pretrained(library, f"local-dir:{folder}", None), folder.name)
        if name.startswith("hf-hub:"):
            return cls(*_pretrained(library, name, None), name.removeprefix("hf-hub:"))
        model, _, tag = name.partition("/")
        tags = library.list_pretrained_tags_by_model(model)
        if tag not in tags and not Path(tag).is_file():
            known = f"one of {', '.join(tags)}" if tags else f"a model such as {DEFAULT_MODEL}, or a folder"
            raise EncoderError(f"open_clip has no weights {tag!r} of a model {model!r}; choose {known}")
        return cls(*_pretrained(library, model, tag), name if tag in tags else f"{model}/{Path(tag).stem}")

    def encode(self, items: Sequence[Item], progress: Progress = silent) -> ModalityEmbeddings:
        """Embed each item's picture; missing if there is none, or it is unreadable."""
        return encode_pictures(self, items, progress)

    def embed(self, prepared: Float32[np.ndarray, "picture 3 height width"]) -> Float32[np.ndarray, "picture dim"]:
        """Embed prepared pictures."""
        weight = next(self.visual.parameters())
        with torch.inference_mode():
            embedded = self.forward(torch.from_numpy(prepared).to(weight.device, weight.dtype))
        return np.asarray(embedded.float().cpu().numpy(), np.float32)

    def forward(self, prepared: Float[Tensor, "picture 3 height width"]) -> Float[Tensor, "picture dim"]:
        """Embed prepared pictures, as tensors on the network's device."""
        embedded = self.visual(prepared)
        # Captioning models also return their patches.
        return torch.nn.functional.normalize(embedded[0] if isinstance(embedded, tuple) else embedded, dim=-1)

    def save(self, folder: Path) -> None:
        """Write encoder.json and the weights of the model's image half."""
        folder.mkdir(parents=True, exist_ok=True)
        weights = {name: tensor.float().contiguous() for name, tensor in self.visual.state_dict().items()}
        save_file(weights, folder / "visual.safetensors")
        header = {
            "modality": self.modality,
            "source": self.source,
            "shape": self.shape,
            "preparation": self.preparation.as_header(),
        }
        save_array_folder(folder, "encoder", self.kind, {"dim": np.array([self.dim], np.int64)}, header)

    @classmethod
    def load(cls, folder: Path, *, use_gpu: bool = True) -> "OpenClipEncoder":
        """Load a saved encoder; on a GPU, if available, in float16.

        Raises:
            EncoderError: the folder is damaged or holds something else, or the library is not installed.
        """
        saved = load_array_folder(folder, "encoder", cls.kind, EncoderError)
        library = optional_library("open_clip", "open_clip_torch")
        shape, source = saved.header.get("shape"), saved.text("source")
        preparation = PicturePreparation.from_header(saved.header.get("preparation"))
        if not isinstance(shape, dict):
            raise EncoderError(f"{saved.header_path}: shape is {shape!r}, expected an object; copy the folder again")
        try:
            visual = library.CLIP(**shape, text_cfg=_NO_TEXT).visual
            visual.load_state_dict(load_file(folder / "visual.safetensors"))
        except (OSError, SafetensorError, RuntimeError, TypeError, ValueError, KeyError) as error:
            raise EncoderError(f"{folder}: weights or shape are damaged ({error}); copy the folder again") from error
        if use_gpu and torch.cuda.is_available():
            visual = visual.to("cuda", torch.float16)
        return cls(visual, shape, preparation, source)


def encode_pictures(encoder: Any, items: Sequence[Item], progress: Progress) -> ModalityEmbeddings:
    """Decode, prepare and embed in batches, for an encoder with `preparation`, `embed`, `dim` and `source`."""
    vectors = np.zeros((len(items), encoder.dim), np.float32)
    is_present = np.zeros(len(items), np.bool_)
    for start, batch in batches_of(items, BATCH_SIZE, f"encoding pictures by {encoder.source}", progress):
        embedded = embed_pictures(encoder, resized_pictures(encoder.preparation, batch))
        rows = slice(start, start + len(batch))
        vectors[rows], is_present[rows] = embedded.vectors, embedded.is_present
    return ModalityEmbeddings(vectors, is_present)


def embed_pictures(encoder: Any, pictures: ResizedPictures) -> ModalityEmbeddings:
    """The second half of `encode_pictures`, in the same batches."""
    vectors = np.zeros((len(pictures.is_present), encoder.dim), np.float32)
    before = 0
    for start in range(0, len(vectors), BATCH_SIZE):
        rows = start + np.flatnonzero(pictures.is_present[start : start + BATCH_SIZE])
        batch = pictures.pixels[before : before + len(rows)]
        if len(rows):
            vectors[rows] = encoder.embed(np.stack([encoder.preparation.normalized(pixels) for pixels in batch]))
        before += len(rows)
    return ModalityEmbeddings(vectors, pictures.is_present)


def _pretrained(library: Any, name: str, tag: str | None) -> tuple[Any, dict[str, Any], PicturePreparation]:
    """The model's image half, the shape that rebuilds it, and its picture preparation."""
    try:
        with quiet_transformers():
            model = library.create_model(
                name, pretrained=tag, device="cpu", precision="fp32", require_pretrained=True, pretrained_text=False
            )
        settings = library.get_model_config(name)
    except Exception as error:
        # open_clip, timm, torch and the hub's client raise many kinds of errors.
        raise EncoderError(f"open_clip cannot load {name!r}: {error}; check the name, or copy the folder again") from (
            error
        )
    # A tag may require the first models' activation, against the model's own settings.
    quick_gelu = any(type(module).__name__ == "QuickGELU" for module in model.visual.modules())
    shape = {"embed_dim": settings["embed_dim"], "vision_cfg": settings["vision_cfg"], "quick_gelu": quick_gelu}
    return model.visual, shape, PicturePreparation.from_open_clip(model.visual.preprocess_cfg)
