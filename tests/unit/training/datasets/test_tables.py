"""Datasets described by a TOML: reading and filtering."""

import datetime
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from clairo_core.errors import DatasetError, EmptyTableError, MissingColumnError, RowError
from training.datasets import check_pictures, load_dataset

ITEMS = [
    {"item_id": "shoe", "title": "Red shoe", "kind": "shoes"},
    {"item_id": "hat", "title": "Blue hat", "kind": "hats"},
    {"item_id": "cup", "title": None, "kind": "cups"},
]
INTERACTIONS = [
    {"user_id": "ann", "item_id": "hat", "at": 2},
    {"user_id": "bob", "item_id": "cup", "at": 1},
    {"user_id": "ann", "item_id": "shoe", "at": 1},
]


def write_shop(
    folder: Path,
    items: list[dict[str, Any]] = ITEMS,
    interactions: list[dict[str, Any]] = INTERACTIONS,
    *,
    in_items: str = "",
    in_interactions: str = "",
    sections: str = "",
) -> Path:
    pq.write_table(pa.Table.from_pylist(items), folder / "items.parquet")
    pq.write_table(pa.Table.from_pylist(interactions), folder / "interactions.parquet")
    (folder / "dataset.toml").write_text(
        f"""
        name = "small shop"
        [items]
        file = "items.parquet"
        texts = ["title"]
        {in_items}
        [interactions]
        file = "interactions.parquet"
        timestamp = "at"
        {in_interactions}
        {sections}
        """
    )
    return folder


def histories_of(folder: Path) -> dict[str, list[str]]:
    dataset = load_dataset(folder)
    return {
        user_id: [dataset.items[row].item_id for row in dataset.sequences[user]]
        for user, user_id in enumerate(dataset.user_ids)
    }


def png(colour: str = "red") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (9, 7), colour).save(file, "PNG")
    return file.getvalue()


def with_pictures(*pictures: object) -> list[dict[str, Any]]:
    return [{**item, "photo": picture} for item, picture in zip(ITEMS, pictures, strict=True)]


def test_a_dataset_has_items_in_row_order_and_histories_in_time_order(tmp_path):
    dataset = load_dataset(write_shop(tmp_path, in_items='attributes = ["kind"]'))
    assert dataset.name == "small shop"
    assert [item.item_id for item in dataset.items] == ["shoe", "hat", "cup"]
    assert dataset.items[0].attributes == {"kind": "shoes"}
    assert dataset.items[2].texts == {}
    assert dataset.user_ids == ("ann", "bob")
    assert [dataset.sequences[0].tolist(), dataset.sequences[1].tolist()] == [[0, 1], [2]]
    assert dataset.modalities == ("text",)
    assert dataset.semantic_ids is None


def test_interactions_at_the_same_time_keep_their_row_order(tmp_path):
    rows = [{"user_id": "ann", "item_id": item, "at": 5} for item in ("cup", "shoe", "hat", "shoe")]
    assert histories_of(write_shop(tmp_path, interactions=rows)) == {"ann": ["cup", "shoe", "hat"]}


def test_a_repeated_item_counts_again_unless_repeats_are_dropped(tmp_path):
    rows = [{"user_id": "ann", "item_id": item, "at": at} for at, item in enumerate(["hat", "cup", "hat", "hat"])]
    assert histories_of(write_shop(tmp_path, interactions=rows)) == {"ann": ["hat", "cup", "hat", "hat"]}
    folder = write_shop(tmp_path, interactions=rows, in_interactions='repeats = "drop"')
    assert histories_of(folder) == {"ann": ["hat", "cup"]}


def test_the_core_removes_rare_users_and_items(tmp_path):
    pairs = [("ann", "hat"), ("ann", "cup"), ("bob", "hat"), ("bob", "cup"), ("eve", "shoe"), ("eve", "hat")]
    rows = [{"user_id": user, "item_id": item, "at": at} for at, (user, item) in enumerate(pairs)]
    folder = write_shop(tmp_path, interactions=rows, in_interactions="min_interactions = 2")
    dataset = load_dataset(folder)
    assert [item.item_id for item in dataset.items] == ["hat", "cup"]
    assert histories_of(folder) == {"ann": ["hat", "cup"], "bob": ["hat", "cup"]}
    with pytest.raises(EmptyTableError, match="none of 6 interactions"):
        load_dataset(write_shop(tmp_path, interactions=rows, in_interactions="min_interactions = 3"))


@pytest.mark.parametrize(
    "times",
    [
        ["2024-01-02", "2024-01-01", "2023-12-31T23:59:59"],
        ["2024-01-01T00:00:00Z", "2024-01-01T00:30:00+02:00", "2023-12-31T20:00:00Z"],
        ["1e3", "5.5", "-2"],
        [datetime.datetime(2024, 1, 2), datetime.datetime(2024, 1, 1), datetime.datetime(2023, 1, 1)],
        [datetime.date(2024, 1, 2), datetime.date(2024, 1, 1), datetime.date(2023, 1, 1)],
        [2.5, 1.0, -1.0],
    ],
)
def test_times_may_be_numbers_dates_or_text(tmp_path, times):
    rows = [{"user_id": "ann", "item_id": item["item_id"], "at": at} for item, at in zip(ITEMS, times, strict=True)]
    assert histories_of(write_shop(tmp_path, interactions=rows)) == {"ann": ["cup", "hat", "shoe"]}


def test_lists_of_words_become_one_text(tmp_path):
    items = [{"item_id": "a", "title": ["Comedy", "Drama"]}, {"item_id": "b", "title": []}]
    rows = [{"user_id": "ann", "item_id": "a", "at": 1}]
    dataset = load_dataset(write_shop(tmp_path, items, rows))
    assert [dict(item.texts) for item in dataset.items] == [{"title": "Comedy, Drama"}, {}]


def test_vectors_become_modalities_and_may_be_missing(tmp_path):
    items = [{**item, "sound": vector} for item, vector in zip(ITEMS, [[1.0, 2.0], None, [0.5, 0.0]], strict=True)]
    dataset = load_dataset(write_shop(tmp_path, items, in_items='vectors = {audio = "sound"}'))
    assert dataset.modalities == ("text", "audio")
    assert dataset.items[2].vectors["audio"].tolist() == [0.5, 0.0]
    assert dataset.items[0].vectors["audio"].dtype == np.float32
    assert not dataset.items[1].vectors


def test_pictures_may_be_bytes_or_files(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/red.png").write_bytes(png())
    in_items = 'picture = "photo"\npicture_folder = "photos"'
    from_files = load_dataset(write_shop(tmp_path, with_pictures("red.png", "", None), in_items=in_items))
    assert from_files.items[0].picture == tmp_path / "photos/red.png"
    assert from_files.items[1].picture is None
    from_bytes = load_dataset(write_shop(tmp_path, with_pictures(png(), b"", None), in_items=in_items))
    assert from_bytes.items[0].read_picture() == png()
    assert from_bytes.modalities == ("text", "image")
    assert from_bytes.fingerprint == from_files.fingerprint


def test_pictures_may_be_in_a_separate_table_and_be_required(tmp_path):
    pictures = [{"sku": "cup", "jpeg": png()}, {"sku": "hat", "jpeg": png("blue")}, {"sku": "none", "jpeg": b"?"}]
    pq.write_table(pa.Table.from_pylist(pictures), tmp_path / "pictures.parquet")
    sections = '[pictures]\nfile = "pictures.parquet"\nitem_id = "sku"\npicture = "jpeg"'
    dataset = load_dataset(write_shop(tmp_path, in_items="only_with_picture = true", sections=sections))
    assert {item.item_id: item.read_picture() for item in dataset.items} == {"hat": png("blue"), "cup": png()}
    assert check_pictures(dataset) is dataset


def test_an_unreadable_picture_is_refused_by_row_and_item(tmp_path):
    folder = write_shop(tmp_path, with_pictures(png(), b"no picture", None), in_items='picture = "photo"')
    with pytest.raises(RowError, match=r"items.parquet row 2, field 'photo': item 'hat': got 10 bytes that begin with"):
        check_pictures(load_dataset(folder))


def test_unreadable_pictures_can_be_dropped(tmp_path):
    (tmp_path / "broken.png").write_bytes(png()[:40])
    items = with_pictures("broken.png", "not there.png", None)
    in_items = 'picture = "photo"\nunreadable_pictures = "drop"'
    dataset = load_dataset(write_shop(tmp_path, items, in_items=in_items))
    checked = check_pictures(dataset)
    assert [item.picture for item in checked.items] == [None] * 3
    assert checked.fingerprint != dataset.fingerprint
    assert checked.fingerprint == load_dataset(write_shop(tmp_path)).fingerprint


def test_code_columns_become_semantic_ids(tmp_path):
    items = [{**item, "a": row, "b": 10 * row} for row, item in enumerate(ITEMS)]
    dataset = load_dataset(write_shop(tmp_path, items, in_items='codes = ["b", "a"]'))
    assert dataset.codebook_names == ("b", "a")
    assert dataset.codebook_sizes == (21, 3)
    assert dataset.semantic_ids is not None
    assert dataset.semantic_ids.tolist() == [[0, 0], [10, 1], [20, 2]]
    assert not dataset.codes_are_unique


def test_codes_in_a_separate_file_follow_their_items_through_the_core(tmp_path):
    codes = [{"row": row, "features": [row, 5, 2 * row]} for row in (2, 0, 1)]
    pq.write_table(pa.Table.from_pylist(codes), tmp_path / "codes.parquet")
    items = [{**item, "number": row} for row, item in enumerate(ITEMS)]
    rows = [{"user_id": user, "item_id": item, "at": 1} for user in "ab" for item in ("cup", "shoe")]
    sections = (
        '[codes]\nfile = "codes.parquet"\nitem_id = "row"\nitems_column = "number"\n'
        'columns = ["features"]\nsizes = [4, 8, 16]\nunique = true'
    )
    folder = write_shop(tmp_path, items, rows, in_interactions="min_interactions = 2", sections=sections)
    dataset = load_dataset(folder)
    assert [item.item_id for item in dataset.items] == ["shoe", "cup"]
    assert dataset.semantic_ids is not None
    assert dataset.semantic_ids.tolist() == [[0, 5, 0], [2, 5, 4]]
    assert dataset.codebook_names == ("features_0", "features_1", "features_2")
    assert dataset.codebook_sizes == (4, 8, 16)
    assert dataset.codes_are_unique


def test_code_columns_can_be_chosen_by_name_or_prefix(tmp_path):
    items = [{**item, "text_0": 1, "text_1": row, "image_0": 0} for row, item in enumerate(ITEMS)]
    folder = write_shop(tmp_path, items, in_items='codes = ["image_0"]')
    assert load_dataset(folder, code_columns=["text"]).codebook_names == ("text_0", "text_1")
    assert load_dataset(folder, code_columns=["text_1", "image"]).codebook_names == ("text_1", "image_0")
    with pytest.raises(MissingColumnError, match="got 'sound', expected a column or"):
        load_dataset(folder, code_columns=["sound"])
    with pytest.raises(DatasetError, match="has no file of codes"):
        load_dataset(write_shop(tmp_path), code_columns=["text"])


@pytest.mark.parametrize(
    ("codes", "section", "complaint"),
    [
        ([0, 1, -1], "", r"row 3, field 'code': the code is -1"),
        ([0, 1, None], "", r"row 3, field 'code': the code is missing"),
        ([0, 1, 2**20], "", r"row 3, field 'code': the code is 1048576"),
        (["0", "1", "x"], "", r"row 3, field 'code': got 'x', expected a whole number"),
        ([0.5, 1.0, 2.0], "", r"row 1, field 'code': the column is double"),
        ([[0, 1], [1, 2], [3]], "", r"row 3, field 'code': the list has 1 numbers, but earlier rows have 2"),
        ([[0, 1], [1, 2.5], [3, 3]], "", r"row 2, field 'code': number 2 of the list is 2.5"),
        ([[0, 1], None, [3, 3]], "", r"row 2, field 'code': the codes are missing"),
        ([[0, 1], [1, -2], [3, 3]], "", r"row 2, field 'code': the codes are \[1, -2\]"),
        ([0, 1, 0], "unique = true", r"row 3, field 'code': row 1 has the same codes \[0\]"),
        ([0, 1, 2], "sizes = [2]", r"row 3, field 'code': the code is 2, expected less than the codebook's size, 2"),
        ([0, 1, 2], "sizes = [3, 3]", r"got 2 sizes for 1 codebooks"),
    ],
)
def test_wrong_codes_are_refused_by_row(tmp_path, codes, section, complaint):
    rows = [{"item_id": item["item_id"], "code": code} for item, code in zip(ITEMS, codes, strict=True)]
    path = tmp_path / "codes.jsonl"
    if any(isinstance(code, list) for code in codes):
        path.write_text("\n".join(map(json.dumps, rows)))
    else:
        path = tmp_path / "codes.parquet"
        pq.write_table(pa.Table.from_pylist(rows), path)
    sections = f'[codes]\nfile = "{path.name}"\ncolumns = ["code"]\n{section}'
    with pytest.raises(DatasetError, match=complaint) as caught:
        load_dataset(write_shop(tmp_path, sections=sections))
    assert str(path) in str(caught.value)


def test_an_item_without_codes_is_refused_by_row(tmp_path):
    pq.write_table(pa.Table.from_pylist([{"item_id": "shoe", "code": 1}]), tmp_path / "codes.parquet")
    sections = '[codes]\nfile = "codes.parquet"\ncolumns = ["code"]'
    with pytest.raises(RowError, match=r"items.parquet row 2, field 'item_id': the item has no codes in .*codes.parq"):
        load_dataset(write_shop(tmp_path, sections=sections))


def test_columns_without_common_ids_are_refused(tmp_path):
    pq.write_table(pa.Table.from_pylist([{"item_id": 0, "code": 1}]), tmp_path / "codes.parquet")
    sections = '[codes]\nfile = "codes.parquet"\ncolumns = ["code"]'
    with pytest.raises(RowError, match=r"nor any other row's value .*; name two columns with the same ids"):
        load_dataset(write_shop(tmp_path, sections=sections))


def test_an_unknown_item_is_refused_by_row_or_dropped(tmp_path):
    rows = [*INTERACTIONS, {"user_id": "eve", "item_id": "coat", "at": 1}]
    with pytest.raises(RowError, match=r"interactions.parquet row 4, field 'item_id': item 'coat' is not in"):
        load_dataset(write_shop(tmp_path, interactions=rows))
    folder = write_shop(tmp_path, interactions=rows, in_interactions='unknown_items = "drop"')
    assert histories_of(folder) == {"ann": ["shoe", "hat"], "bob": ["cup"]}


def test_the_fingerprint_depends_on_the_content_but_not_the_name(tmp_path):
    original = load_dataset(write_shop(tmp_path)).fingerprint
    toml = tmp_path / "dataset.toml"
    toml.write_text(toml.read_text().replace("small shop", "another name"))
    assert load_dataset(toml).fingerprint == original
    items = [{**ITEMS[0], "title": "Red shoes"}, *ITEMS[1:]]
    assert load_dataset(write_shop(tmp_path, items)).fingerprint != original
    later = [{**row, "at": -row["at"]} for row in INTERACTIONS]
    assert load_dataset(write_shop(tmp_path, interactions=later)).fingerprint != original


def test_a_source_that_is_not_a_dataset_is_refused_with_the_expected_files(tmp_path):
    with pytest.raises(DatasetError, match="nowhere does not exist"):
        load_dataset(tmp_path / "nowhere")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DatasetError, match=r"holds notes.txt; expected a dataset.toml"):
        load_dataset(tmp_path)
