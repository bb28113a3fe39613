"""Ask a running service which bundle it serves, and have it serve another one.

Knows two calls of its API; knows nothing of how the bundles compare.
"""

import json
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import Request, urlopen

from clairo_core.bundle.manifest import MANIFEST_FILE, read_manifest
from clairo_core.errors import BundleError, SettingsError, TrainingError

TIMEOUT_SECONDS = 30
ACTIVATION_SECONDS = 600
"""The service loads, verifies and warms up the bundle before it answers."""


class ServiceCalls:
    """Calls one service, with a key if it needs one."""

    def __init__(self, url: str, key: str | None = None) -> None:
        """Nothing is sent yet.

        Raises:
            SettingsError: `url` is no http address.
        """
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc:
            raise SettingsError(f"--promote {url!r}: expected http://HOST:PORT or https://HOST")
        self._url = url.rstrip("/")
        self._headers = {} if key is None else {"Authorization": f"Bearer {key}"}

    def serving_bundle_id(self) -> str:
        """Which bundle it serves now.

        Raises:
            TrainingError: it does not say.
        """
        return str(self._call("GET", "/info", TIMEOUT_SECONDS)["bundle_id"])

    def activate(self, bundle_id: str) -> str:
        """Serve this bundle from now on; the id of the one before.

        Raises:
            TrainingError: the service refuses; it serves what it served.
        """
        answer = self._call("POST", f"/bundles/{quote(bundle_id, safe='')}/activate", ACTIVATION_SECONDS)
        return str(answer["previous_bundle_id"])

    def _call(self, method: str, path: str, timeout_seconds: float) -> dict[str, Any]:
        # The constructor lets http and https pass alone.
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
                f"{method} {path} at {self._url}: no answer that can be read ({reason}); is that the service's address?"
            ) from error


def bundle_of_id(folder: Path, bundle_id: str) -> Path:
    """The bundle of this id among those in `folder`.

    Raises:
        SettingsError: there is none.
    """
    for candidate in sorted(folder.iterdir()) if folder.is_dir() else []:
        if (candidate / MANIFEST_FILE).is_file() and not candidate.name.startswith("."):
            try:
                if read_manifest(candidate).bundle_id == bundle_id:
                    return candidate
            except BundleError:
                continue
    raise SettingsError(
        f"the service serves bundle {bundle_id}, which is not in {folder}; name its folder with --serving, or write "
        "--out into the service's bundles_dir"
    )


def read_key(file: Path | None) -> str | None:
    """The API key in a file; None if no file is named.

    Raises:
        SettingsError: the file cannot be read, or is empty.
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
    """What a problem document says; the beginning of anything else."""
    try:
        return str(json.loads(body)["detail"])
    except (ValueError, KeyError, TypeError):
        return body[:200].decode(errors="replace") or "without a word"
