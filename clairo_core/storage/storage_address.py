"""Parse addresses in object storage: s3://BUCKET/PREFIX. Connects to nothing; start at `place_of`."""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

EXPECTED = (
    "s3://BUCKET/PREFIX, with ?region=REGION for AWS or ?endpoint_override=HOST:PORT&scheme=http for another server"
)
_BUCKET = re.compile(r"[A-Za-z0-9._-]+")
_OPTIONS = ("endpoint_override", "region", "scheme")


@dataclass(frozen=True, slots=True)
class StorageAddress:
    """A folder in object storage, without credentials: those come from the environment."""

    bucket: str
    key: str
    """The folder within the bucket, without a slash at either end; may be empty."""
    endpoint: str = ""
    """HOST:PORT of the server; empty for AWS."""
    scheme: str = "https"
    region: str = ""

    @property
    def name(self) -> str:
        """The last part of the key."""
        return self.key.rpartition("/")[2]

    @property
    def parent(self) -> "StorageAddress":
        """The folder around this one."""
        return replace(self, key=self.key.rpartition("/")[0])

    def __truediv__(self, name: str) -> "StorageAddress":
        return replace(self, key=f"{self.key}/{name}".lstrip("/"))

    def __str__(self) -> str:
        place = f"s3://{self.bucket}/{self.key}".rstrip("/")
        return f"{place} at {self.endpoint}" if self.endpoint else place


Place = Path | StorageAddress
"""A folder on this machine, or in object storage."""


def place_of(text: str) -> Place:
    """The address, if the text has a scheme, else the path.

    >>> place_of("s3://shop/bundles/spring?region=eu-central-1").name
    'spring'
    >>> str(place_of("s3://shop/bundles?endpoint_override=minio:9000&scheme=http"))
    's3://shop/bundles at minio:9000'

    Raises:
        ValueError: it has a scheme, and is not an address. Its text leaves out the address, which may hold a secret.
    """
    if "://" not in text:
        return Path(text)
    parts = urlsplit(text)
    if "@" in text:
        # A command line is visible to all users of a machine. A secret may contain `/`: it is then not before the host.
        raise ValueError(
            f"expected {EXPECTED}, got one with credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead"
        )
    if parts.scheme != "s3" or not _BUCKET.fullmatch(parts.netloc) or parts.fragment:
        raise ValueError(f"expected {EXPECTED}, got another address")
    key = unquote(parts.path).strip("/")
    if any(name in ("", ".", "..") for name in key.split("/")) and key:
        raise ValueError(f"expected {EXPECTED}, got a prefix with an empty name, . or ..")
    options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    if unknown := sorted(options.keys() - set(_OPTIONS)):
        raise ValueError(f"expected {EXPECTED}, got the option {unknown[0]}; known are {', '.join(_OPTIONS)}")
    scheme = options.get("scheme", "https")
    if scheme not in ("http", "https"):
        raise ValueError("expected scheme=http or scheme=https, got another one")
    return StorageAddress(parts.netloc, key, options.get("endpoint_override", ""), scheme, options.get("region", ""))
