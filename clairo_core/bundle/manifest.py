"""Read and write a bundle's manifest.json, and verify the bundle's files against it. Imports no torch."""

import hashlib
import json
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from pathlib import Path, PurePosixPath
from typing import Any

from clairo_core.attributes import AttributeType
from clairo_core.errors import (
    BundleDigestError,
    BundleManifestError,
    BundleNotFoundError,
    NewerBundleError,
    SettingsError,
)
from clairo_core.events import InteractionRules, read_rules
from clairo_core.serving_points import DEFAULT_POINT, QUALITIES, Points, read_points
from clairo_core.storage.replaced_folder import set_aside_name
from clairo_core.storage.storage_address import StorageAddress
from clairo_core.values.times import microseconds_in

BUNDLE_SCHEMA = 2
MANIFEST_FILE = "manifest.json"
REPEATS_FILE = "repeats.json"
DISLIKES_FILE = "dislikes.json"
"""Absent where disliked items lower no others."""
MEASURED_GENERATOR = "measured-generator"
"""Folder of the T5 before its refit; absent without one. No recommendation depends on it."""
REPORT_PAGE = "report/report.html"
"""Page of `clairo-train report`, which may write it at any time: not in the manifest, and nothing depends on it."""
TRAINED_ON = ("measured", "served")
NUMBERED = ("random", "sequential")
"""Values of the setting `quantize.kind` under which an item's features are a number, not its content."""
_RANGES = (("max_history_items", 1, 1_000_000_000), ("trained_until", -1_000_000_000_000, 1_000_000_000_000))
"""Of a manifest's numbers: no digest protects them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleManifest:
    """manifest.json: a bundle's metadata."""

    schema_version: int
    bundle_id: str
    """The dataset's name and a digest of all files that recommendations depend on."""
    preset: str
    dataset_name: str
    dataset_fingerprint: str
    encoders: Mapping[str, str]
    """Modality -> encoder name; empty for precomputed codes."""
    max_history_items: int
    """Number of a history's newest items that training read."""
    settings: Mapping[str, Any]
    """The preset as trained."""
    metrics: Mapping[str, Any]
    created_at: str
    """ISO 8601, UTC."""
    files: Mapping[str, str]
    """Path within the bundle -> sha256, for every file but the manifest."""
    serving: Mapping[str, Mapping[str, int]] | None = None
    """Views and beams by quality, as measured; None in older bundles."""
    trained_on: Mapping[str, int] | None = None
    """Interactions that the parts had learned from when they were measured, `measured`, and that those in the bundle
    have learned from, `served`; None in older bundles, which are served as measured."""

    interactions: Mapping[str, Any] | None = None
    """The dataset's `InteractionRules`; None in older bundles."""
    trained_until: float | None = None
    """When the newest interaction of the dataset happened, in seconds since 1970; None in older bundles, and where the
    dataset has no times."""
    attribute_types: Mapping[str, str] | None = None
    """Types of the dataset's attributes other than text; None in older bundles."""

    @property
    def rules(self) -> InteractionRules:
        """How the training's interactions were read, and how feedback is; in older bundles, by the rules of no TOML."""
        return InteractionRules() if self.interactions is None else read_rules(self.interactions)

    @property
    def learned_until(self) -> float:
        """Events up to then, in seconds since 1970, are in the bundle's counts; later ones are not.

        Without the time of the newest interaction, that of the bundle.

        Raises:
            SettingsError: the bundle has no time either.
        """
        if self.trained_until is not None:
            return self.trained_until
        try:
            return microseconds_in(self.created_at, needs_zone=True) / 1e6
        except ValueError as error:
            raise SettingsError(f"got {self.created_at!r}: {error}") from error

    @property
    def types_of_attributes(self) -> dict[str, AttributeType]:
        """The type of each attribute that is not text; none in older bundles."""
        try:
            return {name: AttributeType(one) for name, one in (self.attribute_types or {}).items()}
        except ValueError as error:
            raise SettingsError(f"{error}, expected one of {', '.join(AttributeType)}") from error

    @property
    def points(self) -> Points:
        """The search for each quality; in older bundles the one that measured them."""
        if self.serving is not None:
            return read_points(self.serving)
        measured = {**asdict(DEFAULT_POINT), **self.settings.get("evaluate", {})}
        return read_points(dict[str, Any].fromkeys(QUALITIES, measured))

    @property
    def why_no_encoders(self) -> str:
        """Why a bundle without encoders has none, to follow its id."""
        if self.settings.get("quantize", {}).get("kind") in NUMBERED:
            return f"was trained by preset {self.preset} on item numbers in place of content"
        return "was trained on precomputed codes"

    @property
    def is_refitted(self) -> bool:
        """Whether the bundle has learned from the interactions that measured it."""
        return self.trained_on is not None and self.trained_on["served"] > self.trained_on["measured"]


def write_manifest(folder: Path, manifest: BundleManifest) -> None:
    """Write manifest.json."""
    text = json.dumps(asdict(manifest), indent=2, sort_keys=True)
    (folder / MANIFEST_FILE).write_text(text, encoding="utf-8")


def read_manifest(folder: Path) -> BundleManifest:
    """Read manifest.json without looking at other files.

    Raises:
        BundleNotFoundError: `folder` holds no manifest.
        BundleManifestError: it is damaged, or a field is missing.
        NewerBundleError: a newer release wrote it.
    """
    path = folder / MANIFEST_FILE
    try:
        text = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        replaced = set_aside_name(folder)
        hint = f"a write was cut off: rename {replaced} to {folder.name}" if replaced.exists() else "train one first"
        raise BundleNotFoundError(f"{folder}: no bundle here, {MANIFEST_FILE} is missing; {hint}") from error
    except OSError as error:
        raise BundleManifestError(f"{path}: cannot be read ({error}); copy the bundle again") from error
    return parsed_manifest(folder, text)


def parsed_manifest(folder: Path | StorageAddress, text: bytes) -> BundleManifest:
    """Parse the manifest of the bundle in `folder`.

    Raises:
        BundleManifestError: it is damaged, or a field is missing.
        NewerBundleError: a newer release wrote it.
    """
    path = folder / MANIFEST_FILE
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BundleManifestError(f"{path}: cannot be read ({error}); copy the bundle again") from error
    if not isinstance(content, dict) or not isinstance(content.get("schema_version"), int):
        raise BundleManifestError(f"{path}: schema_version is missing; give the folder of a bundle")
    if content["schema_version"] > BUNDLE_SCHEMA:
        raise NewerBundleError(
            f"{folder}: bundle schema {content['schema_version']}, this CLAIRO reads up to {BUNDLE_SCHEMA}; "
            "update CLAIRO, or train the bundle again"
        )
    return checked_manifest(path, content)


def checked_manifest(path: Path | StorageAddress, content: Mapping[str, Any]) -> BundleManifest:
    """Check the fields of a manifest; unknown fields are dropped.

    Raises:
        BundleManifestError: a field is missing or of another type.
    """
    # JSON has one kind of number: other programs write 5.0 as 5.
    kinds: dict[str, Any] = {"int": int, "str": str, "float | None": int | float}
    known = {}
    for field in fields(BundleManifest):
        if field.default is None and content.get(field.name) is None:
            continue
        kind, value = kinds.get(str(getattr(field.type, "__name__", field.type)), dict), content.get(field.name)
        if not isinstance(value, kind) or isinstance(value, bool):
            name_of_kind = getattr(kind, "__name__", kind)
            raise BundleManifestError(
                f"{path}: {field.name} is {value!r}, expected {name_of_kind}; copy the bundle again"
            )
        known[field.name] = value
    for name in (*known["files"], *known["encoders"]):
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise BundleManifestError(f"{path}: lists {name!r}, which is outside the bundle; do not use it")
    for name, least, most in _RANGES:
        if name in known and not least <= known[name] <= most:
            raise BundleManifestError(
                f"{path}: {name} is {known[name]}, expected {least:,} to {most:,}; copy the bundle again"
            )
    for name, mapping in (("files", known["files"]), ("encoders", known["encoders"])):
        if not all(isinstance(value, str) for value in mapping.values()):
            raise BundleManifestError(f"{path}: {name} has values that are not strings; copy the bundle again")
    trained_on = known.get("trained_on", dict.fromkeys(TRAINED_ON, 0))
    if any(not isinstance(trained_on.get(name), int) for name in TRAINED_ON):
        raise BundleManifestError(
            f"{path}: trained_on is {trained_on!r}, expected a number each for {' and '.join(TRAINED_ON)}; copy the "
            "bundle again"
        )
    manifest = BundleManifest(**known)
    checked = {
        "serving": "points",
        "interactions": "rules",
        "attribute_types": "types_of_attributes",
        "created_at": "learned_until",
    }
    for field_name, property_name in checked.items():
        try:
            getattr(manifest, property_name)
        except (SettingsError, TypeError) as error:
            raise BundleManifestError(f"{path}: {field_name}: {error}; copy the bundle again") from error
    return manifest


def bundle_id_of(
    dataset_name: str, digests: Mapping[str, str], serving: Mapping[str, Mapping[str, int]] | None = None
) -> str:
    """An id that two bundles share only if they recommend alike, such as `demo-shop-0123456789ab`."""
    readable = re.sub(r"[^a-z0-9]+", "-", dataset_name.lower()).strip("-")
    depends_on = dict(digests) if serving is None else {**digests, "serving": serving}
    digest = hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode()).hexdigest()[:12]
    return f"{readable}-{digest}".lstrip("-")


def digests_of(folder: Path) -> dict[str, str]:
    """The sha256 of every file in `folder` but the manifest, by relative path."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST_FILE)
    with ThreadPoolExecutor() as pool:
        digests = pool.map(sha256_of, paths)
        return {path.relative_to(folder).as_posix(): digest for path, digest in zip(paths, digests, strict=True)}


def verify_files(folder: Path, manifest: BundleManifest) -> None:
    """Check that every file is the one that the manifest lists.

    Raises:
        BundleDigestError: a file is missing, truncated or altered.
    """

    def verify(name: str, expected: str) -> None:
        try:
            found = sha256_of(folder / name)
        except OSError as error:
            raise BundleDigestError(
                f"{folder / name}: cannot be read ({error.strerror}), but the manifest lists it; copy the bundle again"
            ) from error
        if found != expected:
            raise BundleDigestError(f"{folder / name}: sha256 {found}, manifest says {expected}; copy the bundle again")

    with ThreadPoolExecutor() as pool:
        list(pool.map(verify, manifest.files.keys(), manifest.files.values()))


def sha256_of(path: Path) -> str:
    """The file's sha256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
