"""Accept a request's body by its content type and content encoding, for every call alike. Start at `BodyRoute`.

A call accepts the types that its OpenAPI document declares; one marked `x-beacon` also JSON as text/plain, which
`navigator.sendBeacon` sends without a preflight. gzip is unpacked as it arrives; limits on bodies hold
before and after. Runs after authentication.
"""

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive

from service.errors import UnsupportedBodyError, UnsupportedEncodingError
from service.http.request_context import bounded_receive, max_body_bytes_of

JSON = "application/json"
PLAIN = "text/plain"
BEACON = "x-beacon"
"""In `openapi_extra` of a call."""
GZIP_NAMES = ("gzip", "x-gzip")
PIECE_BYTES = 64 * 1024
_GZIP_WINDOW_BITS = 16 + zlib.MAX_WBITS
_MAX_SHOWN_CHARACTERS = 100

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class DamagedGzipError(HTTPException):
    """The body is not gzip, is damaged, or is cut short.

    An HTTPException, as `BodyTooLargeError`: the framework passes no other error on unchanged while it reads a body.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(400, f"the body is not a complete gzip stream ({reason}); compress it again")


class BodyRoute(APIRoute):
    """The route class of every router: checks the type of a body, and unpacks it."""

    def get_route_handler(self) -> Handler:
        """Wrap the framework's handler of this route."""
        handle = super().get_route_handler()
        media_types = self._media_types()
        if not media_types:
            return handle

        takes_beacons = bool((self.openapi_extra or {}).get(BEACON))

        async def handle_body(request: Request) -> Response:
            content_type = request.headers.get("content-type", "")
            if takes_beacons and content_type.lower().startswith(PLAIN):
                request = as_json(request)
            else:
                check_content_type(content_type, media_types)
            if is_gzip(request.headers.get("content-encoding", "")):
                receive = unzipped_receive(request.receive)
                receive = bounded_receive(receive, request.scope["path"], max_body_bytes_of(request.scope))
                request = Request(request.scope, receive)
            return await handle(request)

        return handle_body

    def _media_types(self) -> tuple[str, ...]:
        declared = (self.openapi_extra or {}).get("requestBody", {}).get("content", {})
        return tuple(declared) or ((JSON,) if self.body_field is not None else ())


def as_json(request: Request) -> Request:
    """The request with the content type of JSON."""
    headers = MutableHeaders(raw=list(request.scope["headers"]))
    headers["content-type"] = JSON
    return Request({**request.scope, "headers": headers.raw}, request.receive)


def check_content_type(header: str, media_types: tuple[str, ...]) -> None:
    """Refuse a body of another type; `application/*+json` is JSON.

    Raises:
        UnsupportedBodyError: it is one, or has no type.
    """
    sent = header.split(";", maxsplit=1)[0].strip().lower()
    kind = JSON if sent.startswith("application/") and sent.endswith("+json") else sent
    if kind not in media_types:
        expected = media_types[0]
        raise UnsupportedBodyError(
            f"got {sent[:_MAX_SHOWN_CHARACTERS] or 'no content type'}, expected {' or '.join(media_types)}; "
            f"send the header Content-Type: {expected} (curl: -H 'Content-Type: {expected}')"
        )


def is_gzip(header: str) -> bool:
    """Whether a Content-Encoding is gzip; otherwise there is none.

    >>> is_gzip("GZIP"), is_gzip("identity"), is_gzip("")
    (True, False, False)

    Raises:
        UnsupportedEncodingError: it is another one, or several.
    """
    encodings = [name for name in header.lower().replace(" ", "").split(",") if name not in ("", "identity")]
    if len(encodings) > 1 or not set(encodings) <= set(GZIP_NAMES):
        raise UnsupportedEncodingError(
            f"got content encoding {header[:_MAX_SHOWN_CHARACTERS]}, expected gzip or none; send the body as it is, "
            "or compress it once with gzip"
        )
    return bool(encodings)


def unzipped_receive(receive: Receive) -> Receive:
    """Turn the messages of a gzip body into those of the body itself; later messages are passed on unchanged.

    Raises, when called:
        DamagedGzipError: the body is not gzip, is damaged, or is cut short.
        ClientDisconnect: the client left before its end.
    """
    pieces = unzipped(_chunks(receive))
    is_over = False

    async def receive_unzipped() -> Message:
        nonlocal is_over
        if is_over:
            return await receive()
        piece = await anext(pieces, None)
        is_over = piece is None
        return {"type": "http.request", "body": piece or b"", "more_body": not is_over}

    return receive_unzipped


async def unzipped(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Unpack one or more gzip members, in pieces of at most `PIECE_BYTES`.

    Raises:
        DamagedGzipError: the chunks are not gzip, are damaged, or end early.
    """
    member = zlib.decompressobj(_GZIP_WINDOW_BITS)
    async for chunk in chunks:
        packed, has_more = chunk, True
        while has_more:
            if member.eof and packed:
                member = zlib.decompressobj(_GZIP_WINDOW_BITS)
            try:
                piece = member.decompress(packed, PIECE_BYTES)
            except zlib.error as error:
                raise DamagedGzipError(str(error)) from error
            packed = member.unused_data if member.eof else member.unconsumed_tail
            # A full piece: zlib may hold more of it without any input left.
            has_more = bool(packed) or (len(piece) == PIECE_BYTES and not member.eof)
            if piece:
                yield piece
                # A megabyte may unpack from a kilobyte: other requests go in between.
                await asyncio.sleep(0)
    if not member.eof:
        raise DamagedGzipError("it ends early")


async def _chunks(receive: Receive) -> AsyncIterator[bytes]:
    has_more = True
    while has_more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        yield message.get("body", b"")
        has_more = message.get("more_body", False)
