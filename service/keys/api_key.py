"""Make API keys and recognise them: `clairo_<key id>_<secret>`.

The id is public: it finds the record, stands in lists, and revokes. The secret has 256 bits of chance, so a plain
SHA-256 of the key gives nothing away; the key itself is shown once and kept nowhere.
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
    """What a key may do; admin may do everything, the others what they say and no more."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


def new_key(name: str, scopes: Iterable[Scope], requests_per_minute: int | None) -> tuple[str, KeyRecord]:
    """A key, to be shown once, and the record of it, to be kept."""
    key_id = secrets.token_hex(6)
    key = f"clairo_{key_id}_{secrets.token_urlsafe(32)}"
    scope_names = frozenset(scope.value for scope in scopes)
    return key, KeyRecord(key_id, name, key_digest(key), scope_names, requests_per_minute, datetime.now(UTC))


def key_digest(key: str) -> str:
    """What is kept of a key."""
    return hashlib.sha256(key.encode()).hexdigest()


def id_of_key(key: str) -> str | None:
    """The id that stands in a key; None if this is no key.

    >>> id_of_key("clairo_0123456789ab_" + 43 * "x")
    '0123456789ab'
    """
    found = KEY_PATTERN.fullmatch(key)
    return found[1] if found else None


def is_key_of(record: KeyRecord, key: str) -> bool:
    """Whether this is the record's key; takes as long for one that is nearly right as for any other."""
    return hmac.compare_digest(record.key_digest, key_digest(key))


def may(record: KeyRecord, scope: Scope) -> bool:
    """Whether the key has the scope, or all of them."""
    return scope.value in record.scopes or Scope.ADMIN.value in record.scopes
