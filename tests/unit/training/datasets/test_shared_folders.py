"""The benchmark folders: how they are recognized, and, if installed, the numbers of their READMEs."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clairo_core.encoders.pictures import decode_picture
from tests.repository import SHARED
from training.datasets import load_dataset
from training.evaluation import split as splits


def write_folder(folder: Path, **extra_files: pa.Table) -> Path:
    interactions = {
        "user_id": ["u", "u", "u", "v"],
        "item_idx": [2, 0, 1, 2],
        "position": [0, 1, 2, 0],
        "split": ["train", "valid", "test", "test"],
    }
    pq.write_table(pa.table(interactions), folder / "interactions.parquet")
    items = {"item_idx": [0, 1, 2], "n_train": [0, 0, 1]}
    pq.write_table(pa.table(items), folder / "items.parquet")
    for name, table in extra_files.items():
        pq.write_table(table, folder / f"{name}.parquet")
    return folder


CODES = {f"{kind}_{place}": [place, 1, 2] for kind in ("text", "image") for place in range(2)}


def test_a_folder_without_words_gives_its_codes(tmp_path):
    folder = write_folder(tmp_path, codes=pa.table({"item_idx": [2, 1, 0], **CODES}))
    dataset = load_dataset(folder)
    assert dataset.name == tmp_path.name
    assert dataset.codebook_names == ("text_0", "text_1", "image_0", "image_1")
    assert dataset.semantic_ids is not None
    assert dataset.semantic_ids.tolist() == [[2, 2, 2, 2], [1, 1, 1, 1], [0, 1, 0, 1]]
    assert load_dataset(folder, code_columns=["image"]).codebook_names == ("image_0", "image_1")


def test_a_folder_with_words_gives_codes_only_on_request(tmp_path):
    folder = write_folder(
        tmp_path,
        items=pa.table({"item_idx": [0, 1, 2], "title": ["a", "b", "c"], "brand": ["x", None, "y"]}),
        codes=pa.table({"item_idx": [0, 1, 2], "rq_0": [0, 1, 2]}),
    )
    dataset = load_dataset(folder)
    assert dataset.semantic_ids is None
    assert dataset.items[0].texts == {"title": "a", "brand": "x"}
    assert dataset.items[0].attributes == {"brand": "x"}
    assert load_dataset(folder, code_columns=["rq"]).codebook_names == ("rq_0",)


@pytest.mark.parametrize(
    ("name", "num_users", "num_items", "num_interactions", "num_training", "num_never_in_training"),
    [
        ("movielens_small_posters", 1_278, 4_992, 186_317, None, None),
        ("amazon2018_instruments_mql", 17_112, 6_250, 136_226, 102_002, None),
        ("amazon2018_instruments_lcrec", 24_772, 9_922, 206_153, 156_609, None),
        # Users buy again: events of their masked targets leave training too (16,173 and 15,985 without that).
        ("amazon2018_industrial_recent", 3_285, 3_686, 22_743, 15_921, 325),
        ("amazon2018_office_recent", 3_231, 3_459, 22_447, 15_711, 382),
        ("amazon2014_beauty", 22_363, 12_101, 198_502, 153_776, 33),
        ("amazon2014_toys", 19_412, 11_924, 167_597, 128_773, 48),
    ],
)
def test_a_benchmark_folder_has_the_numbers_of_its_readme(
    name, num_users, num_items, num_interactions, num_training, num_never_in_training
):
    folder = SHARED / "data" / name
    if not folder.is_dir():
        print(f"{folder} is not there: nothing is checked")
        return
    dataset = load_dataset(folder)
    assert (len(dataset.user_ids), len(dataset.items)) == (num_users, num_items)
    assert len(dataset.sequences.items) == num_interactions
    if num_training is not None:
        assert len(splits.training_sequences(dataset).items) == num_training
    if num_never_in_training is not None:
        assert np.count_nonzero(~splits.training_items(dataset)) == num_never_in_training
    marked = pq.read_table(folder / "interactions.parquet", columns=["split"])["split"].to_pylist()
    if "movielens" not in name:
        assert len(splits.test_split(dataset, splits.ALLOWED).targets) == marked.count("test")
    users = np.repeat(np.arange(len(dataset.user_ids)), dataset.sequences.lengths)
    if len(np.unique(users * num_items + dataset.sequences.items)) == num_interactions:
        for split_of in (splits.validation_split, splits.test_split):
            allowed, masked = (split_of(dataset, seen_items) for seen_items in (splits.ALLOWED, splits.MASKED))
            assert np.array_equal(allowed.targets, masked.targets)
            assert np.array_equal(allowed.histories.items, masked.histories.items)


def test_films_of_the_working_set_have_words_and_a_poster():
    folder = SHARED / "data" / "movielens_small_posters"
    if not folder.is_dir():
        print(f"{folder} is not there: nothing is checked")
        return
    dataset = load_dataset(folder)
    assert dataset.modalities == ("text", "image")
    assert dataset.semantic_ids is None
    toy_story = dataset.items[0]
    assert toy_story.title == "Toy Story (1995)"
    assert list(toy_story.texts) == ["title", "genres", "overview", "tags", "director", "actors", "plot_keywords"]
    assert toy_story.attributes["year"] == "1995"
    picture = toy_story.read_picture()
    assert picture is not None
    assert max(decode_picture(picture).size) == 128
    assert dataset.sequences.lengths.min() >= 5


def test_given_feature_sets_are_used_exactly(tmp_path):
    features = SHARED / "parity" / "instruments_text.item_features.parquet"
    instruments = SHARED / "data" / "amazon2018_instruments_mql"
    if not (features.is_file() and instruments.is_dir()):
        print(f"{features} or {instruments} is not there: nothing is checked")
        return
    (tmp_path / "dataset.toml").write_text(
        f"""
        [items]
        file = "{(instruments / "items.parquet").resolve().as_posix()}"
        [codes]
        file = "{features.resolve().as_posix()}"
        item_id = "item_idx"
        items_column = "item_idx"
        columns = ["features"]
        sizes = [256, 256, 256, 256, 128]
        unique = true
        [interactions]
        file = "{(instruments / "interactions.parquet").resolve().as_posix()}"
        position = "position"
        """
    )
    dataset = load_dataset(tmp_path)
    assert dataset.semantic_ids is not None
    assert dataset.semantic_ids.tolist() == pq.read_table(features)["features"].to_pylist()
    assert dataset.codes_are_unique
    assert dataset.codebook_sizes == (256, 256, 256, 256, 128)
