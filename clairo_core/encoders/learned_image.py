"""Encode an item's picture by a small network trained on the catalogue's own pictures: five convolutions on 64 pixels.

For catalogues unlike any pretrained model's data, or without downloads. Start at `LearnedImageEncoder.encode`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

from clairo_core.encoders.encoder import ModalityEmbeddings
from clairo_core.encoders.item_content import IMAGE
from clairo_core.encoders.open_clip_image import encode_pictures
from clairo_core.encoders.picture_preparation import PicturePreparation
from clairo_core.errors import EncoderError
from clairo_core.items import Item
from clairo_core.progress import Progress, silent
from clairo_core.storage.array_folder import load_array_folder, save_array_folder

SIDE_PIXELS = 64
PREPARATION = PicturePreparation(
    SIDE_PIXELS, SIDE_PIXELS, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), interpolation="bilinear", resize_mode="squash"
)
_WIDTHS = (24, 48, 96, 192, 192)


class PictureNetwork(nn.Module):
    """Five convolutions, the last two at a sixteenth of the size; mean and maximum per channel; a matrix."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for number, (before, after) in enumerate(zip((3, *_WIDTHS), _WIDTHS, strict=False)):
            stride = 2 if number < len(_WIDTHS) - 1 else 1
            layers += [
                nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(),
            ]
        self.convolutions = nn.Sequential(*layers)
        self.projection = nn.Linear(2 * _WIDTHS[-1], dim)

    def forward(self, pictures: Float[Tensor, "picture 3 height width"]) -> Float[Tensor, "picture dim"]:
        """Embeddings of length 1."""
        maps = self.convolutions(pictures)
        pooled = torch.cat([maps.mean(dim=(2, 3)), maps.amax(dim=(2, 3))], dim=1)
        return nn.functional.normalize(self.projection(pooled), dim=-1)


class LearnedImageEncoder:
    """Picture -> image embedding of unit length."""

    kind: ClassVar[str] = "learned-image"
    modality: ClassVar[str] = IMAGE
    source: ClassVar[str] = "the learned network"

    def __init__(self, network: PictureNetwork) -> None:
        self.network = network.eval()
        self.preparation = PREPARATION
        self.dim = network.projection.out_features

    @property
    def name(self) -> str:
        """`learned-image`."""
        return self.kind

    @classmethod
    def from_weights(cls, weights: Mapping[str, Tensor]) -> "LearnedImageEncoder":
        """Make an encoder of weights with the names of `PictureNetwork.state_dict`.

        Raises:
            EncoderError: the weights do not fit the network.
        """
        try:
            network = PictureNetwork(len(weights["projection.bias"]))
            network.load_state_dict(dict(weights))
        except (KeyError, RuntimeError, TypeError) as error:
            raise EncoderError(f"the weights do not fit a picture network ({error}); train it again") from error
        return cls(network)

    def encode(self, items: Sequence[Item], progress: Progress = silent) -> ModalityEmbeddings:
        """Embed each item's picture; missing if there is none, or it is unreadable."""
        return encode_pictures(self, items, progress)

    def embed(self, prepared: Float32[np.ndarray, "picture 3 64 64"]) -> Float32[np.ndarray, "picture dim"]:
        """Embed prepared pictures."""
        with torch.inference_mode():
            return np.asarray(self.forward(torch.from_numpy(prepared)).numpy(), np.float32)

    def forward(self, prepared: Float[Tensor, "picture 3 64 64"]) -> Float[Tensor, "picture dim"]:
        """Embed prepared pictures, as tensors."""
        embedded: Tensor = self.network(prepared)
        return embedded

    def save(self, folder: Path) -> None:
        """Write encoder.json and the weights."""
        arrays = {name: tensor.cpu().numpy() for name, tensor in self.network.state_dict().items()}
        save_array_folder(folder, "encoder", self.kind, arrays, {"modality": self.modality, "dim": self.dim})

    @classmethod
    def load(cls, folder: Path) -> "LearnedImageEncoder":
        """Load a saved encoder.

        Raises:
            EncoderError: the folder is damaged or holds something else.
        """
        saved = load_array_folder(folder, "encoder", cls.kind, EncoderError)
        try:
            return cls.from_weights({name: torch.from_numpy(array) for name, array in saved.arrays.items()})
        except EncoderError as error:
            raise EncoderError(f"{folder}: {error}") from error
