import contextlib
import io
import time
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from clairo_core.encoders.pictures import MAX_PICTURE_BYTES, decode_picture
from clairo_core.errors import ContentTooLargeError, UnreadablePictureError

RED, WHITE = (255, 0, 0), (255, 255, 255)


def encoded(image: Image.Image, format_name: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_name, **options)
    return buffer.getvalue()


def left_half_red(width: int = 64, height: int = 32) -> Image.Image:
    image = Image.new("RGB", (width, height), "blue")
    image.paste("red", (0, 0, width // 2, height))
    return image


def is_close(pixel: object, colour: tuple[int, int, int], tolerance: int = 12) -> bool:
    return bool(np.abs(np.subtract(pixel, colour)).max() <= tolerance)


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP"])
def test_the_three_formats_decode_to_rgb(format_name):
    picture = decode_picture(encoded(left_half_red(), format_name))
    assert (picture.mode, picture.size) == ("RGB", (64, 32))
    assert is_close(picture.getpixel((5, 5)), RED)


@pytest.mark.parametrize("mode", ["L", "P", "1", "LA", "RGBA"])
def test_every_png_mode_decodes_to_rgb(mode):
    assert decode_picture(encoded(left_half_red().convert(mode), "PNG")).mode == "RGB"


@pytest.mark.parametrize("format_name", ["GIF", "BMP", "TIFF", "ICO"])
def test_other_formats_are_refused_by_content(format_name):
    with pytest.raises(UnreadablePictureError, match="expected a JPEG, PNG or WebP"):
        decode_picture(encoded(left_half_red(), format_name))


@pytest.mark.parametrize("content", [b"", b"\x00", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"\xff\xd8\xff\xe0"])
def test_bytes_that_are_not_a_picture_are_refused(content):
    with pytest.raises(UnreadablePictureError):
        decode_picture(content)


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP"])
def test_a_picture_cut_short_is_refused(format_name):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    content = encoded(noise, format_name)
    with pytest.raises(UnreadablePictureError):
        decode_picture(content[: len(content) // 2])


@given(st.sampled_from(["JPEG", "PNG", "WEBP"]), st.data())
def test_damaged_bytes_give_a_picture_or_our_own_error(format_name, data):
    content = bytearray(encoded(left_half_red(), format_name))
    for _ in range(data.draw(st.integers(1, 20))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(UnreadablePictureError, ContentTooLargeError):
        assert decode_picture(bytes(content)).mode == "RGB"


def test_exif_rotation_is_applied():
    exif = Image.Exif()
    exif[0x0112] = 6  # stored on its side: turn a quarter clockwise
    picture = decode_picture(encoded(left_half_red(), "JPEG", exif=exif, quality=95))
    assert picture.size == (32, 64)
    assert is_close(picture.getpixel((16, 8)), RED)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_each_exif_orientation_is_undone_as_pillow_would(orientation):
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = orientation
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 256, (5, 7, 3), np.uint8))
    content = encoded(noise, "PNG", exif=exif)
    with Image.open(io.BytesIO(content)) as stored:
        expected = np.asarray(ImageOps.exif_transpose(stored))
    assert np.array_equal(np.asarray(decode_picture(content)), expected)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_damaged_exif_leaves_the_picture_as_stored():
    content = encoded(left_half_red(), "JPEG", exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff" + b"\x07" * 30)
    assert decode_picture(content).size == (64, 32)


def test_transparency_is_laid_on_white():
    image = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    image.putpixel((0, 0), (255, 0, 0, 255))
    picture = decode_picture(encoded(image, "PNG"))
    assert picture.getpixel((0, 0)) == RED
    assert picture.getpixel((4, 4)) == WHITE


def test_a_transparent_palette_colour_is_laid_on_white():
    image = Image.new("P", (8, 8), 0)
    image.putpalette([0, 0, 0, 255, 0, 0])
    image.putpixel((0, 0), 1)
    picture = decode_picture(encoded(image, "PNG", transparency=0))
    assert picture.getpixel((0, 0)) == RED
    assert picture.getpixel((4, 4)) == WHITE


def test_sixteen_bit_grey_is_scaled_not_clipped():
    grey = np.array([[0, 128 << 8, 255 << 8]], np.uint16)
    picture = decode_picture(encoded(Image.fromarray(grey), "PNG"))
    assert np.asarray(picture)[0, :, 0].tolist() == [0, 128, 255]


def test_the_transparent_value_of_sixteen_bit_grey_is_white():
    grey = np.array([[0, 1000]], np.uint16)
    picture = decode_picture(encoded(Image.fromarray(grey), "PNG", transparency=1000))
    assert np.asarray(picture)[0, :, 0].tolist() == [0, 255]


def test_cmyk_is_converted():
    picture = decode_picture(encoded(left_half_red().convert("CMYK"), "JPEG", quality=95))
    assert picture.mode == "RGB"
    assert is_close(picture.getpixel((5, 5)), RED)


@pytest.mark.parametrize("format_name", ["WEBP", "PNG"])
def test_the_first_frame_of_an_animation_is_decoded(format_name):
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue", "green")]
    content = encoded(frames[0], format_name, save_all=True, append_images=frames[1:], duration=50)
    assert is_close(decode_picture(content).getpixel((8, 8)), RED)


def test_too_many_bytes_are_refused_before_decoding():
    with pytest.raises(ContentTooLargeError, match="expected at most 10,485,760"):
        decode_picture(b"\xff" * (MAX_PICTURE_BYTES + 1))


@pytest.mark.parametrize("size", [(8001, 5000), (13_000, 13_000), (30_000, 30_000)])
def test_a_picture_bomb_is_refused_before_it_is_decoded(size):
    # A PNG's header has its size; the bomb is refused even without any content.
    header = encoded(Image.new("L", (1, 1)), "PNG")
    sizes = size[0].to_bytes(4, "big") + size[1].to_bytes(4, "big")
    chunk = b"IHDR" + sizes + header[24:29]
    bomb = header[:12] + chunk + PngImagePlugin.o32(zlib.crc32(chunk)) + header[33:]
    start = time.perf_counter()
    with pytest.raises(ContentTooLargeError, match="40,000,000"):
        decode_picture(bomb)
    assert time.perf_counter() - start < 0.5


def test_a_picture_at_the_limit_is_decoded():
    assert decode_picture(encoded(Image.new("L", (8000, 5000)), "PNG", compress_level=1)).size == (8000, 5000)


def test_a_large_jpeg_is_decoded_smaller_when_a_hint_allows():
    content = encoded(left_half_red(2000, 1000), "JPEG")
    picture = decode_picture(content, shortest_side=128)
    assert picture.size == (500, 250)
    assert is_close(picture.getpixel((5, 5)), RED)


METADATA = st.sampled_from(
    [b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"gAMA", b"cHRM", b"sRGB", b"pHYs", b"acTL", b"tIME", b"unKn"]
)


@given(st.lists(st.tuples(METADATA, st.binary(max_size=40)), min_size=1, max_size=4), st.booleans())
def test_whatever_a_pngs_metadata_is_its_pixels_are_the_same(chunks, is_behind):
    plain = encoded(left_half_red(), "PNG")
    place = plain.index(b"IEND" if is_behind else b"IDAT") - 4
    parts = (
        len(content).to_bytes(4, "big") + name + content + zlib.crc32(name + content).to_bytes(4, "big")
        for name, content in chunks
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        picture = decode_picture(plain[:place] + b"".join(parts) + plain[place:])
    assert picture.tobytes() == decode_picture(plain).tobytes()


JPEG_MARKERS = st.sampled_from([*range(0xE0, 0xF0), 0xFE])
STARTS = st.sampled_from(
    [b"", b"JFIF\0", b"ICC_PROFILE\0", b"MPF\0II*\0", b"Photoshop 3.0\0", b"http://ns.adobe.com/xap/"]
)


@given(st.lists(st.tuples(JPEG_MARKERS, STARTS, st.binary(max_size=20)), min_size=1, max_size=4))
def test_whatever_a_jpegs_metadata_is_its_pixels_are_the_same(segments):
    plain = encoded(left_half_red(), "JPEG")
    parts = (
        bytes((0xFF, marker)) + (2 + len(start + content)).to_bytes(2, "big") + start + content
        for marker, start, content in segments
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        picture = decode_picture(plain[:2] + b"".join(parts) + plain[2:])
    assert picture.tobytes() == decode_picture(plain).tobytes()


def test_the_orientation_stays_when_other_metadata_is_left_out():
    exif = Image.Exif()
    exif[0x0112] = 6
    for format_name, broken in (("JPEG", b"\xff\xe0\0\6JFIF"), ("PNG", b"\0\0\0\1gAMAx\x1c\xf4\x0e\x9b")):
        content = encoded(left_half_red(), format_name, exif=exif)
        place = 2 if format_name == "JPEG" else 33
        assert decode_picture(content[:place] + broken + content[place:]).size == (32, 64)


REASONS = {
    "a png's rows": (encoded(left_half_red(), "PNG")[:60], "the PNG picture .* truncated"),
    "a png of no pixels": (
        encoded(left_half_red(), "PNG").replace(b"\0\0\0\x40\0\0\0\x20", bytes(8)),
        "the PNG picture .* checksum|the PNG picture .* its header has no size",
    ),
    "a jpeg's tables": (b"\xff\xd8\xff\xdb\0\3\x77" + encoded(left_half_red(), "JPEG")[2:], "the JPEG .* quantization"),
    "a webp": (encoded(left_half_red(), "WEBP")[:40], "the WebP picture .*could not create decoder"),
    "a sound": (b"RIFF\x24\0\0\0WAVEfmt ", "expected a JPEG, PNG or WebP"),
}


@pytest.mark.parametrize(("content", "reason"), REASONS.values(), ids=REASONS.keys())
def test_an_error_gives_pillows_own_reason(content, reason):
    with pytest.raises(UnreadablePictureError, match=reason):
        decode_picture(content)


def test_too_little_memory_is_not_the_pictures_fault(monkeypatch):
    def fail(_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("clairo_core.encoders.pictures._as_rgb", fail)
    with pytest.raises(MemoryError):
        decode_picture(encoded(left_half_red(), "PNG"))
