"""The vocabulary report: by hand, by law, and from a bundle at the command line."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.bundle.manifest import read_manifest, write_manifest
from clairo_core.errors import DatasetError
from clairo_core.fusion import ConcatPcaFusion
from clairo_core.quantizers import OpqQuantizer
from clairo_core.sequences import ItemSequences
from clairo_core.tokens.spelling import Spelling
from clairo_core.tokens.tokenizer import Tokenizer
from clairo_core.tokens.vocabulary import Vocabulary, vocabulary_of_features
from tests.tiny import random_feature_sets, random_sequences, tiny_bundle
from training.cli import app
from training.config.preset import DatasetSettings
from training.datasets.open_dataset import open_dataset
from training.vocabulary.learn_vocabulary import learn_vocabulary
from training.vocabulary.modality_shares import modality_shares
from training.vocabulary.report_on_bundle import report_on_bundle
from training.vocabulary.vocabulary_report import report_as_text, report_on_vocabulary


def two_modalities(merges: list[tuple[int, int]], counts: list[int]) -> Vocabulary:
    """Tokens 2 and 3 are text codes, 4 and 5 image codes, 6 and 7 collision indices."""
    left, right = np.array(merges, dtype=np.int32).reshape(-1, 2).T
    return Vocabulary(
        ("text_0", "image_0", "collision"), (2, 2, 2), left.copy(), right.copy(), np.array(counts, dtype=np.int64)
    )


BY_HAND = two_modalities([(2, 4), (2, 3), (6, 8)], [36 * 9, 36 * 3, 36])
"""Token 8 is text and image, 9 two texts, 10 a collision index with token 8."""
HAND_ITEMS = np.array([[0, 0, 0], [1, 0, 0]])


def test_a_worked_example() -> None:
    histories = ItemSequences.from_lists([[0, 0, 0], [1]])
    report = report_on_vocabulary(
        BY_HAND, modality_shares(BY_HAND, None, None), BY_HAND.feature_tokens(HAND_ITEMS), histories
    )
    of = {token.token: token for token in report.tokens}
    # Item 0 is 2 4 6 and always becomes 10. Item 1 is 3 4 6, which no rule merges.
    assert [(token, of[token].uses, of[token].items) for token in (10, 8, 9, 3, 4, 6)] == [
        (10, 3, 1), (8, 0, 0), (9, 0, 0), (3, 1, 1), (4, 1, 1), (6, 1, 1),
    ]  # fmt: skip
    assert of[10].features == ("collision=0", "text_0=0", "image_0=0")
    assert of[10].parts == (6, 8)
    assert of[10].examples == ((0,),)
    assert of[10].weighted_count == 1
    assert of[8].shares == {"text": 0.5, "image": 0.5}
    assert of[9].shares == {"text": 1, "image": 0}
    assert of[6].shares == {}
    assert [token.token for token in report.merges if token.joins_modalities] == [8, 10]
    assert report.share_joining_modalities == pytest.approx(2 / 3)
    assert report.share_never_used == pytest.approx(2 / 3)
    assert report.share_holding_collision_index == pytest.approx(1 / 3)
    assert report.share_joining_items == 0
    assert (report.features_a_history, report.canonical_tokens_a_history) == (6, 3)


def test_a_token_between_two_items_names_both() -> None:
    vocabulary = two_modalities([(2, 3)], [36])
    histories = ItemSequences.from_lists([[0, 1, 0], [1]])
    report = report_on_vocabulary(
        vocabulary, modality_shares(vocabulary, None, None), vocabulary.feature_tokens(HAND_ITEMS), histories
    )
    token = report.merges[0]
    assert (token.uses, token.uses_across_items, token.items) == (1, 1, 0)
    assert token.examples == ((0, 1),)
    assert (report.share_joining_items, report.share_of_uses_joining_items) == (1, 1)


def test_shares_of_fused_codes_are_those_of_their_centroids() -> None:
    fusion = ConcatPcaFusion(
        ("text", "image"),
        {"text": np.zeros(1, np.float32), "image": np.zeros(1, np.float32)},
        {"text": np.ones((1, 1), np.float32), "image": np.ones((1, 1), np.float32)},
    )
    # Turned by the angle of a 3-4-5 triangle: the first axis is 0.6 text and 0.8 image.
    rotation = np.array([[0.6, 0.8], [-0.8, 0.6]], dtype=np.float32)
    codebooks = np.array([[[1], [2]], [[1], [-3]]], dtype=np.float32)
    shares = modality_shares(BY_HAND, fusion, OpqQuantizer(rotation, codebooks))
    assert shares.of(2) == pytest.approx({"text": 0.36, "image": 0.64})
    assert shares.of(5) == pytest.approx({"text": 0.64, "image": 0.36})
    assert shares.of(8) == pytest.approx({"text": 0.5, "image": 0.5})
    assert shares.of(9) == pytest.approx({"text": 0.36, "image": 0.64})
    assert shares.of(7) == {}


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**31))
def test_uses_add_up_to_the_tokens_of_all_histories(seed: int) -> None:
    feature_sets = random_feature_sets(12, (4, 4, 4), seed)
    sequences = random_sequences(12, 15, seed)
    vocabulary = learn_vocabulary(feature_sets, ("text_0", "text_1", "image_0"), (4, 4, 4), sequences, 2 + 12 + 30)
    table = vocabulary.feature_tokens(feature_sets)
    report = report_on_vocabulary(vocabulary, modality_shares(vocabulary, None, None), table, sequences, seed=seed)
    tokenizer = Tokenizer(vocabulary)
    assert (
        sum(token.uses for token in report.tokens) == tokenizer.encode_canonical_batch(table, sequences).lengths.sum()
    )
    views = tokenizer.encode_views(table, sequences, seed=seed, eos=False)
    assert sum(token.uses_in_views for token in report.tokens) == views.lengths.sum()
    assert sum(token.items for token in report.tokens) == tokenizer.canonical_item_tokens(table).lengths.sum()
    features_of_item = [set(vocabulary.feature_tokens(feature_sets)[row].tolist()) for row in range(12)]
    for token in report.tokens:
        assert sum(token.shares.values()) == pytest.approx(1)
        assert token.uses_across_items <= token.uses
        assert bool(token.examples) == (token.uses > 0)
        made_of = {
            int(vocabulary.category_offsets[category]) + value
            for category, value in vocabulary.features_of(token.token)
        }
        for rows in token.examples:
            assert made_of <= set().union(*(features_of_item[row] for row in rows))
            assert all(made_of & features_of_item[row] for row in rows)


def write_shop(folder: Path, item_ids: list[str]) -> Path:
    folder.mkdir()
    rows = "".join(f"{item_id},Thing {item_id}\n" for item_id in item_ids)
    (folder / "items.csv").write_text(f"sku,name\n{rows}", encoding="utf-8")
    sequences = random_sequences(len(item_ids), 50)
    clicks = [(user, place, row) for user, rows in enumerate(sequences) for place, row in enumerate(rows.tolist())]
    lines = "".join(f"u{user},{item_ids[row]},{place}\n" for user, place, row in clicks)
    (folder / "clicks.csv").write_text(f"user,sku,at\n{lines}", encoding="utf-8")
    description = (
        'name = "shop"\n[items]\nfile = "items.csv"\nitem_id = "sku"\ntexts = ["name"]\n'
        '[interactions]\nfile = "clicks.csv"\nuser_id = "user"\nitem_id = "sku"\nposition = "at"\n'
    )
    (folder / "dataset.toml").write_text(description, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def bundle_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny")


def test_the_command_prints_the_tokens_of_a_bundle(bundle_folder: Path, tmp_path: Path) -> None:
    shop = write_shop(tmp_path / "shop", [f"item-{row}" for row in range(60)])
    arguments = ["vocabulary", str(bundle_folder), "--data", str(shop), "--tokens", "3"]
    result = CliRunner().invoke(app, [*arguments, "--json", str(tmp_path / "tokens.json")])
    assert result.exit_code == 0, result.output
    assert "merges joining neighbouring items" in result.output
    assert "code_0=" in result.output
    assert "image " in result.output
    written = json.loads((tmp_path / "tokens.json").read_text(encoding="utf-8"))
    bundle = load_bundle(bundle_folder)
    assert len(written["tokens"]) == bundle.vocabulary.size - 2
    assert written["item_ids"] == list(bundle.catalogue.item_ids)


def test_unchanged_data_is_recognized_by_a_bundle_that_took_its_codes_as_vectors(
    bundle_folder: Path, tmp_path: Path
) -> None:
    shop = write_shop(tmp_path / "shop", [f"item-{row}" for row in range(60)])
    rows = "".join(f"item-{row},{row % 4},{row % 3}\n" for row in range(60))
    (shop / "codes.csv").write_text(f"sku,text_0,image_0\n{rows}", encoding="utf-8")
    with (shop / "dataset.toml").open("a", encoding="utf-8") as description:
        description.write('[codes]\nfile = "codes.csv"\nitem_id = "sku"\ncolumns = ["text_0", "image_0"]\n')
    modalities = ["text_codes", "image_codes"]
    settings = {"dataset": {"code_columns": [], "codes": "vectors"}, "encode": {"modalities": modalities}}
    dataset = open_dataset(shop, DatasetSettings(codes="vectors"), modalities, lambda things, _name, _total: things)
    copy = tmp_path / "bundle"
    shutil.copytree(bundle_folder, copy)
    manifest = read_manifest(copy)
    write_manifest(copy, replace(manifest, settings=settings, dataset_fingerprint=dataset.fingerprint))
    result = CliRunner().invoke(app, ["vocabulary", str(copy), "--data", str(shop)])
    assert result.exit_code == 0, result.output
    assert "another state" not in result.output


def test_a_dataset_with_other_items_is_refused(bundle_folder: Path, tmp_path: Path) -> None:
    shop = write_shop(tmp_path / "shop", [f"other-{row}" for row in range(60)])
    with pytest.raises(DatasetError, match="name the dataset that it was trained on"):
        report_on_bundle(bundle_folder, shop, 3, None, lambda things, _name, _total: things, lambda _news: None)


def test_items_that_the_bundle_does_not_know_are_left_out(bundle_folder: Path, tmp_path: Path) -> None:
    known = [f"item-{row}" for row in range(30)]
    shop = write_shop(tmp_path / "shop", [*known, *(f"other-{row}" for row in range(30))])
    text = report_on_bundle(bundle_folder, shop, 3, None, lambda things, _name, _total: things, lambda _news: None)
    assert "50 histories" in text


def test_a_vocabulary_without_merges_or_uses_still_has_a_report() -> None:
    vocabulary = two_modalities([], [])
    nothing = ItemSequences.from_lists([[]])
    report = report_on_vocabulary(
        vocabulary, modality_shares(vocabulary, None, None), vocabulary.feature_tokens(HAND_ITEMS), nothing
    )
    assert report.merges == []
    assert "0 merges" in report_as_text(report, ["a", "b"], 5)


def test_every_language_of_a_vocabulary_is_counted() -> None:
    vocabulary = vocabulary_of_features(("text_0", "image_0", "collision"), (2, 2, 2), Spelling.LANGUAGES)
    report = report_on_vocabulary(
        vocabulary,
        modality_shares(vocabulary, None, None),
        vocabulary.feature_tokens(HAND_ITEMS),
        ItemSequences.from_lists([[0, 0, 0], [1]]),
    )
    of = {token.token: token for token in report.tokens}
    # Item 0 is 2 6 and 4 6, item 1 is 3 6 and 4 6.
    assert [(token, of[token].uses, of[token].items, of[token].examples) for token in (2, 3, 4, 6)] == [
        (2, 3, 1, ((0,),)), (3, 1, 1, ((1,),)), (4, 4, 2, ((0,), (1,))), (6, 8, 4, ((0,), (1,))),
    ]  # fmt: skip
    assert (report.features_a_history, report.canonical_tokens_a_history) == (8, 8)
