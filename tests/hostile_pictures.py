"""Hostile pictures: bombs, stumps, polyglots, and odd but valid ones, with the expected outcome of each."""

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

PNG_START = b"\x89PNG\r\n\x1a\n"
IEND = b"\0\0\0\0IEND\xaeB`\x82"
JPEG_START = b"\xff\xd8"
SIDE = 64
TOO_LARGE, NO_PICTURE, FINE = 413, 415, 201


def _pixels(channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(256, size=(SIDE, SIDE, channels)).astype(np.uint8)


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _drawn(kind: str, **options: object) -> bytes:
    return _saved(Image.fromarray(_pixels()), kind, **options)


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _png(width: int, height: int, *further: bytes, rows: bytes = bytes(12)) -> bytes:
    """A PNG with the header of an 8-bit grey picture, and arbitrary rows."""
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return PNG_START + header + b"".join(further) + _chunk(b"IDAT", zlib.compress(rows)) + IEND


def _with_size(jpeg: bytes, width: int, height: int) -> bytes:
    """The same JPEG with another size in its frame header."""
    place = jpeg.index(b"\xff\xc0") + 5
    return jpeg[:place] + struct.pack(">HH", height, width) + jpeg[place + 4 :]


def _webp_canvas(width: int, height: int) -> bytes:
    """A WebP with an extended header and nothing else."""
    content = bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    chunk = b"VP8X" + struct.pack("<I", len(content)) + content
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


def _zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("evil.html", "<script>alert(1)</script>")
    return file.getvalue()


def _exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def _frames() -> Sequence[Image.Image]:
    return [Image.fromarray(_pixels() // step) for step in (2, 3)]


ZEROS = zlib.compress(bytes(200 * 2**20), 9)
"""200 MiB of zeros, in 200 KiB."""

HOSTILE_PICTURES: Mapping[str, tuple[bytes, int]] = {
    "a png of 50,000 x 50,000": (_png(50_000, 50_000), TOO_LARGE),
    "a png of 2**31 - 1 a side": (_png(2**31 - 1, 2**31 - 1), TOO_LARGE),
    "a png of no pixels": (_png(0, 0), NO_PICTURE),
    "a png of no height": (_png(SIDE, 0), NO_PICTURE),
    "a png with 200 MiB of text": (_png(3, 3, _chunk(b"zTXt", b"k\0\0" + ZEROS)), FINE),
    "a png with 200 MiB of international text": (_png(3, 3, _chunk(b"iTXt", b"k\0\1\0\0\0" + ZEROS)), FINE),
    "a png with a colour profile of 200 MiB": (_png(3, 3, _chunk(b"iCCP", b"k\0\0" + ZEROS)), FINE),
    "a png with 70 MiB in many texts": (_png(3, 3, _chunk(b"tEXt", b"k\0" + b"x" * 2**17) * 72), FINE),
    "a png with a text behind its rows": (_png(3, 3)[:-12] + _chunk(b"zTXt", b"k\0\0" + ZEROS) + IEND, FINE),
    "a png with a text of an unknown compression": (_png(3, 3, _chunk(b"zTXt", b"k\0\5x")), FINE),
    "a png with a broken gamma, resolution and animation": (
        _png(3, 3, *(_chunk(name, b"x") for name in (b"gAMA", b"pHYs", b"acTL"))),
        FINE,
    ),
    "a png of a broken text and broken rows": (_png(3, 3, _chunk(b"zTXt", b"k\0\5x"), rows=b"")[:-30], NO_PICTURE),
    "a jpeg with a broken thumbnail, profile and note": (
        JPEG_START + b"\xff\xe0\0\6JFIF\xff\xe2\0\x0eICC_PROFILE\0\xff\xee\0\7Adobe" + _drawn("JPEG")[2:],
        FINE,
    ),
    "a png with 200 MiB of rows": (_png(SIDE, SIDE, rows=bytes(200 * 2**20)), FINE),
    "a png of fewer rows than it says, but whole": (_png(SIDE, SIDE, rows=bytes(65)), FINE),
    "a png with a wrong checksum": (_drawn("PNG")[:-20] + bytes(20), NO_PICTURE),
    "a png with broken rows": (PNG_START + _drawn("PNG")[8:33] + _chunk(b"IDAT", b"junk") * 3, NO_PICTURE),
    "half a png": (_drawn("PNG")[: len(_drawn("PNG")) // 2], NO_PICTURE),
    "half a jpeg": (_drawn("JPEG")[: len(_drawn("JPEG")) // 2], NO_PICTURE),
    "half a webp": (_drawn("WEBP")[: len(_drawn("WEBP")) // 2], NO_PICTURE),
    "a jpeg of 65,000 x 65,000": (_with_size(_drawn("JPEG"), 65_000, 65_000), TOO_LARGE),
    "a jpeg of no pixels": (_with_size(_drawn("JPEG"), 0, 0), NO_PICTURE),
    "a jpeg's header alone": (b"\xff\xd8\xff\xe0" + bytes(40), NO_PICTURE),
    "a webp canvas of 16,000 x 16,000": (_webp_canvas(16_000, 16_000), TOO_LARGE),
    "a gif": (_saved(Image.fromarray(_pixels()).quantize(16), "GIF"), NO_PICTURE),
    "an animated gif": (_saved(_frames()[0], "GIF", save_all=True, append_images=_frames()), NO_PICTURE),
    "a bmp": (_drawn("BMP"), NO_PICTURE),
    "a tiff": (_drawn("TIFF"), NO_PICTURE),
    "an icon": (_drawn("ICO"), NO_PICTURE),
    "a pdf": (_drawn("PDF"), NO_PICTURE),
    "an eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(%pipe%id) (w) file\n", NO_PICTURE),
    "an svg": (b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>', NO_PICTURE),
    "an svg that names a file": (
        b'<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg xmlns="http://www.w3.org/2000/svg">&x;</svg>',
        NO_PICTURE,
    ),
    "a page that begins like a png": (PNG_START + b"<script>alert(1)</script>", NO_PICTURE),
    "a page that begins like a gif": (b"GIF89a/*<script>*/=1", NO_PICTURE),
    "an archive": (_zipped(), NO_PICTURE),
    "a jpeg that is an archive too": (_drawn("JPEG") + _zipped(), FINE),
    "a png with a script behind its end": (_drawn("PNG") + b"<script>alert(1)</script>", FINE),
    "a jpeg of four inks": (_saved(Image.fromarray(_pixels(4), "CMYK"), "JPEG"), FINE),
    "a jpeg in grey": (_saved(Image.fromarray(_pixels()).convert("L"), "JPEG"), FINE),
    "a jpeg on its side": (_drawn("JPEG", exif=_exif(6)), FINE),
    "a jpeg of an orientation that there is not": (_drawn("JPEG", exif=_exif(999)), FINE),
    "a jpeg with broken exif": (_drawn("JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff"), FINE),
    "a jpeg with a broken colour profile": (_drawn("JPEG", icc_profile=b"no profile" * 1000), FINE),
    "a progressive jpeg": (_drawn("JPEG", progressive=True), FINE),
    "a png of 16 bits": (_saved(Image.fromarray(_pixels(1)[..., 0].astype(np.uint16) * 257), "PNG"), FINE),
    "a png of one bit": (_saved(Image.fromarray(_pixels()).convert("1"), "PNG"), FINE),
    "a png of a palette, see-through": (_saved(Image.fromarray(_pixels()).quantize(8), "PNG", transparency=0), FINE),
    "a png that is see-through": (_saved(Image.fromarray(_pixels(4)), "PNG"), FINE),
    "an animated png": (_saved(_frames()[0], "PNG", save_all=True, append_images=_frames()), FINE),
    "an animated webp": (_saved(_frames()[0], "WEBP", save_all=True, append_images=_frames()), FINE),
    "a png of one pixel": (_png(1, 1), FINE),
    "a png of 20,000 x 1": (_png(20_000, 1, rows=bytes(20_001)), FINE),
    "a png of 1 x 20,000": (_png(1, 20_000, rows=bytes(40_000)), FINE),
    "a png of 36 megapixels in 5 KiB": (_saved(Image.new("1", (6000, 6000)), "PNG"), FINE),
}
