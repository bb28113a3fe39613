"""The built-in encoders: like is near like, missing is missing, and what is loaded is what was saved."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from clairo_core.encoders import BuiltinImageEncoder, BuiltinTextEncoder, ModalityEncoder, load_encoder
from clairo_core.errors import EncoderError
from clairo_core.items import Item

SUBJECTS = ("guitar strings and picks", "garden soil and seeds", "running shoes for trails", "coffee beans from Peru")


def drawn(colour: str, shape: str, size: int = 96) -> bytes:
    picture = Image.new("RGB", (size, size), "white")
    draw = ImageDraw.Draw(picture)
    corners = (size // 5, size // 5, 4 * size // 5, 4 * size // 5)
    draw.ellipse(corners, fill=colour) if shape == "disc" else draw.rectangle(corners, fill=colour)
    stored = io.BytesIO()
    picture.save(stored, format="PNG")
    return stored.getvalue()


def text_item(number: int, text: str) -> Item:
    return Item(item_id=str(number), texts={"title": f"No. {number}", "description": text})


TEXT_ITEMS = [text_item(number, f"{SUBJECTS[number % 4]}, batch {number}") for number in range(24)]
COLOURS, SHAPES = ("red", "blue", "green"), ("disc", "square")
IMAGE_ITEMS = [
    Item(item_id=f"{colour}-{shape}-{size}", picture=drawn(colour, shape, size))
    for colour in COLOURS
    for shape in SHAPES
    for size in (80, 96)
]
TEXT_ENCODER = BuiltinTextEncoder.fit(TEXT_ITEMS, dim=8)
IMAGE_ENCODER = BuiltinImageEncoder.fit(IMAGE_ITEMS)


def nearest(vectors: np.ndarray, row: int) -> int:
    distances = np.linalg.norm(vectors - vectors[row], axis=1)
    distances[row] = np.inf
    return int(distances.argmin())


def test_texts_of_one_subject_are_neighbours() -> None:
    vectors = TEXT_ENCODER.encode(TEXT_ITEMS).vectors
    assert all(nearest(vectors, row) % 4 == row % 4 for row in range(24))


def test_a_misspelt_word_still_counts() -> None:
    vectors = TEXT_ENCODER.encode([*TEXT_ITEMS, text_item(99, "guittar stringz")]).vectors
    assert nearest(vectors, 24) % 4 == 0


def test_pictures_of_one_colour_and_shape_are_neighbours() -> None:
    vectors = IMAGE_ENCODER.encode(IMAGE_ITEMS).vectors
    for row, item in enumerate(IMAGE_ITEMS):
        twin = IMAGE_ITEMS[nearest(vectors, row)]
        assert twin.item_id.rsplit("-", 1)[0] == item.item_id.rsplit("-", 1)[0]


@pytest.mark.parametrize("encoder", [TEXT_ENCODER, IMAGE_ENCODER], ids=lambda encoder: encoder.name)
def test_what_is_missing_or_unreadable_is_flagged_and_never_an_error(encoder: ModalityEncoder) -> None:
    items = [
        Item(item_id="nothing"),
        Item(item_id="blank", texts={"title": " \n"}, picture=b""),
        Item(item_id="broken", texts={"title": "\x00"}, picture=b"\x89PNG not really"),
        Item(item_id="gone", picture=Path("no-such-picture.png")),
    ]
    embeddings = encoder.encode(items)
    assert not embeddings.is_present[[0, 1, 3]].any()
    assert not embeddings.vectors[~embeddings.is_present].any()


@pytest.mark.parametrize("encoder", [TEXT_ENCODER, IMAGE_ENCODER], ids=lambda encoder: encoder.name)
def test_a_loaded_encoder_gives_the_same_numbers(encoder: ModalityEncoder, tmp_path: Path) -> None:
    encoder.save(tmp_path)
    loaded = load_encoder(tmp_path)
    items = [*TEXT_ITEMS, *IMAGE_ITEMS]
    assert (loaded.name, loaded.modality, loaded.dim) == (encoder.name, encoder.modality, encoder.dim)
    assert np.array_equal(loaded.encode(items).vectors, encoder.encode(items).vectors)


@pytest.mark.parametrize("damage", ["truncate", "remove", "rename_kind"])
def test_a_damaged_encoder_is_refused_by_name(tmp_path: Path, damage: str) -> None:
    IMAGE_ENCODER.save(tmp_path)
    arrays, header = tmp_path / "arrays.safetensors", tmp_path / "encoder.json"
    if damage == "truncate":
        arrays.write_bytes(arrays.read_bytes()[:-20])
    elif damage == "remove":
        arrays.unlink()
    else:
        header.write_text(header.read_text(encoding="utf-8").replace("builtin-image", "clip"), encoding="utf-8")
    with pytest.raises(EncoderError, match=r"arrays\.safetensors|clip"):
        load_encoder(tmp_path)


def test_fitting_on_nothing_says_what_to_leave_out() -> None:
    with pytest.raises(EncoderError, match="leave the text modality out"):
        BuiltinTextEncoder.fit([Item(item_id="a")])
    with pytest.raises(EncoderError, match="leave the image modality out"):
        BuiltinImageEncoder.fit([Item(item_id="a")])


def test_a_very_long_text_is_read_only_so_far() -> None:
    long = TEXT_ENCODER.encode([text_item(0, SUBJECTS[0] + " " + "x " * 60_000)])
    assert long.is_present[0]
    assert np.isfinite(long.vectors).all()


@settings(deadline=None, max_examples=50)
@given(st.lists(st.text(max_size=60), min_size=1, max_size=4))
def test_any_text_at_all_gives_finite_numbers(texts: list[str]) -> None:
    embeddings = TEXT_ENCODER.encode([Item(item_id=str(row), texts={"title": text}) for row, text in enumerate(texts)])
    assert np.isfinite(embeddings.vectors).all()
    lengths = np.linalg.norm(embeddings.vectors, axis=1)
    assert np.allclose(lengths[embeddings.is_present], 1.0, atol=1e-5)
