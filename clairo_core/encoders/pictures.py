"""Decode the bytes of a JPEG, PNG or WebP file into an upright RGB picture. Start at `decode_picture`.

The bytes alone decide the format; file names and content types are ignored.
"""

import io
from typing import cast

import numpy as np
from PIL import Image, ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from clairo_core.encoders.picture_metadata import JPEG_START, PNG_START, without_metadata
from clairo_core.errors import ContentTooLargeError, UnreadablePictureError

MAX_PICTURE_BYTES = 10 * 1024 * 1024
MAX_PICTURE_PIXELS = 40_000_000

_Opener = type[ImageFile.ImageFile]
_NAMES: dict[_Opener, str] = {JpegImageFile: "JPEG", PngImageFile: "PNG", WebPImageFile: "WebP"}
_PILLOWS_NO_SIZE, _NO_SIZE = "not identified by this driver", "its header has no size"
_EXIF_ORIENTATION = 0x0112
_SAME_GREY = 3
"""Difference, in steps of 256, between brightest and darkest that JPEG makes of one shade."""
_UPRIGHT_BY_ORIENTATION = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode_picture(content: bytes, *, shortest_side: int | None = None) -> Image.Image:
    """Decode the first frame as upright RGB of 8 bits a channel.

    EXIF rotation is applied, transparency laid on white, CMYK converted; colour profiles and texts are ignored.

    Args:
        content: the whole file.
        shortest_side: no side needs more pixels than this. A large JPEG is then decoded at a half, a quarter or an
            eighth of its size, several times as fast; sides stay at least this long.

    Raises:
        ContentTooLargeError: over `MAX_PICTURE_BYTES` or `MAX_PICTURE_PIXELS`; nothing was decoded.
        UnreadablePictureError: not a JPEG, PNG or WebP file, damaged, or cut short.
    """
    if len(content) > MAX_PICTURE_BYTES:
        raise ContentTooLargeError(
            f"the picture has {len(content):,} bytes, expected at most {MAX_PICTURE_BYTES:,}; send a smaller one"
        )
    opener = _opener_of(content)
    try:
        return _decoded(opener, content, shortest_side)
    except UnreadablePictureError:
        bare = without_metadata(content)
        if bare == content:
            raise
        # A text, a profile or a thumbnail may be damaged, or over Pillow's limits: the picture is not.
        return _decoded(opener, bare, shortest_side)


def shows_nothing(picture: Image.Image) -> bool:
    """Whether a picture is one shade of grey, white or black, as placeholders are.

    A picture of one colour counts as a picture, such as that of a paint.

    >>> [shows_nothing(Image.new("RGB", (9, 9), colour)) for colour in ("white", "#eee", "red")]
    [True, True, False]
    """
    channels = cast("tuple[tuple[int, int], ...]", picture.getextrema())
    return max(most for _, most in channels) - min(least for least, _ in channels) <= _SAME_GREY


def _opener_of(content: bytes) -> _Opener:
    if content.startswith(JPEG_START):
        return JpegImageFile
    if content.startswith(PNG_START):
        return PngImageFile
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return WebPImageFile
    raise UnreadablePictureError(
        f"got {len(content):,} bytes that begin with {content[:8]!r}, expected a JPEG, PNG or WebP picture; "
        "send one of these three"
    )


def _decoded(opener: _Opener, content: bytes, shortest_side: int | None) -> Image.Image:
    # Pillow's parsers raise many kinds of errors (SyntaxError, struct.error, KeyError, ...), and a client's bytes must
    # end in a clear one.
    try:
        # Not Image.open: it replaces the reason of most failures by "cannot identify image file".
        image = opener(io.BytesIO(content))
        _check_size(*image.size)
        if shortest_side is not None:
            image.draft(None, (shortest_side, shortest_side))
        image.load()
        return _upright(_as_rgb(image), _orientation(image))
    except (ContentTooLargeError, MemoryError):
        # Too little memory is this machine's fault.
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_many_pixels("far more") from error
    except Exception as error:
        reason = _NO_SIZE if str(error) == _PILLOWS_NO_SIZE else str(error) or type(error).__name__
        raise UnreadablePictureError(
            f"the {_NAMES[opener]} picture is damaged or cut short ({reason}); save it again"
        ) from error


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PICTURE_PIXELS:
        raise _too_many_pixels(f"{width} x {height}")


def _too_many_pixels(size: str) -> ContentTooLargeError:
    return ContentTooLargeError(
        f"the picture has {size} pixels, expected at most {MAX_PICTURE_PIXELS:,}; send a smaller one"
    )


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # Pillow would clip 16-bit grey at 255 instead of scaling it.
        grey = np.asarray(image).astype(np.uint32)
        eight_bits = (grey >> 8).clip(0, 255).astype(np.uint8)
        if "transparency" in image.info:
            eight_bits[grey == image.info["transparency"]] = 255
        return Image.fromarray(eight_bits).convert("RGB")
    if image.has_transparency_data:
        with_alpha = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, with_alpha).convert("RGB")
    return image.convert("RGB")


def _orientation(image: Image.Image) -> int:
    # A picture with damaged EXIF is readable: it is shown as stored.
    try:
        return int(image.getexif().get(_EXIF_ORIENTATION, 1))
    except Exception:
        return 1


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    transpose = _UPRIGHT_BY_ORIENTATION.get(orientation)
    return image if transpose is None else image.transpose(transpose)
