"""Calls to a running service: which bundle it serves, whether another may be activated, and activate it."""

import json
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import Request, urlopen

from clairo_core.bundle.manifest import MANIFEST_FILE, BundleManifest, read_manifest
from clairo_core.bundle.remote_bundles import RemoteBundles
from clairo_core.errors import BundleError, SettingsError, TrainingError

TIMEOUT_SECONDS = 30
ACTIVATION_SECONDS = 600
"""The service loads, verifies and warms up the bundle before it responds."""


class ServiceCalls:
    """A client of one service, with its API key if it has keys."""

    def __init__(self, url: str, key: str | None = None) -> None:
        """Check the address. Nothing is sent yet.

        Raises:
            SettingsError: `url` is not an http address.
        """
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc:
            raise SettingsError(f"--promote {url!r}: expected http://HOST:PORT or https://HOST")
        self._url = url.rstrip("/")
        self._headers = {} if key is None else {"Authorization": f"Bearer {key}"}

    def serving_bundle_id(self) -> str:
        """The id of the serving bundle.

        Raises:
            TrainingError: no valid response.
        """
        return str(self._call("GET", "/info", TIMEOUT_SECONDS)["bundle_id"])

    def check_access(self) -> None:
        """Ask for the bundles, which takes the same key and address as activating one: before training, not after.

        Raises:
            TrainingError: the service refuses.
        """
        self._call("GET", "/bundles", TIMEOUT_SECONDS)

    def activate(self, bundle_id: str) -> str:
        """Serve this bundle from now on. Returns the previous bundle's id.

        Raises:
            TrainingError: the service refuses and keeps its bundle.
        """
        answer = self._call("POST", f"/bundles/{quote(bundle_id, safe='')}/activate", ACTIVATION_SECONDS)
        return str(answer["previous_bundle_id"])

    def _call(self, method: str, path: str, timeout_seconds: float) -> dict[str, Any]:
        # The constructor accepts only http and https.
        request = Request(f"{self._url}{path}", method=method, headers=self._headers)  # noqa: S310
        try:
            with urlopen(request, timeout=timeout_seconds) as answer:  # noqa: S310
                document: dict[str, Any] = json.loads(answer.read())
                return document
        except HTTPError as error:
            with error:
                detail = _detail(error.read())
            raise TrainingError(f"{method} {path} at {self._url}: status {error.code}, {detail}") from error
        except (URLError, OSError, ValueError) as error:
            reason = error.reason if isinstance(error, URLError) else error
            raise TrainingError(
                f"{method} {path} at {self._url}: no valid response ({reason}); check that the service runs there"
            ) from error


def bundle_of_id(folder: Path, bundle_id: str) -> Path:
    """Find the bundle with this id in `folder`.

    Raises:
        SettingsError: it is not there.
    """
    for candidate in sorted(folder.iterdir()) if folder.is_dir() else []:
        if (candidate / MANIFEST_FILE).is_file() and not candidate.name.startswith("."):
            try:
                if read_manifest(candidate).bundle_id == bundle_id:
                    return candidate
            except BundleError:
                continue
    raise SettingsError(
        f"the service serves bundle {bundle_id}, which is not in {folder}; name its folder with --serving, or put "
        "--out into the service's bundles_dir"
    )


def fetched_of_id(remote: RemoteBundles, bundle_id: str) -> Path:
    """Find the bundle with this id in object storage, and copy it to this machine.

    Raises:
        SettingsError: it is not there.
        BundleError: it cannot be copied.
    """
    for name, manifest in remote.manifests().items():
        if isinstance(manifest, BundleManifest) and manifest.bundle_id == bundle_id:
            return remote.fetch(name)
    raise SettingsError(
        f"the service serves bundle {bundle_id}, which is not in {remote.address}; push it there with clairo-train "
        "push, or name its folder with --serving"
    )


def read_key(file: Path | None) -> str | None:
    """Read the API key from a file. None without a file.

    Raises:
        SettingsError: the file is unreadable or empty.
    """
    if file is None:
        return None
    try:
        key = file.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise SettingsError(f"--promote-key-file {file}: cannot be read as a key ({error})") from error
    if not key:
        raise SettingsError(f"--promote-key-file {file} is empty; write the key of scope admin into it")
    return key


def _detail(body: bytes) -> str:
    """The detail of a problem document, or the beginning of any other body."""
    try:
        return str(json.loads(body)["detail"])
    except (ValueError, KeyError, TypeError):
        return body[:200].decode(errors="replace") or "empty body"
