"""Answer bytes with their ETag, or 304 to a client that has them (RFC 9110, section 13.1.2)."""

import hashlib
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

DIGEST_CHARACTERS = 32


def answer_unless_known(request: Request, content: bytes, media_type: str, headers: Mapping[str, str]) -> Response:
    """Answer `content` with `headers` and its ETag, unless If-None-Match has it."""
    etag = f'"{hashlib.sha256(content).hexdigest()[:DIGEST_CHARACTERS]}"'
    tagged = {**headers, "ETag": etag}
    if is_known(request.headers.get("if-none-match", ""), etag):
        return Response(status_code=304, headers=tagged)
    return Response(content, media_type=media_type, headers=tagged)


def is_known(if_none_match: str, etag: str) -> bool:
    """Whether the header lists the tag, weakened by a proxy or not.

    >>> is_known('"a", W/"b"', '"b"'), is_known("*", '"b"'), is_known('"a"', '"b"')
    (True, True, False)
    """
    known = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return etag in known or "*" in known
