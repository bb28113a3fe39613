"""Create and verify API keys: `clairo_<key id>_<secret>`.

The id is public: lists and revocation use it. The secret has 256 random bits, so a plain SHA-256 of the key is safe to
store. The key itself is printed once and stored nowhere.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum

from service.store.keys import KeyRecord

KEY_PATTERN = re.compile(r"clairo_([0-9a-f]{12})_[A-Za-z0-9_-]{43}")


class Scope(StrEnum):
    """Permission of a key. Admin includes read and write; write does not include read.

    A key of scope public has no other scope: it stands in a shop's pages, bound to their origins.
    """

    PUBLIC = "public"
    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


def new_key(
    name: str, scopes: Iterable[Scope], requests_per_minute: int | None, origins: Iterable[str] = ()
) -> tuple[str, KeyRecord]:
    """Create a key, to be shown once, and its record, to be stored; `origins` are those of a public key."""
    key_id = secrets.token_hex(6)
    key = f"clairo_{key_id}_{secrets.token_urlsafe(32)}"
    scope_names = frozenset(scope.value for scope in scopes)
    return key, KeyRecord(
        key_id,
        name,
        key_digest(key),
        scope_names,
        requests_per_minute,
        datetime.now(UTC),
        origins=frozenset(origins),
    )


def key_digest(key: str) -> str:
    """The stored form of a key."""
    return hashlib.sha256(key.encode()).hexdigest()


def id_of_key(key: str) -> str | None:
    """The id in a key; None if the text is not a key.

    >>> id_of_key("clairo_0123456789ab_" + 43 * "x")
    '0123456789ab'
    """
    found = KEY_PATTERN.fullmatch(key)
    return found[1] if found else None


def is_key_of(record: KeyRecord, key: str) -> bool:
    """Whether the key is the record's, compared in constant time."""
    return hmac.compare_digest(record.key_digest, key_digest(key))


def may(record: KeyRecord, scope: Scope) -> bool:
    """Whether the key has the scope, or admin."""
    return scope.value in record.scopes or Scope.ADMIN.value in record.scopes
