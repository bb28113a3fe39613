"""Open a bundle and a dataset and measure the one on the other."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.progress import Progress
from clairo_core.recommender import Recommender
from clairo_core.storage.replaced_file import replace_text
from training.config.preset import DatasetSettings
from training.datasets import Dataset
from training.datasets.open_dataset import open_dataset
from training.evaluation.split import test_split, training_sequences, validation_split
from training.pipeline.evaluate import evaluate, table_of


@dataclass(frozen=True, slots=True)
class OpenBundle:
    """A bundle ready to recommend as its own settings say, and the data as it takes them."""

    recommender: Recommender
    dataset: Dataset
    num_resamples: int


def open_bundle(
    bundle_folder: Path, data: Path, device: str, progress: Progress, report: Callable[[str], None]
) -> OpenBundle:
    """Open both; what does not belong together is reported.

    Raises:
        BundleError: the bundle cannot be loaded.
        DatasetError: the dataset cannot be read.
    """
    bundle = load_bundle(bundle_folder)
    settings = bundle.manifest.settings
    dataset = open_dataset(data, DatasetSettings(**settings["dataset"]), settings["encode"]["modalities"], progress)
    if dataset.fingerprint != bundle.manifest.dataset_fingerprint:
        report(
            f"note: {bundle_folder} was trained on {bundle.manifest.dataset_name!r} in another state; "
            "what is held out here may have been seen in its training"
        )
    recommender = bundle.recommender(
        device=device,
        num_views=settings["evaluate"]["num_views"],
        num_beams=settings["evaluate"]["num_beams"],
    )
    return OpenBundle(recommender, dataset, settings["evaluate"]["num_resamples"])


def evaluate_bundle(
    bundle_folder: Path,
    data: Path,
    split_name: str,
    device: str,
    max_users: int,
    json_file: Path | None,
    progress: Progress[int],
    report: Callable[[str], None],
) -> str:
    """The table as text; written to `json_file` too if one is named.

    Raises:
        BundleError: the bundle cannot be loaded.
        DatasetError: the dataset cannot be read.
    """
    opened = open_bundle(bundle_folder, data, device, progress, report)
    dataset = opened.dataset
    split = test_split(dataset) if split_name == "test" else validation_split(dataset)
    evaluation = evaluate(
        opened.recommender,
        dataset,
        training_sequences(dataset),
        split,
        split_name=split_name,
        max_users=max_users,
        num_resamples=opened.num_resamples,
        progress=progress,
    )
    if json_file is not None:
        replace_text(json_file, json.dumps(evaluation.as_dict(), indent=2))
    return table_of(evaluation)
