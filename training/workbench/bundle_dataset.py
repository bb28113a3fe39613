"""Open a dataset as a bundle's training opened it, so that rows, codes, split and fingerprint agree."""

from collections.abc import Callable
from pathlib import Path

from clairo_core.bundle.bundle import Bundle
from clairo_core.bundle.manifest import BundleManifest
from clairo_core.errors import TrainingError
from clairo_core.progress import Progress
from training.config.preset import DatasetSettings, SplitSettings
from training.datasets import Dataset
from training.datasets.open_dataset import open_dataset
from training.evaluation.split import split_by


def open_bundle_dataset(bundle: Bundle, data: Path, progress: Progress, report: Callable[[str], None]) -> Dataset:
    """Open and split `data` by the settings in the bundle's manifest. Report data other than it was trained on.

    Raises:
        DatasetError: the dataset cannot be read, or split.
    """
    settings = bundle.manifest.settings
    modalities = settings.get("encode", {}).get("modalities", tuple(bundle.encoders))
    dataset = open_dataset(data, DatasetSettings(**settings.get("dataset", {})), modalities, progress)
    dataset = split_by(dataset, split_of(bundle.manifest))
    if dataset.fingerprint != bundle.manifest.dataset_fingerprint:
        report(
            f"note: {bundle.folder} was trained on {bundle.manifest.dataset_name!r} in another state; "
            "items that are held out here may have been in its training"
        )
    return dataset


def split_of(manifest: BundleManifest) -> SplitSettings:
    """What the bundle's training held out; each user's last items in releases without a choice."""
    return SplitSettings(**manifest.settings.get("split", {}))


def check_same_split(folder: Path, manifest: BundleManifest, held_out_by: SplitSettings) -> None:
    """Check that the bundle in a folder held out what a table is measured on.

    Raises:
        TrainingError: it may have learned it.
    """
    if split_of(manifest).rule != held_out_by.rule:
        raise TrainingError(
            f"--bundle {folder} was trained with {split_of(manifest).rule}, expected {held_out_by.rule} as "
            "in this table: it may have learned what is measured here; give the table the bundle's split by --set, or "
            "train the bundle again"
        )


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
