"""Open the data that accuracy is measured on: a folder of the shared data, or the demo shop."""

import sys
from pathlib import Path

from benchmarks.repository import DEMO_SHOP, SHARED
from training.config.preset import DatasetSettings
from training.datasets import Dataset
from training.datasets.open_dataset import open_dataset
from training.demo_shop import write_demo_shop
from training.workbench.progress_bar import progress_bar

PICTURED = ("text", "image")
MOVIELENS = SHARED / "data" / "movielens_small_posters"


def data_folder(name: str) -> Path:
    """Folder of a dataset by name; `demo` is written first if missing. Exits if any other is missing."""
    if name == "demo":
        return demo_shop()
    folder = SHARED / "data" / name
    if not folder.is_dir():
        sys.exit(f"{folder} is missing; set CLAIRO_SHARED to the folder that holds data/")
    return folder


def demo_shop() -> Path:
    """Folder of the demo shop, written first if missing."""
    if not (DEMO_SHOP / "dataset.toml").is_file():
        write_demo_shop(DEMO_SHOP, progress=progress_bar)
    return DEMO_SHOP


def open_shop(name: str) -> Dataset:
    """Open a dataset by name, with the default settings."""
    return open_dataset(data_folder(name), DatasetSettings(), PICTURED, progress_bar)


def open_pictured_shop(name: str) -> Dataset:
    """Open a dataset whose items have pictures and words. Exits if it lacks either."""
    dataset = open_shop(name)
    if modalities_of(dataset) != PICTURED:
        sys.exit(f"{name} lacks pictures or words, so neither can be removed; choose another --data")
    return dataset


def modalities_of(dataset: Dataset) -> tuple[str, ...]:
    """Which of text and image describe its items, in this order."""
    return tuple(modality for modality in PICTURED if modality in dataset.modalities)
