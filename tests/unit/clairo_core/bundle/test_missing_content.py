"""Missing, poor and repeated content: the training mean and a flag, distinct feature sets, and never an error."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clairo_core.bundle.bundle import Bundle
from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.encoders import BuiltinImageEncoder, OpenClipEncoder, load_encoder
from clairo_core.features import collision_capacity, feature_sets_with_collision_index
from clairo_core.fusion import fit_fusion
from clairo_core.items import Item
from clairo_core.quantizers import fit_opq
from tests.pretrained import write_tiny_open_clip
from tests.tiny import tiny_bundle, tiny_items


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load_bundle(tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny"))


def picture(image: Image.Image, format_name: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_name, **options)
    return buffer.getvalue()


def one_colour(colour: str) -> bytes:
    return picture(Image.new("RGB", (40, 40), colour))


def whole_item(bundle: Bundle, **changed: object) -> Item:
    content = {"texts": {"title": "a green lamp"}, "picture": bundle.read_picture(0)}
    return Item(item_id="new", **(content | changed))


@pytest.mark.parametrize(
    ("changed", "missing"),
    [
        ({"picture": None}, ("image",)),
        ({"texts": {}}, ("text",)),
        ({"texts": {"title": "  ", "description": ""}}, ("text",)),
        ({"picture": b"no picture at all"}, ("image",)),
        ({"picture": b"\x89PNG\r\n\x1a\n cut short"}, ("image",)),
        ({"picture": Path("nowhere.png")}, ("image",)),
        ({"picture": None, "texts": {}}, ("text", "image")),
    ],
)
def test_missing_content_takes_the_training_mean_and_is_reported(
    bundle: Bundle, changed: dict[str, object], missing: tuple[str, ...]
) -> None:
    described = bundle.describe(whole_item(bundle, **changed), bundle.catalogue.taken)
    assert described.missing_modalities == missing
    assert np.isfinite(described.item_embedding).all()
    assert described.feature_set not in bundle.catalogue.taken
    if len(missing) == 2:
        assert not described.item_embedding.any()


def test_items_of_the_same_content_get_feature_sets_of_their_own(bundle: Bundle) -> None:
    taken = {tuple(row) for row in bundle.catalogue.feature_sets.tolist()}
    found = []
    for _ in range(20):
        described = bundle.describe(whole_item(bundle), taken)
        found.append(described.feature_set)
        taken.add(described.feature_set)
    assert len(set(found)) == 20


@pytest.mark.parametrize("colour", ["white", "black", "#808080"])
@pytest.mark.parametrize("format_name", ["PNG", "JPEG"])
def test_a_picture_of_one_shade_of_grey_counts_as_missing(bundle: Bundle, colour: str, format_name: str) -> None:
    placeholder = picture(Image.new("RGB", (40, 40), colour), format_name)
    described = bundle.describe(whole_item(bundle, picture=placeholder), bundle.catalogue.taken)
    without = bundle.describe(whole_item(bundle, picture=None), bundle.catalogue.taken)
    assert described.missing_modalities == ("image",)
    assert np.array_equal(described.item_embedding, without.item_embedding)


@pytest.mark.parametrize("colour", ["red", "#80807c"])
def test_a_picture_of_one_colour_is_a_picture(bundle: Bundle, colour: str) -> None:
    described = bundle.describe(whole_item(bundle, picture=one_colour(colour)), bundle.catalogue.taken)
    assert described.missing_modalities == ()
    assert np.isfinite(described.item_embedding).all()


def test_words_in_an_alphabet_that_training_never_saw_are_missing_and_misspelt_ones_are_not(bundle: Bundle) -> None:
    title = bundle.items[0].texts["title"]
    foreign = whole_item(bundle, texts={"title": "красная кружка для чая, 2 штуки"})
    misspelt = whole_item(bundle, texts={"title": title[:-1]})
    assert bundle.describe(foreign, bundle.catalogue.taken).missing_modalities == ("text",)
    assert bundle.describe(misspelt, bundle.catalogue.taken).missing_modalities == ()


def test_text_in_another_language_is_described_and_never_an_error(bundle: Bundle) -> None:
    for title in ("красная кружка", "红色杯子", "كوب أحمر", "🫖🫖🫖", "\u0000\u200b"):
        described = bundle.describe(whole_item(bundle, texts={"title": title}), bundle.catalogue.taken)
        assert np.isfinite(described.item_embedding).all()
        assert described.feature_set not in bundle.catalogue.taken


def odd_pictures() -> dict[str, bytes]:
    """One picture in every supported form."""
    upright = Image.new("RGB", (60, 40), "white")
    upright.paste("red", (0, 0, 30, 40))
    exif = Image.Exif()
    exif[0x0112] = 6
    grey = (np.asarray(upright.convert("L"), np.uint16) * 257).astype(np.uint16)
    return {
        "plain": picture(upright),
        "rotated by EXIF": picture(upright.transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif, quality=95),
        "CMYK": picture(upright.convert("CMYK"), "JPEG", quality=95),
        "animated": picture(
            upright, "WEBP", save_all=True, append_images=[Image.new("RGB", (60, 40), "blue")], lossless=True
        ),
        "16 bits": picture(Image.fromarray(grey)),
    }


@pytest.fixture(scope="module", params=["builtin-image", "open_clip"])
def image_encoder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("encoder")
    if request.param == "open_clip":
        return OpenClipEncoder.from_pretrained(str(write_tiny_open_clip(folder)))
    BuiltinImageEncoder.fit(tiny_items(15)).save(folder)
    return load_encoder(folder)


def test_every_form_of_a_picture_has_a_similar_embedding(image_encoder) -> None:
    pictures = odd_pictures()
    items = [Item(item_id=name, picture=content) for name, content in pictures.items()]
    encoded = image_encoder.encode(items)
    assert encoded.is_present.all()
    plain = dict(zip(pictures, encoded.vectors, strict=True))
    unlike = image_encoder.encode([Item(item_id="other", picture=one_colour("blue"))]).vectors[0]
    for name in ("rotated by EXIF", "CMYK", "animated"):
        assert np.linalg.norm(plain[name] - plain["plain"]) < np.linalg.norm(unlike - plain["plain"]), name


def test_a_catalogue_of_pictures_alone_has_no_collisions() -> None:
    """Even if half of the pictures are equal, or of one colour."""
    items = [
        Item(item_id=str(row), picture=one_colour("red") if row % 2 else item.picture)
        for row, item in enumerate(tiny_items(60))
    ]
    embeddings = {"image": BuiltinImageEncoder.fit(items[:20]).encode(items)}
    fused = fit_fusion(embeddings, 8).fuse(embeddings).item_embeddings
    semantic_ids = fit_opq(fused, 2, 8, num_iterations=5).encode(fused)
    feature_sets, _ = feature_sets_with_collision_index(semantic_ids, [8, 8], collision_capacity(semantic_ids))
    assert len({tuple(row) for row in feature_sets.tolist()}) == 60
