"""Which bundles can be served, and whether one may take the place of another.

A shelf is a folder of bundle folders and the bundle that the settings name. It is looked through anew each time, so
what training puts there is there. Knows manifests and their metrics; knows nothing of how a bundle is swapped in.
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
    """A bundle that lies there, or a folder that ought to be one."""

    folder: Path
    manifest: BundleManifest | None
    problem: str | None
    """Why it cannot be served, as far as its manifest tells; its files are checked when it is activated."""


class BundleShelf:
    """The bundles below `folder`, if it is given, and the one at `configured`."""

    def __init__(self, configured: Path, folder: Path | None) -> None:
        self._configured = configured
        self._folder = folder

    def bundles(self) -> list[ShelvedBundle]:
        """Each bundle once, by folder name; those that cannot be read say why."""
        found: dict[str, ShelvedBundle] = {}
        for folder in self._folders():
            try:
                shelved = ShelvedBundle(folder, read_manifest(folder), None)
            except BundleError as error:
                # Without the path: whoever may list bundles need not know where this machine keeps them.
                shelved = ShelvedBundle(folder, None, str(error).replace(str(folder), folder.name))
            found.setdefault(shelved.manifest.bundle_id if shelved.manifest else f"/{folder}", shelved)
        return list(found.values())

    def find(self, bundle_id: str) -> ShelvedBundle:
        """The bundle of this id.

        Raises:
            UnknownBundleError: none has it.
        """
        bundles = self.bundles()
        for shelved in bundles:
            if shelved.manifest is not None and shelved.manifest.bundle_id == bundle_id:
                return shelved
        known = ", ".join(sorted(shelved.manifest.bundle_id for shelved in bundles if shelved.manifest)) or "none"
        raise UnknownBundleError(f"no bundle {bundle_id!r} can be served; there is {known}; copy it to bundles_dir")

    def _folders(self) -> Iterator[Path]:
        if self._folder is not None and self._folder.is_dir():
            # A name that begins with a dot is a bundle being written, or one set aside.
            yield from sorted(path for path in self._folder.iterdir() if path.is_dir() and path.name[0] != ".")
        yield self._configured


def deciding_metric(metrics: Mapping[str, Any]) -> float | None:
    """NDCG@10 as the bundle's evaluation measured it, the bundle's own row first; None if it did not.

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
    """NDCG@10 of the serving bundle and of this one, as retraining measured both on the newest interactions.

    None if it did not, or against another bundle.

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
    """Refuse a bundle that would be a step back.

    What retraining measured of both on the same interactions counts; else each bundle's own evaluation.

    Raises:
        WorseBundleError: its NDCG@10 is lower, or it has none to compare.
    """
    serving_value, value = measured_together(candidate.metrics, serving.bundle_id) or (
        deciding_metric(serving.metrics),
        deciding_metric(candidate.metrics),
    )
    if serving_value is None or (value is not None and value >= serving_value):
        return
    told = "no measured" if value is None else f"{value:.4f}"
    raise WorseBundleError(
        f"bundle {candidate.bundle_id} has {told} {DECIDING_METRIC}, bundle {serving.bundle_id}, which is served, has "
        f"{serving_value:.4f}; say allow_worse=true if that is wanted"
    )
