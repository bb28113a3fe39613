"""Open a dataset as a bundle's training opened it, so that rows, codes and fingerprint agree."""

from collections.abc import Callable
from pathlib import Path

from clairo_core.bundle.bundle import Bundle
from clairo_core.bundle.manifest import BundleManifest
from clairo_core.errors import TrainingError
from clairo_core.progress import Progress
from training.config.preset import DatasetSettings
from training.datasets import Dataset
from training.datasets.open_dataset import open_dataset


def open_bundle_dataset(bundle: Bundle, data: Path, progress: Progress, report: Callable[[str], None]) -> Dataset:
    """Open `data` with the dataset settings in the bundle's manifest. Report data other than it was trained on.

    Raises:
        DatasetError: the dataset cannot be read.
    """
    settings = bundle.manifest.settings
    modalities = settings.get("encode", {}).get("modalities", tuple(bundle.encoders))
    dataset = open_dataset(data, DatasetSettings(**settings.get("dataset", {})), modalities, progress)
    if dataset.fingerprint != bundle.manifest.dataset_fingerprint:
        report(
            f"note: {bundle.folder} was trained on {bundle.manifest.dataset_name!r} in another state; "
            "items that are held out here may have been in its training"
        )
    return dataset


def check_not_learned(manifest: BundleManifest, dataset: Dataset) -> None:
    """Check that a measurement on held-out interactions of `dataset` can tell what the bundle is worth.

    Raises:
        TrainingError: the bundle has learned from these interactions.
    """
    if manifest.is_refitted and manifest.dataset_fingerprint == dataset.fingerprint:
        raise TrainingError(
            f"bundle {manifest.bundle_id} has learned from the held-out interactions of {dataset.name}, so it cannot "
            "be measured on them; its figures from before are in report/metrics.json. To measure it again, repeat its "
            "clairo-train run with --no-refit and another --out, or train it by clairo-train compare --presets"
        )
