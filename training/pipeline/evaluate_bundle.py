"""Measure a bundle on a dataset. Start at `evaluate_bundle`."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.progress import Progress
from clairo_core.recommender import Recommender
from clairo_core.storage.replaced_file import replace_text
from training.counts.popularity import count_interactions, count_popularity
from training.datasets import Dataset
from training.evaluation.repeat_lift import lift_users
from training.evaluation.split import held_out, test_split, training_sequences, validation_split
from training.evaluation.split_description import describe_split
from training.pipeline.evaluate import WHOLE, evaluate, table_of
from training.workbench.bundle_dataset import check_not_learned, open_bundle_dataset


@dataclass(frozen=True, slots=True)
class OpenBundle:
    """A bundle ready to recommend with its own settings, and a dataset as its training opened it."""

    recommender: Recommender
    dataset: Dataset
    num_resamples: int
    preset_name: str


def open_bundle(
    bundle_folder: Path, data: Path, device: str, progress: Progress, report: Callable[[str], None]
) -> OpenBundle:
    """Open both, to measure one on the other. Report data that the bundle was not trained on.

    Raises:
        TrainingError: the bundle was refitted, and has learned what it would be measured on.
        BundleError: the bundle cannot be loaded.
        DatasetError: the dataset cannot be read.
    """
    bundle = load_bundle(bundle_folder)
    dataset = open_bundle_dataset(bundle, data, progress, report)
    check_not_learned(bundle.manifest, dataset)
    settings = bundle.manifest.settings
    num_resamples, preset_name = settings["evaluate"]["num_resamples"], settings.get("name", WHOLE)
    return OpenBundle(bundle.recommender(device), dataset, num_resamples, preset_name)


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
    """The table as text, also written to `json_file` if there is one.

    Raises:
        BundleError: the bundle cannot be loaded.
        DatasetError: the dataset cannot be read.
    """
    opened = open_bundle(bundle_folder, data, device, progress, report)
    dataset = opened.dataset
    targets = held_out(test_split if split_name == "test" else validation_split, dataset)
    training = training_sequences(dataset)
    evaluation = evaluate(
        opened.recommender,
        dataset,
        count_popularity(training, len(dataset.items)),
        count_interactions(training, len(dataset.items)),
        targets,
        lift_users(dataset),
        split_name=split_name,
        max_users=max_users,
        num_resamples=opened.num_resamples,
        held_out=describe_split(dataset, split_name),
        progress=progress,
    )
    if json_file is not None:
        replace_text(json_file, json.dumps(evaluation.as_dict(), indent=2))
    return table_of(evaluation, opened.preset_name)
