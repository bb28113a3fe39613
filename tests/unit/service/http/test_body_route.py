"""gzip is unpacked exactly, whatever its members, the sizes of its chunks and what it packs."""

import gzip
import zlib
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect
from starlette.types import Message

from service.http.body_route import PIECE_BYTES, DamagedGzipError, unzipped, unzipped_receive

BODIES = st.one_of(
    st.binary(max_size=2000),
    st.builds(lambda byte, count: byte * count, st.binary(min_size=1, max_size=3), st.integers(1, 4 * PIECE_BYTES)),
)


async def chunks_of(packed: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(packed), size):
        yield packed[start : start + size]


async def unpacked(packed: bytes, size: int = 1000) -> bytes:
    pieces = [piece async for piece in unzipped(chunks_of(packed, size))]
    assert all(0 < len(piece) <= PIECE_BYTES for piece in pieces)
    return b"".join(pieces)


@given(st.lists(BODIES, min_size=1, max_size=3), st.integers(1, 5000), st.integers(0, 9))
@example([b"x" * PIECE_BYTES], 5000, 9)
@example([b"x" * (2 * PIECE_BYTES + 1)], 1, 9)
async def test_unpacking_is_the_inverse_of_compressing(bodies: list[bytes], chunk_size: int, level: int) -> None:
    packed = b"".join(gzip.compress(body, level) for body in bodies)
    # A thousand chunks suffice: uncompressed bodies are large.
    assert await unpacked(packed, max(chunk_size, len(packed) // 1000)) == b"".join(bodies)


@given(BODIES, st.data())
async def test_a_damaged_stream_is_an_error_or_the_same_body(body: bytes, data: st.DataObject) -> None:
    packed = bytearray(gzip.compress(body))
    packed[data.draw(st.integers(0, len(packed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    # A header's time, name and system may be anything.
    with suppress(DamagedGzipError):
        assert await unpacked(bytes(packed)) == body


@given(BODIES, st.data())
async def test_a_stream_cut_short_is_an_error(body: bytes, data: st.DataObject) -> None:
    packed = gzip.compress(body)
    with pytest.raises(DamagedGzipError):
        await unpacked(packed[: data.draw(st.integers(0, len(packed) - 1))])


async def test_zlib_and_raw_deflate_are_not_gzip() -> None:
    with pytest.raises(DamagedGzipError):
        await unpacked(zlib.compress(b"x"))


async def test_after_the_body_the_servers_messages_are_passed_on() -> None:
    sent = messages([gzip.compress(b"hello")], then={"type": "http.disconnect"})
    receive = unzipped_receive(sent.__anext__)
    assert await receive() == {"type": "http.request", "body": b"hello", "more_body": True}
    assert await receive() == {"type": "http.request", "body": b"", "more_body": False}
    assert await receive() == {"type": "http.disconnect"}


async def test_a_client_that_leaves_amid_its_body_has_left() -> None:
    receive = unzipped_receive(
        messages([gzip.compress(b"hello")[:5]], then={"type": "http.disconnect"}, end=False).__anext__
    )
    with pytest.raises(ClientDisconnect):
        await receive()


async def messages(chunks: Iterable[bytes], then: Message, end: bool = True) -> AsyncIterator[Message]:
    for chunk in chunks:
        yield {"type": "http.request", "body": chunk, "more_body": True}
    if end:
        yield {"type": "http.request", "more_body": False}
    yield then
