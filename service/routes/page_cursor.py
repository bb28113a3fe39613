"""The cursor of POST /recommend: which items earlier pages listed, and for which request.

The next page leaves those items out, so pages never repeat an item, whatever is posted, retired or swapped in between.
The cursor is not signed: it can only leave items out, which `exclude_item_ids` does too.
"""

import base64
import binascii
import hashlib
import json
import zlib
from collections.abc import Sequence
from typing import NamedTuple

from clairo_core.values.ids import MAX_ID_CHARACTERS, check_unicode
from service.errors import InvalidBodyError
from service.schemas.recommend import MAX_CURSOR_CHARACTERS, MAX_SEED, RecommendBody

MAX_LISTED_ITEMS = 1000
"""Pages end here, which bounds a cursor."""
MAY_DIFFER = frozenset({"cursor", "limit", "fields", "explain"})
_MAX_UNPACKED_BYTES = MAX_LISTED_ITEMS * (4 * MAX_ID_CHARACTERS + 4) + 4096


class EarlierPages(NamedTuple):
    """What a cursor holds besides the request's digests."""

    seed: int
    item_ids: tuple[str, ...]


def page_cursor(body: RecommendBody, pages: EarlierPages) -> str | None:
    """The cursor after these pages of a request; None after `MAX_LISTED_ITEMS`."""
    if len(pages.item_ids) >= MAX_LISTED_ITEMS:
        return None
    content = json.dumps([pages.seed, _digests(body), pages.item_ids], ensure_ascii=False)
    cursor = base64.urlsafe_b64encode(zlib.compress(content.encode())).decode().rstrip("=")
    return cursor if len(cursor) <= MAX_CURSOR_CHARACTERS else None


def earlier_pages(body: RecommendBody) -> EarlierPages | None:
    """Read the body's cursor; None on the first page.

    Raises:
        InvalidBodyError: it is not one of ours, or belongs to another request.
    """
    if body.cursor is None:
        return None
    seed, digests, item_ids = _unpacked(body.cursor)
    found = _digests(body)
    differing = sorted(name for name in {*digests, *found} if digests.get(name) != found.get(name))
    if differing:
        raise _refused(
            f"of a request with other {', '.join(differing)}; send the fields of the first page unchanged, or leave "
            "cursor out to get a first page"
        )
    return EarlierPages(seed, tuple(item_ids))


def _digests(body: RecommendBody) -> dict[str, str]:
    """A short digest per field that was given."""
    given = body.model_dump(mode="json", exclude=set(MAY_DIFFER), exclude_defaults=True)
    return {name: hashlib.sha256(json.dumps(value).encode()).hexdigest()[:12] for name, value in given.items()}


def _unpacked(cursor: str) -> tuple[int, dict[str, str], Sequence[str]]:
    try:
        packed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        unpacker = zlib.decompressobj()
        text = unpacker.decompress(packed, _MAX_UNPACKED_BYTES)
        content = json.loads(text) if unpacker.eof else None
    except (binascii.Error, zlib.error, ValueError, RecursionError):
        content = None
    match content:
        case [int(seed), dict(digests), list(item_ids)] if (
            0 <= seed <= MAX_SEED
            and not isinstance(seed, bool)
            and len(item_ids) < MAX_LISTED_ITEMS
            and all(isinstance(item_id, str) and _is_unicode(item_id) for item_id in item_ids)
            and len(digests) <= len(RecommendBody.model_fields)
        ):
            return seed, digests, item_ids
    raise _refused("not a next_cursor of POST /recommend; leave it out to get the first page")


def _is_unicode(text: str) -> bool:
    """Whether the next page's cursor can hold the text."""
    try:
        check_unicode(text)
    except ValueError:
        return False
    return True


def _refused(message: str) -> InvalidBodyError:
    return InvalidBodyError(f"body -> cursor: {message}", [{"loc": ["body", "cursor"], "msg": message}])
