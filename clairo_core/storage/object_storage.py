"""Read and write objects under one address. Start at `ObjectStorage.read`."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from clairo_core.errors import BundleStorageError
from clairo_core.storage.storage_address import StorageAddress

CHUNK_BYTES = 8 * 1024**2
"""S3 answers each read by a request of its own: few large ones."""
NUM_ATTEMPTS = 3
SILENT_SECONDS = 5
"""An attempt ends if no connection is made, or no byte arrives, for so long."""
MAX_REASON = 300


class ObjectStorage:
    """Objects by keys relative to an address. Thread-safe.

    All calls raise `BundleStorageError` if the storage does not answer or refuses.
    """

    def __init__(self, address: StorageAddress) -> None:
        """Connect at the first call. An address without a server takes that of AWS_ENDPOINT_URL, else AWS.

        Raises:
            BundleStorageError: the package that connects is missing.
        """
        try:
            from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem  # noqa: PLC0415 - slow, and an extra
        except ModuleNotFoundError as error:
            raise BundleStorageError(
                f"{address} needs clairo[storage], but the package pyarrow is missing; "
                "run pip install 'clairo[storage]'"
            ) from error
        self._address = address = _with_endpoint(address)
        self._root = f"{address.bucket}/{address.key}".rstrip("/")
        with self._reaching():
            self._filesystem = S3FileSystem(
                region=address.region or None,
                endpoint_override=address.endpoint or None,
                scheme=address.scheme,
                connect_timeout=SILENT_SECONDS,
                request_timeout=SILENT_SECONDS,
                retry_strategy=AwsStandardS3RetryStrategy(max_attempts=NUM_ATTEMPTS),
            )

    def folders(self) -> list[str]:
        """Names of the folders directly under the address."""
        from pyarrow.fs import FileSelector, FileType  # noqa: PLC0415 - slow to import

        with self._reaching():
            found = self._filesystem.get_file_info(FileSelector(self._root, allow_not_found=True))
        if not found:
            self._check_bucket()
        return [one.base_name for one in found if one.type == FileType.Directory]

    def read(self, key: str) -> bytes | None:
        """An object's content; None without one."""
        source = self._opened(key)
        if source is None:
            return None
        with source, self._reaching():
            content: bytes = source.read()
        return content

    def chunks(self, key: str) -> Iterator[bytes] | None:
        """An object's content, piece by piece; None without one."""
        source = self._opened(key)
        return None if source is None else self._chunks_of(source)

    def write(self, key: str, path: Path) -> None:
        """Write a file of this machine as an object."""
        target_key = f"{self._root}/{key}"
        with path.open("rb") as file, self._reaching(), self._filesystem.open_output_stream(target_key) as target:
            while chunk := file.read(CHUNK_BYTES):
                target.write(chunk)

    def _opened(self, key: str) -> Any:
        with self._reaching():
            try:
                return self._filesystem.open_input_file(f"{self._root}/{key}")
            except FileNotFoundError:
                return None

    def _chunks_of(self, source: Any) -> Iterator[bytes]:
        with source:
            while True:
                with self._reaching():
                    chunk: bytes = source.read(CHUNK_BYTES)
                if not chunk:
                    return
                yield chunk

    def _check_bucket(self) -> None:
        """Check that the bucket exists, as far as the credentials may look: a misspelt one lists as empty."""
        from pyarrow.fs import FileType  # noqa: PLC0415 - slow to import

        with suppress(OSError):
            if self._filesystem.get_file_info(self._address.bucket).type == FileType.NotFound:
                raise BundleStorageError(
                    f"{self._address}: the bucket does not exist; create it, or correct the address"
                )

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """Raise a failure of the storage as our own error."""
        from pyarrow import ArrowException  # noqa: PLC0415 - slow to import

        try:
            yield
        except (OSError, ArrowException) as error:
            reason = next(iter(str(error).splitlines()), type(error).__name__)[:MAX_REASON]
            raise BundleStorageError(
                f"{self._address}: {reason}; check the address, the credentials in the environment, and the network"
            ) from error


def _with_endpoint(address: StorageAddress) -> StorageAddress:
    """Complete the address by the environment, which pyarrow reads for data sets but not here."""
    url = os.environ.get("AWS_ENDPOINT_URL", "")
    if address.endpoint or not url:
        return address
    scheme, _, endpoint = url.rpartition("://")
    return replace(address, endpoint=endpoint.rstrip("/"), scheme=scheme or address.scheme)
