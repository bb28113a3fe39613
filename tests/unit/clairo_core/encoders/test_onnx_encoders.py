"""Exports to ONNX agree with their originals, and run without the original library."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from clairo_core.encoders import (
    BuiltinTextEncoder,
    LearnedImageEncoder,
    ModalityEncoder,
    OpenClipEncoder,
    SentenceTransformerEncoder,
    load_encoder,
    load_preparation,
)
from clairo_core.encoders.learned_image import PictureNetwork
from clairo_core.encoders.open_clip_image import embed_pictures
from clairo_core.encoders.picture_preparation import resized_pictures
from clairo_core.errors import EncoderError
from clairo_core.items import Item
from tests.pretrained import minilm_folder, write_tiny_open_clip, write_tiny_sentence_transformer
from tests.tiny import tiny_items
from training.items.export_encoders import export_encoder

LIBRARIES = ("sentence_transformers", "open_clip", "timm", "torchvision")


def learned_encoder() -> LearnedImageEncoder:
    torch.manual_seed(0)
    return LearnedImageEncoder(PictureNetwork(12))


def original(kind: str, folder: Path) -> ModalityEncoder:
    folder.mkdir()
    if kind == "open_clip":
        return OpenClipEncoder.from_pretrained(str(write_tiny_open_clip(folder)))
    if kind == "learned":
        return learned_encoder()
    model = minilm_folder() if kind == "minilm" else write_tiny_sentence_transformer(folder, kind=kind)
    return SentenceTransformerEncoder.from_pretrained(str(model))


@pytest.mark.parametrize("kind", ["t5", "bert", "minilm", "open_clip", "learned"])
def test_an_export_agrees_with_its_original_without_its_library(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = original(kind, tmp_path / "original")
    (tmp_path / "export").mkdir()
    name = export_encoder(encoder, tmp_path / "export").name
    items = [
        *tiny_items(8),
        Item(item_id="nothing"),
        Item(item_id="long", texts={"title": "a very long text, " * 100}),
        Item(item_id="odd", texts={"title": "\ud800 half a pair"}),
    ]
    expected = encoder.encode(items)
    for library in LIBRARIES:
        monkeypatch.setitem(sys.modules, library, None)
    exported = load_encoder(tmp_path / "export")
    found = exported.encode(items)
    assert np.array_equal(found.is_present, expected.is_present)
    lengths = np.linalg.norm(found.vectors, axis=1) * np.linalg.norm(expected.vectors, axis=1)
    cosine = (found.vectors * expected.vectors).sum(axis=1)[found.is_present] / lengths[found.is_present]
    assert cosine.min() >= 0.999
    assert (exported.modality, exported.dim) == (encoder.modality, encoder.dim)
    assert exported.name == name == f"onnx:{encoder.name}"
    # An item alone and among others: the batch axis is dynamic.
    alone = exported.encode(items[:1]).vectors[0]
    assert np.allclose(alone, found.vectors[0], atol=1e-4)


@pytest.mark.parametrize("kind", ["t5", "open_clip", "learned"])
def test_the_preparation_of_pictures_is_read_without_the_weights(kind: str, tmp_path: Path) -> None:
    encoder = original(kind, tmp_path / "original")
    saved, export = tmp_path / "saved", tmp_path / "export"
    for folder in (saved, export):
        folder.mkdir()
    encoder.save(saved)
    export_encoder(encoder, export)
    assert load_preparation(saved) == load_preparation(export) == getattr(encoder, "preparation", None)


def test_pictures_that_were_resized_before_get_the_same_embeddings() -> None:
    encoder, items = learned_encoder(), tiny_items(40)
    whole = encoder.encode(items)
    in_steps = embed_pictures(encoder, resized_pictures(encoder.preparation, items))
    assert 0 < whole.is_present.sum() < 40
    assert np.array_equal(in_steps.is_present, whole.is_present)
    assert np.array_equal(in_steps.vectors, whole.vectors)


def test_an_export_can_be_saved_again(tmp_path: Path) -> None:
    (tmp_path / "export").mkdir()
    exported = export_encoder(learned_encoder(), tmp_path / "export")
    exported.save(tmp_path / "again")
    items = tiny_items(4)
    assert np.array_equal(load_encoder(tmp_path / "again").encode(items).vectors, exported.encode(items).vectors)


def test_a_built_in_encoder_is_copied_unchanged(tmp_path: Path) -> None:
    items = tiny_items(30)
    encoder = BuiltinTextEncoder.fit(items, dim=8)
    assert export_encoder(encoder, tmp_path) is encoder
    assert load_encoder(tmp_path).name == "builtin-text"


@pytest.mark.parametrize("damage", ["model.onnx", "tokenizer.json", "encoder.json"])
def test_a_damaged_export_is_refused_by_name(tmp_path: Path, damage: str) -> None:
    (tmp_path / "export").mkdir()
    export_encoder(original("bert", tmp_path / "original"), tmp_path / "export")
    (tmp_path / "export" / damage).write_bytes(b"{")
    with pytest.raises(EncoderError, match=damage.replace(".", r"\.")):
        load_encoder(tmp_path / "export")


def test_an_export_that_disagrees_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = learned_encoder()
    true_embed = encoder.embed
    monkeypatch.setattr(encoder, "embed", lambda pictures: true_embed(pictures) + 0.5)
    with pytest.raises(EncoderError, match="gives other vectors"):
        export_encoder(encoder, tmp_path)
