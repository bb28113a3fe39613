"""Turn a dataset's description into the dataset: read its tables, look up ids, filter, sort."""

import dataclasses

from clairo_core.progress import Progress, silent
from training.datasets.dataset import Dataset, build_dataset
from training.datasets.description import DatasetDescription
from training.datasets.interactions_table import read_interactions
from training.datasets.items_table import read_items
from training.datasets.user_sequences import build_sequences


def load_described_dataset(description: DatasetDescription, progress: Progress = silent) -> Dataset:
    """Read the described tables.

    Raises:
        DatasetError: a file does not match the description; the text names file, row and field.
    """
    tables = read_items(description, progress)
    interactions = read_interactions(description.interactions, description.rules, tables.names.names, progress)
    # Interactions may name an item by its id or another key.
    interactions = dataclasses.replace(interactions, items=tables.names.items[interactions.items])
    built = build_sequences(
        interactions,
        tables.is_wanted,
        description.rules,
        source_name=", ".join(str(table.file) for table in description.interactions),
        is_time=description.interactions[0].is_time,
    )
    return build_dataset(
        description.name,
        tuple(item for item, keep in zip(tables.items, built.is_item_kept, strict=True) if keep),
        built.user_ids,
        built.sequences,
        days=built.days,
        time_units=interactions.time_units,
        rules=description.rules,
        attribute_types=tables.attribute_types,
        dislikes=built.dislikes,
        unread=built.unread,
        event_counts=built.counts,
        codes=None if tables.codes is None else tables.codes.of_items(built.is_item_kept),
        picture_origin=None if tables.picture_origin is None else tables.picture_origin.of_items(built.is_item_kept),
        progress=progress,
    )
