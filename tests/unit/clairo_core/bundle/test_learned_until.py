"""Until when a bundle has learned: later feedback adds to its counts, earlier feedback does not."""

import math
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from clairo_core.bundle.manifest import BundleManifest, read_manifest, write_manifest
from clairo_core.errors import BundleManifestError
from tests.tiny import tiny_bundle
from training.datasets.event_times import newest_second

DAY = 86_400.0


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> BundleManifest:
    return read_manifest(tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny", num_items=20, can_ingest=False))


def test_the_newest_interaction_decides(manifest: BundleManifest, tmp_path: Path) -> None:
    write_manifest(tmp_path, replace(manifest, trained_until=1.7e9))
    assert read_manifest(tmp_path).learned_until == 1.7e9


def test_a_bundle_of_before_has_learned_until_it_was_made(manifest: BundleManifest) -> None:
    assert manifest.trained_until is None
    assert manifest.learned_until == datetime.fromisoformat(manifest.created_at).timestamp()


def test_a_manifest_without_a_readable_time_is_refused_by_name(manifest: BundleManifest, tmp_path: Path) -> None:
    write_manifest(tmp_path, replace(manifest, created_at="yesterday"))
    with pytest.raises(BundleManifestError, match="created_at"):
        read_manifest(tmp_path)
    write_manifest(tmp_path, replace(manifest, trained_until="soon"))  # type: ignore[arg-type]
    with pytest.raises(BundleManifestError, match="trained_until"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("moment", [math.nan, math.inf, 1e300, True])
def test_no_time_that_cannot_be_meant_is_taken(manifest: BundleManifest, moment: float, tmp_path: Path) -> None:
    write_manifest(tmp_path, replace(manifest, trained_until=moment))
    with pytest.raises(BundleManifestError, match="trained_until"):
        read_manifest(tmp_path)


def test_a_time_that_another_program_wrote_as_a_whole_number_is_the_same(
    manifest: BundleManifest, tmp_path: Path
) -> None:
    write_manifest(tmp_path, replace(manifest, trained_until=1_700_000_000))
    assert read_manifest(tmp_path).learned_until == 1.7e9


def test_no_interaction_is_later_than_the_newest_second() -> None:
    seconds = np.random.default_rng(0).integers(10**9, 2 * 10**9, size=1000)
    for moment in seconds.tolist():
        days = np.array([moment / DAY], dtype=np.float32)
        assert moment <= newest_second(days, now=3e9) < moment + 600


def test_times_ahead_of_the_clock_are_not_the_newest() -> None:
    days = np.array([20_000.0, 40_000.0], dtype=np.float32)
    assert newest_second(days, now=20_001 * DAY) == pytest.approx(20_000 * DAY, abs=600)
    assert newest_second(days[1:], now=20_001 * DAY) == 20_001 * DAY
