"""A preset reads what the items have."""

import dataclasses

from clairo_core.items import Item
from clairo_core.sequences import ItemSequences
from training.config.preset import Preset
from training.datasets.dataset import Dataset, build_dataset
from training.pipeline.present_modalities import with_present_modalities


def dataset_of(*items: Item) -> Dataset:
    return build_dataset("made up", items, ("ann",), ItemSequences.from_lists([[0]]))


def modalities_for(dataset: Dataset, *wanted: str) -> tuple[tuple[str, ...], list[str]]:
    lines: list[str] = []
    preset = Preset("made up")
    preset = dataclasses.replace(preset, encode=dataclasses.replace(preset.encode, modalities=wanted))
    return with_present_modalities(preset, dataset, lines.append).encode.modalities, lines


def test_a_shop_without_pictures_is_read_by_its_words() -> None:
    words = dataset_of(Item(item_id="a", texts={"title": "Mug"}))
    assert modalities_for(words, "text", "image") == (
        ("text",),
        ["encode: no item has image, so modalities are text"],
    )


def test_nothing_changes_where_all_is_there_or_nothing_would_be_left() -> None:
    both = dataset_of(Item(item_id="a", texts={"title": "Mug"}, picture=b"picture"))
    assert modalities_for(both, "text", "image") == (("text", "image"), [])
    words = dataset_of(Item(item_id="a", texts={"title": "Mug"}))
    assert modalities_for(words, "image") == (("image",), [])
    assert modalities_for(words, "text", "sound") == (("text", "sound"), [])
