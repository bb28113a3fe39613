"""Leave out of a PNG or JPEG file what its pixels do not depend on: texts, profiles, thumbnails, other frames.

For files whose metadata Pillow refuses. Reads lengths only: a damaged file stays damaged.
"""

PNG_START = b"\x89PNG\r\n\x1a\n"
JPEG_START = b"\xff\xd8\xff"

# EXIF stays in both, for the orientation.
_PNG_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"eXIf", b"IDAT", b"IEND")
_EXIF, _EXIF_START = 0xE1, b"Exif\0\0"
_ADOBE, _ADOBE_BYTES = 0xEE, 12
"""Names the colour space of the pixels; decoders ignore a shorter one."""
_APPLICATION_MARKERS = range(0xE0, 0xF0)
_COMMENT = 0xFE
_START_OF_SCAN = 0xDA


def without_metadata(content: bytes) -> bytes:
    """Leave out the metadata; other formats, and what follows damage, stay as they are."""
    if content.startswith(PNG_START):
        return _png_without_metadata(content)
    return _jpeg_without_metadata(content) if content.startswith(JPEG_START) else content


def _png_without_metadata(content: bytes) -> bytes:
    kept, place = [PNG_START], len(PNG_START)
    while place + 12 <= len(content):
        # Length, name, content, checksum.
        end = place + 12 + int.from_bytes(content[place : place + 4], "big")
        if end > len(content):
            break
        if content[place + 4 : place + 8] in _PNG_CHUNKS:
            kept.append(content[place:end])
        place = end
    return b"".join((*kept, content[place:]))


def _jpeg_without_metadata(content: bytes) -> bytes:
    kept, place = [content[:2]], 2
    while place + 4 <= len(content) and content[place] == 0xFF and content[place + 1] != _START_OF_SCAN:
        end = place + 2 + int.from_bytes(content[place + 2 : place + 4], "big")
        if end > len(content):
            break
        if not _is_jpeg_metadata(content[place + 1], content[place + 4 : end]):
            kept.append(content[place:end])
        place = end
    return b"".join((*kept, content[place:]))


def _is_jpeg_metadata(marker: int, segment: bytes) -> bool:
    if marker == _EXIF:
        return not segment.startswith(_EXIF_START)
    if marker == _ADOBE:
        return len(segment) < _ADOBE_BYTES
    return marker in _APPLICATION_MARKERS or marker == _COMMENT
