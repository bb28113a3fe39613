import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from clairo_core.bundle.bundle import Bundle
from clairo_core.bundle.bundle_items import MAX_SHOWN_SIDE, load_items, save_items
from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.bundle.manifest import BUNDLE_SCHEMA, read_manifest
from clairo_core.bundle.write_bundle import BundleParts, write_bundle
from clairo_core.encoders.pictures import decode_picture
from clairo_core.errors import (
    BundleDigestError,
    BundleError,
    BundleManifestError,
    BundleNotFoundError,
    NewerBundleError,
)
from clairo_core.events import EventType, InteractionRules
from clairo_core.items import Item, UserHistory, described_digest, picture_digest
from clairo_core.quantizers import OpqQuantizer
from clairo_core.ranking import DenseHead, DenseHeads, JointRanking
from clairo_core.ranking.history_encoder import RecurrentHistoryEncoder
from clairo_core.serving_points import ServingPoint, same_for_all
from clairo_core.storage.array_file import load_arrays, save_arrays
from clairo_core.storage.growing_rows import GrowingRows
from clairo_core.storage.replaced_folder import set_aside_name
from tests.tiny import drawn_picture, tiny_bundle, tiny_items, write_random_t5


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny")


@pytest.fixture
def folder(tmp_path, written) -> Path:
    """A bundle that the test may break."""
    copy = tmp_path / "bundle"
    for path in written.rglob("*"):
        if path.is_file():
            (copy / path.relative_to(written)).parent.mkdir(parents=True, exist_ok=True)
            (copy / path.relative_to(written)).write_bytes(path.read_bytes())
    return copy


@pytest.fixture(scope="module")
def bundle(written) -> Bundle:
    return load_bundle(written)


def parts_of(bundle: Bundle) -> BundleParts:
    items = [dataclasses.replace(item, picture=bundle.read_picture(row)) for row, item in enumerate(bundle.items)]
    return BundleParts(
        preset=bundle.manifest.preset,
        dataset_name=bundle.manifest.dataset_name,
        dataset_fingerprint=bundle.manifest.dataset_fingerprint,
        settings=bundle.manifest.settings,
        metrics=bundle.manifest.metrics,
        vocabulary=bundle.vocabulary,
        catalogue=bundle.catalogue,
        popularity=bundle.popularity,
        items=items,
        generator_folder=bundle.generator_folder,
        encoders=bundle.encoders,
        fusion=bundle.fusion,
        quantizer=bundle.quantizer,
        item_embeddings=bundle.item_embeddings,
    )


def change_manifest(folder: Path, **fields: object) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_a_loaded_bundle_holds_what_was_written(bundle):
    items = tiny_items(60)
    assert [item.item_id for item in bundle.items] == [item.item_id for item in items]
    assert bundle.items[3].texts == items[3].texts
    assert bundle.items[3].attributes == items[3].attributes
    assert bundle.read_picture(3) == items[3].picture
    assert (bundle.has_picture(3), bundle.has_picture(6), bundle.read_picture(6)) == (True, False, None)
    assert bundle.read_picture(60) is None
    assert bundle.missing_modalities(3) == ()
    assert bundle.missing_modalities(6) == ("image",)
    assert bundle.manifest.schema_version == BUNDLE_SCHEMA
    assert bundle.manifest.bundle_id.startswith("tiny-shop-")
    assert bundle.manifest.encoders == {"text": "builtin-text", "image": "builtin-image"}
    assert len(bundle.popularity) == len(bundle.catalogue) == 60


def test_a_loaded_bundle_recommends(bundle):
    answer = bundle.recommender("cpu", num_views=2, num_beams=10).recommend(UserHistory(("item-1", "item-2")), 10)
    assert len({entry.item_id for entry in answer.items}) == 10
    assert {entry.source for entry in answer.items} == {"generative"}


def test_writing_the_same_parts_gives_the_same_id(bundle, tmp_path):
    again = write_bundle(tmp_path / "again", parts_of(bundle))
    assert again.bundle_id == bundle.manifest.bundle_id
    other = write_bundle(tmp_path / "other", dataclasses.replace(parts_of(bundle), popularity=np.zeros(60)))
    assert other.bundle_id != bundle.manifest.bundle_id
    renamed = write_bundle(tmp_path / "renamed", dataclasses.replace(parts_of(bundle), metrics={"ndcg@10": 0.5}))
    assert renamed.bundle_id == bundle.manifest.bundle_id


def test_a_bundle_keeps_the_rules_of_its_interactions(bundle, tmp_path):
    rules = InteractionRules(types={"purchase": EventType(), "view": EventType(weight=0.2)}, targets=("purchase",))
    write_bundle(tmp_path / "ruled", dataclasses.replace(parts_of(bundle), rules=rules))
    assert read_manifest(tmp_path / "ruled").rules == rules
    change_manifest(tmp_path / "ruled", interactions=rules.as_dict() | {"repeats": "once"})
    with pytest.raises(BundleManifestError, match="interactions: got 'once', expected one of 'keep', 'drop'"):
        read_manifest(tmp_path / "ruled")


def test_a_bundle_is_served_as_it_was_measured_unless_views_or_beams_are_named(bundle, tmp_path):
    points = {"fast": ServingPoint(1, 5), "balanced": ServingPoint(2, 6), "best": ServingPoint(3, 7)}
    written = write_bundle(tmp_path / "measured", dataclasses.replace(parts_of(bundle), points=points))
    assert written.bundle_id != bundle.manifest.bundle_id, "it recommends something else"
    measured = load_bundle(tmp_path / "measured")
    assert measured.manifest.points == measured.recommender("cpu").points == points
    assert measured.recommender("cpu", num_beams=9).points == same_for_all(ServingPoint(2, 9))
    change_manifest(tmp_path / "measured", serving={"balanced": {"num_views": 1}})
    with pytest.raises(BundleManifestError, match="serving: fast is None, expected num_views and num_beams"):
        load_bundle(tmp_path / "measured")


def test_a_bundle_keeps_the_strength_of_dislikes(bundle, tmp_path):
    assert bundle.dislike_strength == bundle.recommender("cpu").disliked_neighbours.strength == 0, "as one of before"
    written = write_bundle(tmp_path / "sinking", dataclasses.replace(parts_of(bundle), dislike_strength=0.5))
    assert written.bundle_id != bundle.manifest.bundle_id, "it recommends something else"
    neighbours = load_bundle(tmp_path / "sinking").recommender("cpu").disliked_neighbours
    assert neighbours.strength == 0.5
    assert neighbours.similarities(np.array([4]), np.array([4]), None) == pytest.approx([1.0])


def test_a_bundle_of_before_is_served_with_the_views_and_beams_of_its_evaluation(bundle, folder):
    assert bundle.manifest.points == same_for_all(ServingPoint(3, 50)), "nothing was measured"
    change_manifest(folder, settings={"evaluate": {"num_views": 2, "num_beams": 30, "max_users": 0}}, serving=None)
    assert load_bundle(folder).recommender("cpu").points == same_for_all(ServingPoint(2, 30))


def test_describing_a_bundles_own_item_gives_its_codes_and_a_free_feature_set(bundle):
    item, row = tiny_items(60)[3], 3
    described = bundle.describe(item, bundle.catalogue.taken)
    np.testing.assert_allclose(described.item_embedding, bundle.item_embeddings.item_embeddings[row], atol=1e-5)
    assert described.semantic_id == tuple(bundle.catalogue.feature_sets[row][:-1].tolist())
    assert described.feature_set not in bundle.catalogue.taken
    assert described.missing_modalities == ()
    own = bundle.describe(item, ())
    assert own.feature_set[:-1] == described.semantic_id


class CountingQuantizer(OpqQuantizer):
    """Counts the embeddings whose distances were computed."""

    num_computed = 0

    def _distances(self, item_embeddings):
        type(self).num_computed += len(item_embeddings)
        return super()._distances(item_embeddings)


def test_describing_an_item_computes_its_distances_once(bundle):
    counting = CountingQuantizer(bundle.quantizer.rotation, bundle.quantizer.codebooks)
    items = tiny_items(60)[:7]
    described = dataclasses.replace(bundle, quantizer=counting).describe_items(items, ())
    assert CountingQuantizer.num_computed == len(items)
    codes = bundle.quantizer.encode(np.stack([item.item_embedding for item in described]))
    assert [item.semantic_id for item in described] == [tuple(row) for row in codes.tolist()]


def test_a_described_item_can_be_generated_at_once(bundle):
    recommender = bundle.recommender("cpu", num_views=1, num_beams=100)
    item = Item(item_id="posted", texts={"title": "a green lamp"})
    described = bundle.describe(item, recommender.catalogue.taken)
    assert described.missing_modalities == ("image",)
    catalogue = recommender.catalogue.with_item("posted", described.feature_set, recommender.tokenizer)
    assert tuple(catalogue.canonical[60].tolist()) == described.tokens
    answer = recommender.with_catalogue(catalogue).recommend(UserHistory(("item-0",)), 100)
    assert ("posted", "generative") in {(entry.item_id, entry.source) for entry in answer.items}


def test_an_item_without_content_takes_the_training_mean(bundle):
    described = bundle.describe(Item(item_id="bare"), ())
    assert set(described.missing_modalities) == {"text", "image"}


def test_a_bundle_of_precomputed_codes_cannot_describe_items(tmp_path):
    bundle = load_bundle(tiny_bundle(tmp_path / "codes", num_items=20, can_ingest=False))
    assert not bundle.can_ingest
    assert bundle.missing_modalities(0) == ()
    assert len(bundle.recommender("cpu").recommend(UserHistory(("item-1",)), 5).items) == 5
    with pytest.raises(BundleError, match="precomputed codes and cannot describe item 'new'"):
        bundle.describe(Item(item_id="new"), ())


def test_every_file_that_is_missing_truncated_or_altered_is_named(folder):
    names = list(json.loads((folder / "manifest.json").read_text())["files"])
    assert "generator/model.safetensors" in names
    for name in names:
        path, content = folder / name, (folder / name).read_bytes()
        for damaged in (None, content[:-1], content[:-1] + bytes([content[-1] ^ 1])):
            path.unlink()
            if damaged is not None:
                path.write_bytes(damaged)
            with pytest.raises(BundleDigestError, match=name):
                load_bundle(folder)
            path.write_bytes(content)
    load_bundle(folder)


def test_a_newer_bundle_is_refused_by_its_schema(folder):
    change_manifest(folder, schema_version=BUNDLE_SCHEMA + 1, files="in another form")
    with pytest.raises(NewerBundleError, match=f"schema {BUNDLE_SCHEMA + 1}, this CLAIRO reads up to {BUNDLE_SCHEMA}"):
        load_bundle(folder)


@pytest.mark.parametrize(
    "content", ["", "{", "[1]", "{}", '{"schema_version": "1"}', '{"schema_version": 1}', "\x00\xff"]
)
def test_a_damaged_manifest_is_refused_by_name(folder, content):
    (folder / "manifest.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(BundleManifestError, match=r"manifest\.json"):
        load_bundle(folder)


@pytest.mark.parametrize(
    ("name", "value"), [("files", {"a": 1}), ("bundle_id", 7), ("encoders", []), ("max_history_items", "20")]
)
def test_a_manifest_field_of_another_type_is_named(folder, name, value):
    change_manifest(folder, **{name: value})
    with pytest.raises(BundleManifestError, match=name):
        load_bundle(folder)


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "items/../../outside"])
def test_a_manifest_that_points_outside_the_bundle_is_refused(folder, name):
    change_manifest(folder, files={name: "0" * 64})
    with pytest.raises(BundleManifestError, match="outside the bundle"):
        load_bundle(folder)


def test_a_folder_without_a_bundle_is_refused_by_name(tmp_path):
    with pytest.raises(BundleNotFoundError, match="nowhere: no bundle here"):
        load_bundle(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(BundleNotFoundError):
        load_bundle(tmp_path / "file")


def test_writing_replaces_a_bundle_and_leaves_nothing_beside_it(bundle, folder):
    before = load_bundle(folder)
    write_bundle(folder, dataclasses.replace(parts_of(bundle), popularity=np.arange(60)))
    assert load_bundle(folder).popularity.tolist() == list(range(60))
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    # The bundle being served still reads its pictures.
    assert before.read_picture(3) == bundle.read_picture(3)


def test_a_folder_that_is_not_a_bundle_is_never_replaced(bundle, tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.txt").write_text("years of work")
    with pytest.raises(BundleError, match="precious exists and is not a bundle"):
        write_bundle(tmp_path / "precious", parts_of(bundle))
    assert (tmp_path / "precious" / "thesis.txt").read_text() == "years of work"


def test_a_write_that_fails_leaves_the_old_bundle(bundle, folder):
    def fail_at_once(steps, label, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_bundle(folder, parts_of(bundle), progress=fail_at_once)
    assert load_bundle(folder).manifest.bundle_id == bundle.manifest.bundle_id
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_after_a_kill_between_the_two_renames_the_next_write_finds_the_old_bundle(bundle, folder):
    folder.rename(set_aside_name(folder))
    with pytest.raises(BundleNotFoundError, match="a write was cut off: rename"):
        load_bundle(folder)

    def fail_at_once(steps, label, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_bundle(folder, parts_of(bundle), progress=fail_at_once)
    load_bundle(folder)


def test_parts_that_do_not_belong_together_are_refused(bundle, tmp_path):
    parts = parts_of(bundle)
    for wrong, message in (
        (dataclasses.replace(parts, items=parts.items[::-1]), "same items in the same order"),
        (dataclasses.replace(parts, popularity=np.zeros(3)), "same items in the same order"),
        (dataclasses.replace(parts, fusion=None), "or none of them"),
        (dataclasses.replace(parts, encoders={"text": bundle.encoders["text"]}), "one encoder for each modality"),
        (dataclasses.replace(parts, generator_folder=tmp_path), r"config\.json is missing"),
    ):
        with pytest.raises(BundleError, match=message):
            write_bundle(tmp_path / "refused", wrong)
    assert not (tmp_path / "refused").exists()


def test_large_pictures_are_stored_smaller_and_unreadable_ones_not_at_all(bundle, tmp_path):
    parts = parts_of(bundle)
    items = list(parts.items)
    noise = np.random.default_rng(0)
    items[0] = dataclasses.replace(items[0], picture=drawn_picture((200, 30, 30), noise, side=1300))
    items[1] = dataclasses.replace(items[1], picture=b"no picture at all")
    write_bundle(tmp_path / "pictures", dataclasses.replace(parts, items=items))
    stored = load_bundle(tmp_path / "pictures")
    assert max(decode_picture(stored.read_picture(0)).size) == MAX_SHOWN_SIDE
    assert not stored.has_picture(1)


def test_a_checkpoint_of_another_vocabulary_is_refused_when_a_recommender_is_built(bundle, tmp_path):
    checkpoint = write_random_t5(tmp_path / "t5", bundle.vocabulary.size + 1)
    write_bundle(tmp_path / "mixed", dataclasses.replace(parts_of(bundle), generator_folder=checkpoint))
    with pytest.raises(Exception, match="use the vocabulary that the generator was trained with"):
        load_bundle(tmp_path / "mixed").recommender("cpu")


def test_a_bundle_names_the_content_that_it_was_trained_on(tmp_path, bundle):
    large = Item(
        item_id="large", texts={"title": "A mug"}, picture=drawn_picture((1, 2, 3), np.random.default_rng(0), 900)
    )
    items = (large, *tiny_items(60)[1:])
    save_items(tmp_path, items)
    _, pictures = load_items(tmp_path)
    assert pictures.read(0) != large.picture
    assert pictures.digest(0) == hashlib.sha256(large.read_picture()).hexdigest()
    assert pictures.digest(6) is None
    for row in (0, 6, 59):
        item = tiny_items(60)[row]
        assert bundle.has_content(row, described_digest(item.texts, picture_digest(item.read_picture())))
        assert not bundle.has_content(row, described_digest({"title": "another"}, picture_digest(item.read_picture())))
        assert not bundle.has_content(row, described_digest(item.texts, picture_digest(b"another")))
    shown = dataclasses.replace(bundle, items=items, pictures=pictures)
    for picture in (large.read_picture(), pictures.read(0)):
        assert shown.has_content(0, described_digest(large.texts, picture_digest(picture)))


def test_in_an_older_bundle_the_stored_picture_stands_for_the_one_trained_on(tmp_path):
    save_items(tmp_path, tiny_items(8))
    (offsets,) = load_arrays(tmp_path / "pictures.npz", "offsets")
    save_arrays(tmp_path / "pictures.npz", offsets=offsets)
    _, pictures = load_items(tmp_path)
    assert pictures.digest(0) == hashlib.sha256(tiny_items(8)[0].read_picture()).hexdigest()
    assert pictures.digest(6) is None


def test_a_trained_item_moves_by_the_difference_that_its_content_makes(bundle):
    same = dataclasses.replace(tiny_items(60)[3], attributes={})
    embedding, missing = bundle.moved_embedding(3, same)
    np.testing.assert_allclose(embedding, bundle.item_embeddings.item_embeddings[3], atol=1e-6)
    assert missing == bundle.missing_modalities(3)
    other = tiny_items(60)[10]
    moved, _ = bundle.moved_embedding(3, dataclasses.replace(other, item_id="item-3"))
    np.testing.assert_allclose(moved, bundle.describe(other, ()).item_embedding, atol=1e-5)


def test_a_trained_items_own_part_of_its_vector_stays_when_its_content_changes(bundle):
    random = np.random.default_rng(0)
    content = bundle.item_embeddings.item_embeddings
    content_map = random.normal(size=(content.shape[1], 4)).astype(np.float32)
    own = random.normal(size=(len(content), 4)).astype(np.float32)
    encoder = RecurrentHistoryEncoder(4, width=5, max_history_items=6)
    head = DenseHead(encoder, GrowingRows((content @ content_map + own).astype(np.float32)), content_map)
    ranking = JointRanking(DenseHeads((head, head)), {}, None, np.ones(len(content), np.int64))
    ranked = dataclasses.replace(bundle, joint_ranking=ranking)
    np.testing.assert_allclose(
        ranked.dense_vectors(3, content[10]), [content[10] @ content_map + own[3]] * 2, atol=1e-5
    )
    np.testing.assert_allclose(ranked.dense_vectors(60, content[10]), [content[10] @ content_map] * 2, atol=1e-5)
    assert bundle.dense_vectors(3, content[10]) is None


def test_users_order_a_bundles_popular_list_and_interactions_that_of_an_older_one(bundle, tmp_path):
    parts = parts_of(bundle)
    users = np.arange(60.0)[::-1] / 2
    write_bundle(tmp_path / "new", dataclasses.replace(parts, user_popularity=users))
    new = load_bundle(tmp_path / "new")
    assert new.popularity.tolist() == bundle.popularity.tolist()
    popular = new.recommender("cpu", num_views=1, num_beams=5).recommend(UserHistory(()), 3)
    assert [item.item_id for item in popular.items] == ["item-0", "item-1", "item-2"]
    assert bundle.user_popularity is None
    popular = bundle.recommender("cpu", num_views=1, num_beams=5).recommend(UserHistory(()), 1)
    assert popular.items[0].item_id == f"item-{int(bundle.popularity.argmax())}"
    with pytest.raises(BundleError, match="3 items with users"):
        write_bundle(tmp_path / "wrong", dataclasses.replace(parts, user_popularity=users[:3]))
