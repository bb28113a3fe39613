"""Recognize a folder of a published data set by the names of its files, and describe it as a dataset.toml would.

No file is read here. Each data set has its own module; start at `describe_published`.
"""

from collections.abc import Callable
from pathlib import Path

from training.datasets.description import DatasetDescription
from training.datasets.published.amazon import describe_amazon2014, describe_amazon2018, describe_amazon2023
from training.datasets.published.movielens import describe_movielens
from training.datasets.published.steam import describe_steam
from training.datasets.published.yelp import describe_yelp

KNOWN_SETS = "Amazon Reviews 2014, 2018 or 2023, MovieLens, Steam or Yelp"
_DESCRIBE: tuple[Callable[[Path], DatasetDescription | None], ...] = (
    # Files of 2014 also have the endings of 2018.
    describe_amazon2014,
    describe_amazon2018,
    describe_amazon2023,
    describe_movielens,
    describe_steam,
    describe_yelp,
)


def describe_published(folder: Path) -> DatasetDescription | None:
    """Describe the folder; None if it holds no known data set.

    Raises:
        DatasetError: a data set is recognized, but one of its files is missing, or there are several categories.
    """
    return next((found for describe in _DESCRIBE if (found := describe(folder)) is not None), None)
