"""Turn a dataset's description into the dataset: read its tables, look up ids, filter, sort."""

import dataclasses

from clairo_core.progress import Progress, silent
from training.datasets.dataset import Dataset, build_dataset
from training.datasets.description import DatasetDescription
from training.datasets.interactions_table import build_sequences, read_interactions
from training.datasets.items_table import read_items


def load_described_dataset(description: DatasetDescription, progress: Progress = silent) -> Dataset:
    """Read the described tables.

    Raises:
        DatasetError: a file does not match the description; the text names file, row and field.
    """
    tables = read_items(description, progress)
    described, rules = description.interactions[0], description.rules
    interactions = read_interactions(described, rules, tables.names.names, progress)
    # Interactions may name an item by its id or another key.
    interactions = dataclasses.replace(interactions, items=tables.names.items[interactions.items])
    user_ids, sequences, days, is_kept = build_sequences(
        interactions,
        tables.is_wanted,
        min_interactions=rules.min_interactions,
        repeats=rules.repeats,
        source_name=str(described.file),
        is_time=described.is_time,
    )
    return build_dataset(
        description.name,
        tuple(item for item, keep in zip(tables.items, is_kept, strict=True) if keep),
        user_ids,
        sequences,
        days=days,
        rules=rules,
        codes=None if tables.codes is None else tables.codes.of_items(is_kept),
        picture_origin=None if tables.picture_origin is None else tables.picture_origin.of_items(is_kept),
        progress=progress,
    )
