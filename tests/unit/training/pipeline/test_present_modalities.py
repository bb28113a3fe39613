"""A preset reads what the items have."""

import dataclasses

import numpy as np
import pytest

from clairo_core.errors import SettingsError
from clairo_core.items import Item
from clairo_core.sequences import ItemSequences
from training.config.load_preset import load_preset
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


def test_an_unknown_modality_is_refused_with_those_that_there_are() -> None:
    heard = dataset_of(Item(item_id="a", texts={"title": "Mug"}, vectors={"sound": np.ones(2, np.float32)}))
    assert modalities_for(heard, "text", "sound") == (("text", "sound"), [])
    with pytest.raises(SettingsError) as refused:
        modalities_for(heard, "image", "foo")
    assert str(refused.value) == (
        "encode.modalities is image, foo, but no item of made up has foo; expected text and image, which are built in, "
        "or columns under [items.vectors] of the dataset's TOML; this dataset has text, sound"
    )


def test_settings_that_do_not_go_with_the_modalities_left_are_refused() -> None:
    words = dataset_of(Item(item_id="a", texts={"title": "Mug"}))
    with pytest.raises(SettingsError, match=r"encode\.modalities is text; expected two or more"):
        with_present_modalities(load_preset("mql4grec"), words, lambda _: None)
