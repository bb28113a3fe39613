"""Prepare a decoded picture for a network: resize, crop or pad, normalize, channels first.

Reimplements open_clip's inference transform with Pillow and numpy, so serving needs no torchvision.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from PIL import Image, ImageOps

from clairo_core.encoders.item_content import picture_of
from clairo_core.errors import EncoderError
from clairo_core.items import Item

_RESAMPLING = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
_RESIZE_MODES = ("shortest", "longest", "squash")


@dataclass(frozen=True, slots=True)
class PicturePreparation:
    """The fields of open_clip's preprocess_cfg."""

    height: int
    width: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str = "bicubic"
    resize_mode: str = "shortest"
    """`shortest` crops, `longest` pads, `squash` stretches."""
    fill_color: int = 0

    def __post_init__(self) -> None:
        if self.interpolation not in _RESAMPLING or self.resize_mode not in _RESIZE_MODES:
            raise EncoderError(
                f"pictures are resized by {self.interpolation!r} and {self.resize_mode!r}, expected "
                f"{' or '.join(_RESAMPLING)} and {', '.join(_RESIZE_MODES)}; use another model"
            )
        if min(self.height, self.width) < 1 or len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise EncoderError(f"{self} has a size, mean or std out of range; copy the encoder again")

    @classmethod
    def from_open_clip(cls, settings: Mapping[str, Any]) -> "PicturePreparation":
        """From open_clip's preprocess_cfg.

        Raises:
            EncoderError: a field is missing or unsupported.
        """
        try:
            size = settings["size"]
            height, width = (size, size) if isinstance(size, int) else size
            return cls(
                int(height),
                int(width),
                tuple(settings["mean"]),
                tuple(settings["std"]),
                settings["interpolation"] or "bicubic",
                settings["resize_mode"] or "shortest",
                int(settings["fill_color"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise EncoderError(
                f"the model's preprocess_cfg {settings} cannot be used ({error!r}); use another model"
            ) from error

    @classmethod
    def from_header(cls, header: object) -> "PicturePreparation":
        """From `as_header`.

        Raises:
            EncoderError: a field is missing or unknown.
        """
        try:
            fields = dict(header)  # type: ignore[call-overload]
            return cls(**(fields | {"mean": tuple(fields["mean"]), "std": tuple(fields["std"])}))
        except (KeyError, TypeError, ValueError) as error:
            raise EncoderError(f"the preparation of pictures {header!r} cannot be read; copy the encoder again") from (
                error
            )

    def as_header(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)

    @property
    def decoded_side(self) -> int:
        """Sufficient side of a decoded picture: twice the network's, so that resizing still averages."""
        return 2 * max(self.height, self.width)

    def __call__(self, picture: Image.Image) -> Float32[np.ndarray, "3 height width"]:
        """Prepare an RGB picture."""
        return self.normalized(self.resized(picture))

    def resized(self, picture: Image.Image) -> UInt8[np.ndarray, "height width 3"]:
        """The first step, a quarter of the bytes of the second."""
        return np.asarray(self._resized(picture))

    def normalized(self, pixels: UInt8[np.ndarray, "height width 3"]) -> Float32[np.ndarray, "3 height width"]:
        """The second step."""
        of_one = pixels.astype(np.float32) / 255
        normalized = (of_one - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
        return np.ascontiguousarray(normalized.transpose(2, 0, 1))

    def _resized(self, picture: Image.Image) -> Image.Image:
        resampling = _RESAMPLING[self.interpolation]
        if self.resize_mode == "squash":
            return picture.resize((self.width, self.height), resampling)
        width, height = picture.size
        by_width, by_height = width / self.width, height / self.height
        if self.resize_mode == "longest":
            ratio = max(by_width, by_height)
            fitted = picture.resize((max(1, round(width / ratio)), max(1, round(height / ratio))), resampling)
            return self._centred(fitted)
        if self.height == self.width:
            # The longer side is rounded down, as in torchvision.
            shortest = min(width, height)
            size = (int(self.width * width / shortest), int(self.height * height / shortest))
        else:
            ratio = min(by_width, by_height)
            size = (round(width / ratio), round(height / ratio))
            # open_clip ignores the interpolation here.
            resampling = Image.Resampling.BICUBIC
        return self._centred(picture.resize(size, resampling))

    def _centred(self, picture: Image.Image) -> Image.Image:
        """Pad the sides that are too short, then crop those that are too long."""
        missing_x, missing_y = max(0, self.width - picture.width), max(0, self.height - picture.height)
        if missing_x or missing_y:
            border = (missing_x // 2, missing_y // 2, (missing_x + 1) // 2, (missing_y + 1) // 2)
            picture = ImageOps.expand(picture, border, fill=(self.fill_color,) * 3)
        left, top = round((picture.width - self.width) / 2), round((picture.height - self.height) / 2)
        return picture.crop((left, top, left + self.width, top + self.height))


@dataclass(frozen=True, slots=True, eq=False)
class ResizedPictures:
    """Pictures of items, decoded and resized, not normalized."""

    pixels: UInt8[np.ndarray, "picture height width 3"]
    """Of the items that have a picture, in their order."""
    is_present: Bool[np.ndarray, "item"]


def resized_pictures(preparation: PicturePreparation, items: Sequence[Item]) -> ResizedPictures:
    """Decode and resize each item's picture; missing if there is none, or it is unreadable."""
    pixels = np.empty((len(items), preparation.height, preparation.width, 3), np.uint8)
    is_present = np.zeros(len(items), np.bool_)
    num_pictures = 0
    for row, item in enumerate(items):
        picture = picture_of(item, preparation.decoded_side)
        if picture is not None:
            pixels[num_pictures] = preparation.resized(picture)
            is_present[row] = True
            num_pictures += 1
    return ResizedPictures(pixels[:num_pictures], is_present)
