"""The learned image encoder: training aligns pictures with words, resumes after a kill, and saves without pickle."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from clairo_core.encoders import BuiltinTextEncoder, LearnedImageEncoder, ModalityEmbeddings, load_encoder
from clairo_core.errors import EncoderError, TrainingError
from clairo_core.items import Item
from clairo_core.progress import silent
from tests.tiny import tiny_items
from training.config.preset import EncodeSettings
from training.items.fit_image_encoder import augmented, fit_image_encoder

SETTINGS = EncodeSettings(learned_dim=8, learned_epochs=3)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def items() -> list[Item]:
    return [replace(item, texts={"title": item.title.rsplit(" ", 1)[0]}) for item in tiny_items(150)]


@pytest.fixture(scope="module")
def words(items: list[Item]) -> ModalityEmbeddings:
    return BuiltinTextEncoder.fit(items, dim=8).encode(items)


def fitted(folder: Path, items: list[Item], words: ModalityEmbeddings, epochs: int = 3) -> LearnedImageEncoder:
    settings = replace(SETTINGS, learned_epochs=epochs)
    return fit_image_encoder(folder, items, words, settings, CPU, 0, progress=silent, report=lambda message: None)


def test_pictures_of_one_colour_have_similar_embeddings(
    tmp_path: Path, items: list[Item], words: ModalityEmbeddings
) -> None:
    encoded = fitted(tmp_path, items, words, epochs=8).encode(items)
    colours = np.array([item.title.split()[0] for item in items])[encoded.is_present]
    vectors = encoded.vectors[encoded.is_present]
    vectors = vectors - vectors.mean(axis=0)
    similarity = vectors @ vectors.T
    same = colours[:, None] == colours
    assert similarity[same].mean() > similarity[~same].mean() + 0.1
    assert encoded.is_present.tolist() == [item.picture is not None for item in items]


def test_an_interrupted_run_resumes_and_ends_the_same(
    tmp_path: Path, items: list[Item], words: ModalityEmbeddings
) -> None:
    whole = fitted(tmp_path, items, words)
    epochs = []

    def killed_in_the_third(steps, label, total):
        if "epoch 3/3" in label and not epochs:
            epochs.append(label)
            raise KeyboardInterrupt
        return steps

    folder = tmp_path / "killed"
    folder.mkdir()
    for _ in range(2):
        try:
            resumed = fit_image_encoder(
                folder, items, words, SETTINGS, CPU, 0, progress=killed_in_the_third, report=lambda message: None
            )
        except KeyboardInterrupt:
            assert list(folder.iterdir())
    assert np.array_equal(resumed.encode(items).vectors, whole.encode(items).vectors)
    assert not list(folder.iterdir())


def test_a_loaded_encoder_gives_the_same_numbers(tmp_path: Path, items: list[Item], words: ModalityEmbeddings) -> None:
    encoder = fitted(tmp_path, items, words, epochs=1)
    encoder.save(tmp_path / "saved")
    assert np.array_equal(load_encoder(tmp_path / "saved").encode(items).vectors, encoder.encode(items).vectors)
    (tmp_path / "saved" / "arrays.safetensors").write_bytes(b"nothing")
    with pytest.raises(EncoderError, match=r"arrays\.safetensors"):
        load_encoder(tmp_path / "saved")


def test_weights_of_another_network_are_refused() -> None:
    with pytest.raises(EncoderError, match="do not fit a picture network"):
        LearnedImageEncoder.from_weights({"projection.bias": torch.zeros(3)})


def test_too_few_pictures_are_refused(tmp_path: Path, items: list[Item], words: ModalityEmbeddings) -> None:
    with pytest.raises(TrainingError, match="image_encoder=builtin"):
        fitted(tmp_path, items[:20], ModalityEmbeddings(words.vectors[:20], words.is_present[:20]))
    without = [replace(item, picture=None) for item in items]
    with pytest.raises(TrainingError, match="0 training items"):
        fitted(tmp_path, without, words)


def test_augmented_pictures_differ_and_stay_in_range() -> None:
    pictures = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (6, 3, 72, 72), np.uint8))
    first, second = (augmented(pictures, torch.Generator().manual_seed(seed)) for seed in (0, 1))
    assert first.shape == (6, 3, 64, 64)
    assert not torch.equal(first, second)
    assert float(first.abs().max()) <= 2.0
