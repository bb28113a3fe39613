"""Open a bundle and a dataset and say what the one's tokens are and how the other's histories use them."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from clairo_core.bundle.bundle import Bundle, load_bundle
from clairo_core.errors import DatasetError
from clairo_core.progress import Progress
from clairo_core.sequences import ItemSequences
from clairo_core.storage.replaced_file import replace_text
from training.datasets import Dataset
from training.evaluation.split import training_sequences
from training.vocabulary.modality_shares import modality_shares
from training.vocabulary.report import report_on_vocabulary, text_of
from training.workbench.bundle_dataset import open_bundle_dataset

MOST_HISTORIES = 100_000
"""Enough for steady counts; of a longer log a random choice is read."""


def report_on_bundle(
    bundle_folder: Path,
    data: Path,
    num_tokens: int,
    json_file: Path | None,
    progress: Progress[int],
    report: Callable[[str], None],
) -> str:
    """The report as text, with `num_tokens` tokens a list; all of them are written to `json_file` if one is named.

    Raises:
        BundleError: the bundle cannot be loaded.
        DatasetError: the dataset cannot be read, or has none of the bundle's items.
    """
    bundle = load_bundle(bundle_folder)
    dataset = open_bundle_dataset(bundle, data, progress, report)
    histories = known_histories(bundle, dataset)
    if len(histories) > MOST_HISTORIES:
        chosen = np.random.default_rng(0).choice(len(histories), MOST_HISTORIES, replace=False)
        report(f"note: uses are counted in {MOST_HISTORIES:,} of {len(histories):,} histories, chosen at random")
        histories = histories.select(np.sort(chosen))
    described = report_on_vocabulary(
        bundle.vocabulary,
        modality_shares(bundle.vocabulary, bundle.fusion, bundle.quantizer),
        bundle.catalogue.feature_tokens,
        histories,
    )
    if json_file is not None:
        document = described.as_dict() | {"item_ids": bundle.catalogue.item_ids}
        replace_text(json_file, json.dumps(document, indent=1))
    return text_of(described, [item.title for item in bundle.items], num_tokens)


def known_histories(bundle: Bundle, dataset: Dataset) -> ItemSequences:
    """The training sequences in the bundle's rows; items that it does not know are left out.

    Raises:
        DatasetError: it knows none of them.
    """
    found = [bundle.catalogue.find_row(item.item_id) for item in dataset.items]
    rows = np.array([-1 if row is None else row for row in found], dtype=np.int64)
    sequences = training_sequences(dataset)
    items = rows[sequences.items]
    if not (items >= 0).any():
        raise DatasetError(
            f"no history of {dataset.name} has an item of the bundle; name the dataset that it was trained on"
        )
    num_known = np.concatenate(([0], np.cumsum(items >= 0)))
    return ItemSequences(items[items >= 0], num_known[sequences.offsets])
