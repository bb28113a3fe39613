"""Encoders by sentence-transformers and open_clip: tiny random models in the libraries' own formats, and MiniLM."""

import importlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clairo_core.encoders import OpenClipEncoder, PrecomputedEncoder, SentenceTransformerEncoder, load_encoder
from clairo_core.encoders.picture_preparation import PicturePreparation
from clairo_core.errors import EncoderError
from clairo_core.items import Item
from tests.pretrained import minilm_folder, write_tiny_open_clip, write_tiny_sentence_transformer
from tests.tiny import tiny_items


@pytest.fixture(scope="module")
def text_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_sentence_transformer(tmp_path_factory.mktemp("text"), kind="t5")


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_open_clip(tmp_path_factory.mktemp("clip"))


def test_a_sentence_transformer_folder_embeds_as_the_library_does(text_folder: Path) -> None:
    from sentence_transformers import SentenceTransformer

    items = [Item(item_id=str(row), texts={"title": "a red mug " * row}) for row in range(5)]
    found = SentenceTransformerEncoder.from_pretrained(str(text_folder)).encode(items)
    expected = SentenceTransformer(str(text_folder), device="cpu").encode(
        [item.text.strip() for item in items[1:]], show_progress_bar=False
    )
    assert np.allclose(found.vectors[1:], expected, atol=1e-5)
    assert found.is_present.tolist() == [False, True, True, True, True]
    assert not found.vectors[0].any()


def test_an_open_clip_folder_embeds_as_the_library_does(clip_folder: Path) -> None:
    import open_clip
    import torch

    items = tiny_items(9)
    found = OpenClipEncoder.from_pretrained(str(clip_folder)).encode(items)
    model, _, prepare = open_clip.create_model_and_transforms(f"local-dir:{clip_folder}")
    for row, item in enumerate(items):
        assert found.is_present[row] == (item.picture is not None)
        if item.picture is not None:
            picture = Image.open(io.BytesIO(item.picture)).convert("RGB")
            with torch.no_grad():
                expected = model.eval().encode_image(prepare(picture)[None], normalize=True)[0].numpy()
            assert np.allclose(found.vectors[row], expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["text", "clip"])
def test_a_loaded_encoder_gives_the_same_numbers_and_keeps_its_name(
    kind: str, text_folder: Path, clip_folder: Path, tmp_path: Path
) -> None:
    encoder = (
        SentenceTransformerEncoder.from_pretrained(str(text_folder))
        if kind == "text"
        else OpenClipEncoder.from_pretrained(f"local-dir:{clip_folder}")
    )
    encoder.save(tmp_path)
    again = load_encoder(tmp_path)
    items = tiny_items(8)
    assert np.allclose(again.encode(items).vectors, encoder.encode(items).vectors, atol=1e-5)
    assert (again.name, again.dim, again.modality) == (encoder.name, encoder.dim, encoder.modality)
    assert str(tmp_path.parent) not in (tmp_path / "encoder.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("resize_mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("size", [(20, 20), (16, 24)])
@pytest.mark.parametrize("picture_size", [(57, 31), (9, 40), (20, 20)])
def test_pictures_are_prepared_as_open_clip_does(
    resize_mode: str, interpolation: str, size: tuple[int, int], picture_size: tuple[int, int]
) -> None:
    from open_clip.transform import PreprocessCfg, image_transform_v2

    settings = PreprocessCfg(size=size, resize_mode=resize_mode, interpolation=interpolation, fill_color=7)
    noise = np.random.default_rng(0).integers(0, 256, (picture_size[1], picture_size[0], 3), np.uint8)
    picture = Image.fromarray(noise)
    expected = image_transform_v2(settings, is_train=False)(picture).numpy()
    prepared = PicturePreparation.from_open_clip(settings.__dict__)(picture)
    assert np.allclose(prepared, expected, atol=1e-5)


def test_a_real_text_encoder_embeds_synonyms_close_together() -> None:
    items = [
        Item(item_id=str(row), texts={"title": title})
        for row, title in enumerate(("acoustic guitar strings", "steel wires for a six-string", "frying pan", "wok"))
    ]
    vectors = SentenceTransformerEncoder.from_pretrained(str(minilm_folder())).encode(items).vectors
    similarity = vectors @ vectors.T
    assert similarity[0, 1] > similarity[0, 2]
    assert similarity[2, 3] > similarity[1, 3]


def test_precomputed_vectors_pass_through_and_missing_ones_are_flagged(tmp_path: Path) -> None:
    items = [
        Item(item_id="a", vectors={"audio": np.array([1, 2, 3], np.float32)}),
        Item(item_id="b"),
        Item(item_id="c", vectors={"audio": np.array([1, 2], np.float32)}),
        Item(item_id="d", vectors={"audio": np.array([1, np.nan, 2], np.float32)}),
    ]
    PrecomputedEncoder.fit(items[:2], "audio").save(tmp_path)
    encoder = load_encoder(tmp_path)
    encoded = encoder.encode(items)
    assert encoder.modality == "audio"
    assert encoded.is_present.tolist() == [True, False, False, False]
    assert encoded.vectors.tolist() == [[1, 2, 3], [0, 0, 0], [0, 0, 0], [0, 0, 0]]
    with pytest.raises(EncoderError, match="'video'"):
        PrecomputedEncoder.fit(items, "video")
    with pytest.raises(EncoderError, match="one length"):
        PrecomputedEncoder.fit(items, "audio")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("./nowhere", "is not a folder"),
        ("/nowhere/at/all", "is not a folder"),
        ("a/b/c", "is not a folder"),
    ],
)
def test_a_text_model_by_a_missing_folder_is_refused_without_a_download(name: str, words: str) -> None:
    with pytest.raises(EncoderError, match=words):
        SentenceTransformerEncoder.from_pretrained(name)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ViT-B-32", "choose one of openai"),
        ("ViT-B-32/no-such-tag", "choose one of openai"),
        ("no-such-model/openai", "no weights"),
        ("local-dir:nowhere", "open_clip_config"),
    ],
)
def test_an_image_model_without_weights_is_refused(name: str, words: str) -> None:
    with pytest.raises(EncoderError, match=words):
        OpenClipEncoder.from_pretrained(name)


def test_a_library_that_is_not_installed_names_the_extra(monkeypatch: pytest.MonkeyPatch, text_folder: Path) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(EncoderError, match=r"clairo\[encoders\]"):
        SentenceTransformerEncoder.from_pretrained(str(text_folder))
    with pytest.raises(EncoderError, match=r"clairo\[encoders\]"):
        OpenClipEncoder.from_pretrained("ViT-B-32/openai")


@pytest.mark.parametrize("damage", ["visual.safetensors", "shape", "preparation"])
def test_a_damaged_clip_folder_is_refused_by_name(clip_folder: Path, tmp_path: Path, damage: str) -> None:
    OpenClipEncoder.from_pretrained(str(clip_folder)).save(tmp_path)
    if damage == "visual.safetensors":
        (tmp_path / damage).write_bytes(b"no weights")
    else:
        header = json.loads((tmp_path / "encoder.json").read_text(encoding="utf-8"))
        (tmp_path / "encoder.json").write_text(json.dumps(header | {damage: {"width": 3}}), encoding="utf-8")
    with pytest.raises(EncoderError, match="again"):
        load_encoder(tmp_path)


def test_a_damaged_sentence_transformer_is_refused_by_name(text_folder: Path, tmp_path: Path) -> None:
    SentenceTransformerEncoder.from_pretrained(str(text_folder)).save(tmp_path)
    (tmp_path / "model" / "model.safetensors").unlink()
    with pytest.raises(EncoderError, match="sentence-transformers cannot load"):
        load_encoder(tmp_path)
