"""Manifests that no digest protects: what cannot be meant is refused by name, whatever damaged it."""

import json
from pathlib import Path
from typing import Any

import pytest

from clairo_core.bundle.manifest import parsed_manifest
from clairo_core.errors import BundleManifestError

SOUND: dict[str, Any] = {
    "schema_version": 2,
    "bundle_id": "shop-1",
    "preset": "clairo",
    "dataset_name": "shop",
    "dataset_fingerprint": "0",
    "encoders": {"text": "builtin-text"},
    "max_history_items": 20,
    "settings": {},
    "metrics": {},
    "created_at": "2026-01-01T00:00:00Z",
    "files": {},
}


def read(**changed: object) -> object:
    return parsed_manifest(Path("shop"), json.dumps(SOUND | changed).encode())


def test_a_sound_manifest_is_read() -> None:
    read()


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"max_history_items": 0}, "max_history_items is 0, expected 1 to 1,000,000,000"),
        ({"max_history_items": 10**30}, "max_history_items"),
        ({"max_history_items": True}, "max_history_items is True, expected int"),
        ({"settings": {"evaluate": 5}}, "serving: 'int' object is not a mapping"),
        ({"encoders": {"../text": "builtin-text"}}, r"lists '\.\./text', which is outside the bundle"),
        ({"encoders": {"/text": "builtin-text"}}, "outside the bundle"),
    ],
)
def test_values_that_cannot_be_meant_are_refused_by_name(changed: dict[str, object], why: str) -> None:
    with pytest.raises(BundleManifestError, match=why):
        read(**changed)


def test_a_weight_beyond_all_numbers_is_refused_by_name() -> None:
    heavy = {"name": "buy", "meaning": "positive", "weight": 10**400, "is_read": True, "when": None}
    with pytest.raises(BundleManifestError, match="interactions: missing or of a wrong type: int too large"):
        read(interactions={"types": [heavy]})


def test_brackets_without_end_are_a_damaged_manifest() -> None:
    with pytest.raises(BundleManifestError, match=r"manifest\.json: cannot be read"):
        parsed_manifest(Path("shop"), b"[" * 100_000)
