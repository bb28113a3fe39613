"""List the bundles that can be served, and compare their metrics.

A shelf is a folder of bundle folders, and the bundle in the settings. Each look reads the folder again, so a bundle
that training has just written is found.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clairo_core.bundle.manifest import BundleManifest, read_manifest
from clairo_core.errors import BundleError
from service.errors import UnknownBundleError, WorseBundleError

DECIDING_METRIC = "ndcg@10"


@dataclass(frozen=True, slots=True)
class ShelvedBundle:
    """A bundle on the shelf, or a folder that cannot be read as one."""

    folder: Path
    manifest: BundleManifest | None
    problem: str | None
    """Why its manifest cannot be read; activation verifies the other files."""


class BundleShelf:
    """The bundles in `folder`, if given, and the one at `configured`."""

    def __init__(self, configured: Path, folder: Path | None) -> None:
        self._configured = configured
        self._folder = folder

    def bundles(self) -> list[ShelvedBundle]:
        """Each bundle once, by folder name, with the reason if it cannot be read."""
        found: dict[str, ShelvedBundle] = {}
        for folder in self._folders():
            try:
                shelved = ShelvedBundle(folder, read_manifest(folder), None)
            except BundleError as error:
                # Without the path, which clients that list bundles need not learn.
                shelved = ShelvedBundle(folder, None, str(error).replace(str(folder), folder.name))
            found.setdefault(shelved.manifest.bundle_id if shelved.manifest else f"/{folder}", shelved)
        return list(found.values())

    def find(self, bundle_id: str) -> ShelvedBundle:
        """The bundle of this id.

        Raises:
            UnknownBundleError: no bundle has it.
        """
        bundles = self.bundles()
        for shelved in bundles:
            if shelved.manifest is not None and shelved.manifest.bundle_id == bundle_id:
                return shelved
        known = ", ".join(sorted(shelved.manifest.bundle_id for shelved in bundles if shelved.manifest)) or "none"
        raise UnknownBundleError(f"bundle {bundle_id!r} not found, only {known}; copy it to bundles_dir")

    def _folders(self) -> Iterator[Path]:
        if self._folder is not None and self._folder.is_dir():
            # A name with a leading dot is a bundle being written, or one set aside.
            yield from sorted(path for path in self._folder.iterdir() if path.is_dir() and path.name[0] != ".")
        yield self._configured


def deciding_metric(metrics: Mapping[str, Any]) -> float | None:
    """NDCG@10 in the bundle's evaluation, where the bundle's own row is the first; None if not measured.

    >>> deciding_metric({"evaluation": {"rows": [{"metrics": [{"name": "ndcg@10", "value": 0.25}]}]}})
    0.25
    >>> deciding_metric({"ndcg@10": 0.5})
    0.5
    """
    value = metrics.get(DECIDING_METRIC)
    if value is None:
        try:
            rows = metrics["evaluation"]["rows"]
            value = next(metric["value"] for metric in rows[0]["metrics"] if metric["name"] == DECIDING_METRIC)
        except (KeyError, IndexError, TypeError, StopIteration):
            return None
    return float(value) if isinstance(value, int | float) else None


def measured_together(metrics: Mapping[str, Any], serving_bundle_id: str) -> tuple[float, float] | None:
    """NDCG@10 of the served bundle and of this one, as retraining measured both on the newest interactions.

    None if not measured, or measured against another bundle.

    >>> measured_together({"against_serving": {
    ...     "serving_bundle_id": "old", "serving_ndcg_at_10": 0.2, "ndcg_at_10": 0.25}}, "old")
    (0.2, 0.25)
    """
    try:
        against = metrics["against_serving"]
        if against["serving_bundle_id"] != serving_bundle_id:
            return None
        values = (against["serving_ndcg_at_10"], against["ndcg_at_10"])
    except (KeyError, TypeError):
        return None
    if not all(isinstance(value, int | float) for value in values):
        return None
    return float(values[0]), float(values[1])


def check_not_worse(candidate: BundleManifest, serving: BundleManifest) -> None:
    """Refuse a bundle that measured worse.

    Retraining's measurement of both bundles on the same interactions decides, else each bundle's own evaluation.

    Raises:
        WorseBundleError: its NDCG@10 is lower, or missing.
    """
    serving_value, value = measured_together(candidate.metrics, serving.bundle_id) or (
        deciding_metric(serving.metrics),
        deciding_metric(candidate.metrics),
    )
    if serving_value is None or (value is not None and value >= serving_value):
        return
    measured = "no measured" if value is None else f"{value:.4f}"
    raise WorseBundleError(
        f"bundle {candidate.bundle_id} has {measured} {DECIDING_METRIC}, the served bundle {serving.bundle_id} has "
        f"{serving_value:.4f}; activate with allow_worse=true to serve it all the same"
    )
