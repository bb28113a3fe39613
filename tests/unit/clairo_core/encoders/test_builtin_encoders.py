"""The built-in encoders: similar content is close, missing content is flagged, and loading restores saved encoders."""

import hashlib
import io
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from clairo_core.encoders import BuiltinImageEncoder, BuiltinTextEncoder, ModalityEncoder, load_encoder
from clairo_core.errors import EncoderError
from clairo_core.items import Item
from tests.repository import REPOSITORY

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
def test_missing_or_unreadable_content_is_flagged_and_never_an_error(encoder: ModalityEncoder) -> None:
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


def test_fitting_without_content_names_the_modality_to_leave_out() -> None:
    with pytest.raises(EncoderError, match="leave the text modality out"):
        BuiltinTextEncoder.fit([Item(item_id="a")])
    with pytest.raises(EncoderError, match="leave the image modality out"):
        BuiltinImageEncoder.fit([Item(item_id="a")])


def test_a_very_long_text_is_truncated() -> None:
    long = TEXT_ENCODER.encode([text_item(0, SUBJECTS[0] + " " + "x " * 60_000)])
    assert long.is_present[0]
    assert np.isfinite(long.vectors).all()


@settings(deadline=None, max_examples=50)
@given(st.lists(st.text(max_size=60), min_size=1, max_size=4))
def test_any_text_gives_finite_numbers(texts: list[str]) -> None:
    embeddings = TEXT_ENCODER.encode([Item(item_id=str(row), texts={"title": text}) for row, text in enumerate(texts)])
    assert np.isfinite(embeddings.vectors).all()
    lengths = np.linalg.norm(embeddings.vectors, axis=1)
    assert np.allclose(lengths[embeddings.is_present], 1.0, atol=1e-5)


def test_a_title_is_not_drowned_by_other_fields() -> None:
    encoder = BuiltinTextEncoder.fit(TEXT_ITEMS, dim=24)
    rest = " ".join(SUBJECTS[1] for _ in range(50))
    vectors = encoder.encode(
        [
            Item(item_id="a", texts={"title": SUBJECTS[0], "description": rest}),
            Item(item_id="b", texts={"title": SUBJECTS[1], "description": rest}),
            Item(item_id="c", texts={"title": SUBJECTS[0]}),
        ]
    ).vectors
    assert vectors[2] @ vectors[0] > vectors[2] @ vectors[1] + 0.2


def test_chinese_and_cyrillic_have_words_too() -> None:
    texts = ["红色的吉他弦", "蓝色的吉他弦", "园艺土壤和种子", "园艺种子", "гитарные струны", "струны для гитары"]
    items = [Item(item_id=str(row), texts={"title": text}) for row, text in enumerate(texts)]
    encoder = BuiltinTextEncoder.fit(items, dim=6)
    vectors = encoder.encode(items).vectors
    assert [nearest(vectors, row) for row in range(6)] == [1, 0, 3, 2, 5, 4]
    # No training text has these letters: the item counts as one without words.
    assert not encoder.encode([Item(item_id="x", texts={"title": "ελληνικά"})]).is_present[0]


def test_case_and_width_of_letters_do_not_matter() -> None:
    vectors = TEXT_ENCODER.encode([text_item(0, "GUITAR Strings"), text_item(0, "ｇｕｉｔａｒ strings")]).vectors
    assert np.allclose(vectors[0], vectors[1], atol=1e-6)


def test_half_a_surrogate_pair_is_ignored() -> None:
    items = [text_item(0, "guitar \ud800strings"), text_item(0, "guitar strings")]
    vectors = TEXT_ENCODER.encode(items).vectors
    assert np.allclose(vectors[0], vectors[1], atol=1e-6)


def test_a_hundred_thousand_characters_take_under_a_second() -> None:
    endless = Item(item_id="x", texts={"title": "guitar " * 15_000, "description": "ﷺ strings" * 15_000})
    start = time.process_time()
    assert TEXT_ENCODER.encode([endless]).is_present[0]
    assert time.process_time() - start < 1


@pytest.mark.parametrize("encoder", [TEXT_ENCODER, IMAGE_ENCODER], ids=lambda encoder: encoder.name)
def test_an_embedding_does_not_depend_on_the_batch(encoder: ModalityEncoder) -> None:
    items = [*TEXT_ITEMS[:3], *IMAGE_ITEMS[:3]]
    together = encoder.encode(items).vectors
    assert np.array_equal(together, np.concatenate([encoder.encode([item]).vectors for item in items]))


def digests_of_what_is_encoded() -> str:
    embeddings = (encoder.encode([*TEXT_ITEMS, *IMAGE_ITEMS]) for encoder in (TEXT_ENCODER, IMAGE_ENCODER))
    return " ".join(hashlib.sha256(embedded.vectors.tobytes()).hexdigest() for embedded in embeddings)


def test_fitting_is_the_same_in_every_process() -> None:
    folder = Path(__file__).resolve().parent
    in_another = subprocess.run(
        [sys.executable, "-c", "import test_builtin_encoders as t; print(t.digests_of_what_is_encoded())"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), str(REPOSITORY)]), "PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert in_another.stdout.strip() == digests_of_what_is_encoded()


def test_a_one_colour_picture_is_present_and_near_its_colour() -> None:
    plain = [Item(item_id=name, picture=one_colour(name)) for name in ("red", "crimson", "blue")]
    embeddings = IMAGE_ENCODER.encode(plain)
    assert embeddings.is_present.all()
    assert nearest(embeddings.vectors, 0) == 1


def test_an_encoder_can_be_fitted_on_one_colour_pictures_alone() -> None:
    plain = [Item(item_id=name, picture=one_colour(name)) for name in ("red", "red")]
    encoder = BuiltinImageEncoder.fit(plain)
    vectors = encoder.encode([*plain, *IMAGE_ITEMS]).vectors
    assert np.isfinite(vectors).all()
    assert np.array_equal(vectors[0], vectors[1])


def one_colour(name: str) -> bytes:
    stored = io.BytesIO()
    Image.new("RGB", (40, 60), name).save(stored, format="PNG")
    return stored.getvalue()
