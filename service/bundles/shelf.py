"""Find the bundles that can be served, in folders and in object storage.

A shelf is a folder of bundle folders, and the bundle in the settings. Each look reads the folder again, so a bundle
that training has just written is found. One in object storage is copied to this machine before it is loaded.
"""

import logging
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from clairo_core.bundle.bundle import Bundle
from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.bundle.manifest import MANIFEST_FILE, REPORT_PAGE, BundleManifest, read_manifest
from clairo_core.bundle.remote_bundles import RemoteBundles
from clairo_core.errors import BundleDigestError, BundleError, BundleStorageError
from clairo_core.storage.storage_address import Place, StorageAddress
from service.errors import UnknownBundleError

logger = logging.getLogger("clairo.bundles")

FETCH_WAIT_SECONDS = 0.5
"""How long a look waits for a fetch in the background: a small bundle is there by then."""


@dataclass(frozen=True, slots=True)
class ShelvedBundle:
    """A bundle on the shelf, or a folder that cannot be read as one."""

    folder: Path
    """On this machine. That of a bundle in object storage is complete after `fetch`."""
    manifest: BundleManifest | None
    problem: str | None
    """Why its manifest cannot be read; activation verifies the other files."""
    remote: RemoteBundles | None = None
    """Where to fetch it from; None if it is on this machine."""

    @property
    def report(self) -> Path | None:
        """The page of `clairo-train report`; None without one."""
        page = self.folder / REPORT_PAGE
        return page if page.is_file() else None

    def fetch(self) -> None:
        """Copy its files to this machine, unless they are there.

        Raises:
            BundleError: it cannot be copied, or is damaged.
        """
        if self.remote is not None:
            self.remote.fetch(self.folder.name)

    def load(self) -> Bundle:
        """Fetch, verify and load it.

        Raises:
            BundleError: it is damaged, truncated, newer than this release, or cannot be copied.
            ClairoError: a part of it cannot be used.
        """
        self.fetch()
        try:
            return load_bundle(self.folder)
        except BundleDigestError as error:
            if self.remote is None:
                raise
            # The storage's files were right when they were copied.
            logger.warning("the copy of a bundle is repaired: %s", error)
            return load_bundle(self.remote.fetch(self.folder.name, is_damaged=True))


class BundleShelf:
    """The bundles in `folder`, if given, and the one at `configured`. Thread-safe."""

    def __init__(self, configured: Place, folder: Place | None, copies: Path) -> None:
        """Bundles in object storage are copied to a folder in `copies`."""
        self._configured = (
            (RemoteBundles(configured.parent, copies), configured.name)
            if isinstance(configured, StorageAddress)
            else configured
        )
        self._folder = RemoteBundles(folder, copies) if isinstance(folder, StorageAddress) else folder
        # One fetches a bundle, one finds meanwhile that another is here.
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="clairo-fetch")
        self._fetches: dict[str, Future[ShelvedBundle]] = {}

    @property
    def is_remote(self) -> bool:
        """Whether any bundle is in object storage."""
        return bool(self._remotes())

    def close(self) -> None:
        """End running fetches; the next start resumes them."""
        for remote in self._remotes():
            remote.close()
        self._threads.shutdown(wait=False)

    def bundles(self) -> list[ShelvedBundle]:
        """Each bundle once, by folder name, with the reason if it cannot be read.

        Raises:
            BundleStorageError: object storage does not answer or refuses.
        """
        found: dict[str, ShelvedBundle] = {}
        for shelved in (*self._in_folder(), self._configured_bundle()):
            found.setdefault(shelved.manifest.bundle_id if shelved.manifest else f"/{shelved.folder}", shelved)
        return list(found.values())

    def find(self, bundle_id: str) -> ShelvedBundle:
        """The bundle of this id. If object storage does not answer, a copy of it on this machine will do.

        Raises:
            UnknownBundleError: no bundle has it.
            BundleStorageError: object storage does not answer or refuses, and there is no copy.
        """
        try:
            bundles = self.bundles()
        except BundleStorageError as error:
            here = _of_id([_on_this_machine(folder) for folder in self._folders_here()], bundle_id)
            if here is None:
                raise
            logger.warning("bundle %s is taken from its copy on this machine: %s", bundle_id, error)
            return here
        shelved = _of_id(bundles, bundle_id)
        if shelved is not None:
            return shelved
        known = ", ".join(sorted(one.manifest.bundle_id for one in bundles if one.manifest)) or "none"
        raise UnknownBundleError(f"bundle {bundle_id!r} not found, only {known}; copy it to bundles_dir")

    def fetched(self, bundle_id: str) -> ShelvedBundle | None:
        """The bundle of this id, its files on this machine; None while a thread fetches them. Ask again later.

        Raises:
            UnknownBundleError: no bundle has it.
            BundleError: it cannot be fetched, or is damaged; the next call tries again.
        """
        if bundle_id not in self._fetches:
            shelved = self.find(bundle_id)
            if shelved.remote is None:
                return shelved
            self._fetches[bundle_id] = self._threads.submit(_fetched, shelved)
        fetch = self._fetches[bundle_id]
        wait([fetch], timeout=FETCH_WAIT_SECONDS)
        if not fetch.done():
            return None
        del self._fetches[bundle_id]
        return fetch.result()

    def load_configured(self) -> Bundle:
        """Load the bundle in the settings. If object storage does not answer, a copy on this machine will do.

        Raises:
            BundleError: it cannot be loaded.
        """
        return self._configured_bundle().load()

    def configured_id(self) -> str | None:
        """Id of the bundle in the settings; None if it cannot be read.

        Raises:
            BundleStorageError: object storage does not answer or refuses, and there is no copy.
        """
        manifest = self._configured_bundle().manifest
        return None if manifest is None else manifest.bundle_id

    def _remotes(self) -> list[RemoteBundles]:
        found = [self._folder] if isinstance(self._folder, RemoteBundles) else []
        return found if isinstance(self._configured, Path) else [*found, self._configured[0]]

    def _folders_here(self) -> list[Path]:
        """Folders of bundles on this machine, copies included."""
        found = [folder for remote in self._remotes() for folder in remote.copies()]
        found += _folders_in(self._folder) if isinstance(self._folder, Path) else []
        return [*found, self._configured] if isinstance(self._configured, Path) else found

    def _in_folder(self) -> Iterator[ShelvedBundle]:
        if isinstance(self._folder, RemoteBundles):
            for name, manifest in self._folder.manifests().items():
                yield _in_storage(self._folder, name, manifest)
        elif self._folder is not None:
            yield from map(_on_this_machine, _folders_in(self._folder))

    def _configured_bundle(self) -> ShelvedBundle:
        if isinstance(self._configured, Path):
            return _on_this_machine(self._configured)
        remote, name = self._configured
        try:
            return _in_storage(remote, name, remote.manifest(name))
        except BundleStorageError as error:
            if remote.folder / name not in remote.copies():
                raise
            logger.warning("bundle %s is taken from its copy on this machine: %s", name, error)
            return _on_this_machine(remote.folder / name)


def _folders_in(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    # A name with a leading dot is a bundle being written, or one set aside.
    return sorted(path for path in folder.iterdir() if path.is_dir() and path.name[0] != ".")


def _on_this_machine(folder: Path) -> ShelvedBundle:
    try:
        return ShelvedBundle(folder, read_manifest(folder), None)
    except BundleError as error:
        # Without the path, which clients that list bundles need not learn.
        return ShelvedBundle(folder, None, str(error).replace(str(folder), folder.name))


def _in_storage(remote: RemoteBundles, name: str, manifest: BundleManifest | BundleError) -> ShelvedBundle:
    folder = remote.folder / name
    if isinstance(manifest, BundleManifest):
        return ShelvedBundle(folder, manifest, None, remote)
    # Without the address, as above. A server's name is at its end: both spellings are whole addresses.
    problem = str(manifest)
    for path in (f"{name}/{MANIFEST_FILE}", name):
        problem = problem.replace(str(remote.address / path), path)
    return ShelvedBundle(folder, None, problem, remote)


def _of_id(bundles: list[ShelvedBundle], bundle_id: str) -> ShelvedBundle | None:
    return next((one for one in bundles if one.manifest is not None and one.manifest.bundle_id == bundle_id), None)


def _fetched(shelved: ShelvedBundle) -> ShelvedBundle:
    shelved.fetch()
    return shelved
