"""Parse addresses in object storage: s3://BUCKET/PREFIX. Connects to nothing; start at `place_of`."""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit

SCHEMES = ("s3", "gs")
_BUCKET = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True, repr=False)
class StorageAddress:
    """A folder in object storage. Its text names the place without credentials; `url` may hold them."""

    scheme: str
    credentials: str
    """KEY:SECRET, percent-encoded; mostly empty, since the environment holds them."""
    bucket: str
    key: str
    """The folder within the bucket, without a slash at either end; may be empty."""
    query: str

    @property
    def name(self) -> str:
        """The last part of the key."""
        return self.key.rpartition("/")[2]

    @property
    def parent(self) -> "StorageAddress":
        """The folder around this one."""
        return replace(self, key=self.key.rpartition("/")[0])

    @property
    def url(self) -> str:
        """The address as given, for a library that connects; never print it."""
        before = f"{self.credentials}@" if self.credentials else ""
        path = f"{self.bucket}/{quote(self.key)}".rstrip("/")
        return f"{self.scheme}://{before}{path}{f'?{self.query}' if self.query else ''}"

    def __truediv__(self, name: str) -> "StorageAddress":
        return replace(self, key=f"{self.key}/{name}".lstrip("/"))

    def __str__(self) -> str:
        place = f"{self.scheme}://{self.bucket}/{self.key}".rstrip("/")
        endpoint = parse_qs(self.query).get("endpoint_override")
        return f"{place} at {endpoint[0]}" if endpoint else place

    def __repr__(self) -> str:
        return f"StorageAddress({self!s})"


Place = Path | StorageAddress
"""A folder on this machine, or in object storage."""


def place_of(text: str) -> Place:
    """The address, if the text has a scheme, else the path.

    >>> place_of("s3://shop/bundles/spring?region=eu-central-1").name
    'spring'
    >>> str(place_of("s3://KEY:SECRET@shop/bundles?endpoint_override=minio:9000"))
    's3://shop/bundles at minio:9000'

    Raises:
        ValueError: it has a scheme, and is not an address. Its text leaves out the address, which may hold a secret.
    """
    if "://" not in text:
        return Path(text)
    # A secret key may contain `/`, which ends the part before the bucket, and would then be shown as the bucket.
    parts = urlsplit(text)
    credentials, _, bucket = parts.netloc.rpartition("@")
    key = unquote(parts.path).strip("/")
    names = key.split("/") if key else []
    is_plain = not any(name in ("", ".", "..") or "@" in name for name in names)
    if parts.scheme not in SCHEMES or not _BUCKET.fullmatch(bucket) or not is_plain or parts.fragment:
        known = " or ".join(f"{scheme}://BUCKET/PREFIX" for scheme in SCHEMES)
        raise ValueError(
            f"expected {known}, got another address; set credentials in the environment "
            "(AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)"
        )
    return StorageAddress(parts.scheme, credentials, bucket, key, parts.query)
