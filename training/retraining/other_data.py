"""Pre-training: start the training on one data set from a bundle of another, as MQL4GRec does. Start at `start_from`.

Source: Zhai et al. 2025, "Multimodal Quantitative Language for Generative Recommendation". We differ: its quantizers
are trained on the items of all data sets, ours are the first bundle's.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.errors import SettingsError
from training.config.preset import Preset
from training.datasets import Dataset
from training.pipeline.warm_start import WarmStart, taken_over
from training.retraining.carried_over import next_preset


def start_from(folder: Path, overrides: Sequence[str], report: Callable[[str], None]) -> tuple[Preset, WarmStart]:
    """The settings of the bundle in a folder with overrides, and the start from it.

    Raises:
        BundleError: the bundle cannot be read.
        SettingsError: an override is not allowed, or of what comes from the bundle; or the split is not the bundle's.
    """
    start = WarmStart(load_bundle(folder), keeps_items=False)
    asked = next_preset(start.bundle.manifest, None, overrides, report)
    return taken_over(start, asked, overrides, "--from"), start


def check_modalities(start: WarmStart, dataset: Dataset) -> None:
    """Check that the data has what the bundle's encoders read.

    Raises:
        SettingsError: no item has one of the modalities.
    """
    manifest = start.bundle.manifest
    absent = [modality for modality in start.bundle.encoders if modality not in dataset.modalities]
    if absent:
        raise SettingsError(
            f"--from: bundle {manifest.bundle_id} reads {' and '.join(start.bundle.encoders)}, but no item of "
            f"{dataset.name} has {' or '.join(absent)}; start from a bundle that reads only "
            f"{' and '.join(dataset.modalities) or 'what the items have'}"
        )
