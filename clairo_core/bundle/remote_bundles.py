"""Bundles in object storage: one folder each under an address. List them, copy one to this machine, push one.

A manifest is written last and copied last: a folder without one, here or there, is half a bundle and counts as none.
Every file is checked against the manifest while it is copied. Start at `RemoteBundles.fetch`.
"""

import fcntl
import hashlib
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

from clairo_core.bundle.manifest import (
    MANIFEST_FILE,
    REPORT_PAGE,
    BundleManifest,
    parsed_manifest,
    read_manifest,
    sha256_of,
    verify_files,
)
from clairo_core.errors import (
    BundleDigestError,
    BundleError,
    BundleManifestError,
    BundleNotFoundError,
    BundleStorageError,
)
from clairo_core.storage.object_storage import ObjectStorage
from clairo_core.storage.replaced_file import replaced_file
from clairo_core.storage.storage_address import StorageAddress

logger = logging.getLogger(__name__)

NUM_KEPT = 3
"""Copies kept on this machine, those used last: the served bundle, the one before, and that of an experiment."""
NUM_CONNECTIONS = 8


class RemoteBundles:
    """The bundles under one address, and their copies on this machine. Thread-safe; processes share the copies."""

    def __init__(self, address: StorageAddress, cache_dir: Path) -> None:
        """Connect at the first call. Copies lie in a folder of `cache_dir`."""
        self.address = address
        self.folder = cache_dir / quote(f"{address.bucket}/{address.key}", safe="")
        self._is_closed = threading.Event()

    def close(self) -> None:
        """End running fetches; a later one resumes by files."""
        self._is_closed.set()

    def manifests(self) -> dict[str, BundleManifest | BundleError]:
        """Each bundle's manifest, or why it cannot be read, by name.

        Raises:
            BundleStorageError: the storage does not answer or refuses.
        """
        objects = self._objects
        # A name with a leading dot is no bundle, as in a folder of bundles.
        names = sorted(name for name in objects.folders() if name[0] != ".")
        texts = _in_parallel(lambda name: objects.read(f"{name}/{MANIFEST_FILE}"), names)
        listed = {name: text for name, text in zip(names, texts, strict=True) if text is not None}
        return {name: self._manifest_or_error(name, text) for name, text in listed.items()}

    def manifest(self, name: str) -> BundleManifest | BundleError:
        """A bundle's manifest, or why it cannot be read.

        Raises:
            BundleStorageError: the storage does not answer or refuses.
        """
        text = self._objects.read(f"{name}/{MANIFEST_FILE}")
        return self._not_found(name) if text is None else self._manifest_or_error(name, text)

    def fetch(self, name: str, *, is_damaged: bool = False) -> Path:
        """Copy a bundle to this machine unless it is there; return its folder.

        One process at a time copies; a fetch that was cut off resumes by files. Copies unused for long are removed.

        Args:
            name: of the bundle's folder in the storage.
            is_damaged: compare the files of a complete copy, and fetch those that differ.

        Raises:
            BundleNotFoundError: the storage has no bundle of this name.
            BundleDigestError: a file of it is missing or altered; the message names it.
            BundleManifestError: its manifest is damaged.
            NewerBundleError: a newer release wrote it.
            BundleStorageError: the storage does not answer, or the copy cannot be written.
        """
        folder = self.folder / name
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            text = self._objects.read(f"{name}/{MANIFEST_FILE}")
            if text is None:
                raise self._not_found(name)
            # Without the lock: going back to an older bundle must not wait until a newer one is fetched.
            if is_damaged or not _is_copied(folder, text):
                with _locked(self.folder / ".lock"):
                    if is_damaged or not _is_copied(folder, text):
                        self._copy(name, folder, text)
                        self._remove_unused()
            os.utime(folder)
        except OSError as error:
            raise BundleStorageError(
                f"{error.filename or folder}: the copy of {self.address / name} cannot be written "
                f"({error.strerror or error}); free space there, or choose another --bundles-cache-dir"
            ) from error
        return folder

    def copies(self) -> list[Path]:
        """Folders of the complete copies on this machine, the one used last first."""
        found = [path.parent for path in self.folder.glob(f"*/{MANIFEST_FILE}")]
        return sorted(found, key=lambda folder: folder.stat().st_mtime, reverse=True)

    @cached_property
    def _objects(self) -> ObjectStorage:
        return ObjectStorage(self.address)

    def _not_found(self, name: str) -> BundleNotFoundError:
        return BundleNotFoundError(
            f"{self.address / name}: no bundle here, {MANIFEST_FILE} is missing; push one with clairo-train push"
        )

    def _manifest_or_error(self, name: str, text: bytes) -> BundleManifest | BundleError:
        try:
            return parsed_manifest(self.address / name, text)
        except BundleError as error:
            return error

    def _copy(self, name: str, folder: Path, text: bytes) -> None:
        manifest = parsed_manifest(self.address / name, text)
        started = time.monotonic()
        (folder / MANIFEST_FILE).unlink(missing_ok=True)

        def fetch_file(listed: tuple[str, str]) -> int:
            path, digest = listed
            if self._is_closed.is_set():
                raise BundleStorageError(f"{self.address / name}: not fetched, since the service stops")
            if (folder / path).is_file() and sha256_of(folder / path) == digest:
                return 0
            return self._fetch_file(f"{name}/{path}", folder / path, digest)

        folder.mkdir(exist_ok=True)
        num_bytes = sum(_in_parallel(fetch_file, manifest.files.items()))
        page = self._objects.read(f"{name}/{REPORT_PAGE}")
        for path, content in ((folder / REPORT_PAGE, page), (folder / MANIFEST_FILE, text)):
            if content is not None:
                path.parent.mkdir(exist_ok=True)
                with replaced_file(path) as aside:
                    aside.write_bytes(content)
        seconds = time.monotonic() - started
        logger.info("fetched %s: %.1f MiB in %.1f s", self.address / name, num_bytes / 1024**2, seconds)

    def _fetch_file(self, key: str, path: Path, expected: str) -> int:
        path.parent.mkdir(parents=True, exist_ok=True)
        digest, num_bytes = hashlib.sha256(), 0
        chunks = self._objects.chunks(key)
        if chunks is None:
            raise BundleDigestError(f"{self.address / key}: missing, but the manifest lists it; push the bundle again")
        with replaced_file(path) as aside, aside.open("wb") as file:
            for chunk in chunks:
                if self._is_closed.is_set():
                    raise BundleStorageError(f"{self.address / key}: not fetched, since the service stops")
                digest.update(chunk)
                num_bytes += file.write(chunk)
            if digest.hexdigest() != expected:
                raise BundleDigestError(
                    f"{self.address / key}: sha256 {digest.hexdigest()}, manifest says {expected}; "
                    "push the bundle again"
                )
        return num_bytes

    def _remove_unused(self) -> None:
        kept = set(self.copies()[:NUM_KEPT])
        for folder in self.folder.iterdir():
            if folder.is_dir() and folder not in kept:
                # First: half a removed copy must not pass for a bundle.
                (folder / MANIFEST_FILE).unlink(missing_ok=True)
                shutil.rmtree(folder)


def push_bundle(folder: Path, address: StorageAddress) -> BundleManifest:
    """Copy a bundle to a folder of its own name under this address, its manifest last.

    A bundle that is there already is written again, which repairs damaged files.

    Raises:
        BundleError: `folder` holds no complete bundle, or the storage holds another bundle of this name.
        BundleStorageError: the storage does not answer or refuses.
    """
    manifest = read_manifest(folder)
    verify_files(folder, manifest)
    objects, name = ObjectStorage(address), folder.resolve().name
    there = objects.read(f"{name}/{MANIFEST_FILE}")
    # A damaged manifest is repaired too.
    with suppress(BundleManifestError):
        if there is not None and parsed_manifest(address / name, there).bundle_id != manifest.bundle_id:
            raise BundleError(f"{address / name} holds another bundle; rename {folder}, and push it again")
    paths = [*manifest.files, *([REPORT_PAGE] if (folder / REPORT_PAGE).is_file() else [])]
    _in_parallel(lambda path: objects.write(f"{name}/{path}", folder / path), paths)
    objects.write(f"{name}/{MANIFEST_FILE}", folder / MANIFEST_FILE)
    return manifest


def _is_copied(folder: Path, text: bytes) -> bool:
    """Whether the folder is a complete copy of the bundle with this manifest."""
    try:
        return (folder / MANIFEST_FILE).read_bytes() == text
    except FileNotFoundError:
        return False


def _in_parallel(call: Callable[[Any], Any], arguments: Iterable[Any]) -> list[Any]:
    """Call for every argument from several threads. After a failure no further call begins."""
    has_failed = threading.Event()

    def call_once(argument: Any) -> Any:
        if has_failed.is_set():
            return None
        try:
            return call(argument)
        except BaseException:
            has_failed.set()
            raise

    with ThreadPoolExecutor(NUM_CONNECTIONS) as pool:
        return list(pool.map(call_once, arguments))


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Wait for the lock, and hold it: against threads of this process, too."""
    with path.open("a", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
