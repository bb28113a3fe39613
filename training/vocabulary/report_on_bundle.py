"""Report on a bundle's tokens and their use in a dataset's histories."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from clairo_core.bundle.bundle import Bundle
from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.errors import DatasetError
from clairo_core.progress import Progress
from clairo_core.sequences import ItemSequences
from clairo_core.storage.replaced_file import replace_text
from training.datasets import Dataset
from training.evaluation.split import training_sequences
from training.vocabulary.modality_shares import modality_shares
from training.vocabulary.vocabulary_report import report_as_text, report_on_vocabulary
from training.workbench.bundle_dataset import open_bundle_dataset

MOST_HISTORIES = 100_000
"""Enough for steady counts. Larger datasets are sampled."""


def report_on_bundle(
    bundle_folder: Path,
    data: Path,
    num_tokens: int,
    json_file: Path | None,
    progress: Progress[int],
    report: Callable[[str], None],
) -> str:
    """The report as text with `num_tokens` tokens per list. All tokens are written to `json_file` if there is one.

    Raises:
        BundleError: the bundle cannot be loaded.
        DatasetError: the dataset cannot be read, or contains no item of the bundle.
    """
    bundle = load_bundle(bundle_folder)
    histories = counted_histories(bundle, open_bundle_dataset(bundle, data, progress, report), report)
    described = report_on_vocabulary(
        bundle.vocabulary,
        modality_shares(bundle.vocabulary, bundle.fusion, bundle.quantizer),
        bundle.catalogue.feature_tokens,
        histories,
    )
    if json_file is not None:
        document = described.as_dict() | {"item_ids": bundle.catalogue.item_ids}
        replace_text(json_file, json.dumps(document, indent=1))
    return report_as_text(described, [item.title for item in bundle.items], num_tokens)


def counted_histories(bundle: Bundle, dataset: Dataset, report: Callable[[str], None]) -> ItemSequences:
    """The training sequences in which uses are counted: `known_histories`, or a seeded sample of many.

    Raises:
        DatasetError: all items are unknown.
    """
    histories = known_histories(bundle, dataset)
    if len(histories) <= MOST_HISTORIES:
        return histories
    chosen = np.random.default_rng(0).choice(len(histories), MOST_HISTORIES, replace=False)
    report(f"note: uses are counted in {MOST_HISTORIES:,} of {len(histories):,} histories, chosen at random")
    return histories.select(np.sort(chosen))


def known_histories(bundle: Bundle, dataset: Dataset) -> ItemSequences:
    """The training sequences as rows of the bundle. Unknown items are left out.

    Raises:
        DatasetError: all items are unknown.
    """
    found = [bundle.catalogue.find_row(item.item_id) for item in dataset.items]
    rows = np.array([-1 if row is None else row for row in found], dtype=np.int64)
    sequences = training_sequences(dataset)
    items = rows[sequences.items]
    if not (items >= 0).any():
        raise DatasetError(
            f"no history of {dataset.name} contains an item of bundle {bundle.manifest.bundle_id}; "
            "name the dataset that it was trained on"
        )
    num_known = np.concatenate(([0], np.cumsum(items >= 0)))
    return ItemSequences(items[items >= 0], num_known[sequences.offsets])
